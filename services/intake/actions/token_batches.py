"""问卷码: one person requests a batch, another opens it, once.

Whoever requests codes must not be able to cast the ballots themselves, so the codes do not exist
until a second person opens the batch to hand them out. They are shown this once; only their hashes
are stored.
"""

from datetime import date
from typing import Final
from uuid import UUID

from services.intake.domain.ballots import ONE_USE_LENGTH, PLACE_LENGTH, new_code, token_hash
from services.intake.store import campaigns
from services.intake.store import token_batches as store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.token_batches import TokenBatch
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Questionnaire
from shared.foundation.clock import CHINA
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

BATCH_MIN: Final = 10
"""A smaller batch would tie its few ballots to the few people who got its codes."""
BATCH_MAX: Final = 20_000


async def request_batch(
    tx: Transaction,
    *,
    campaign_id: str,
    instrument: str,
    group: str,
    unit_id: str | None = None,
    count: int,
    use: str = "one_use",
    closes_on: date | None = None,
    by: Account,
) -> UUID:
    """Request a batch of codes for another person to open, and return its id.

    Without `closes_on` the codes expire at the end of the campaign's period, or today if it is
    over. `unit_id`: in whose hall a place's code is displayed.
    Raises Rejected (422).
    """
    campaign = await campaigns.get(tx, campaign_id)
    questionnaire = campaign.questionnaire(instrument)
    _check_batch(questionnaire, group=group, count=count, use=use)
    _check_place(campaign, use, unit_id)
    batch = TokenBatch(
        id=new_id(),
        campaign_id=campaign_id,
        instrument=instrument,
        group=group,
        unit_id=unit_id,
        use=use,
        closes_on=closes_on or default_closing_day(tx, campaign),
    )
    await store.add_batch(tx, batch, count, by=by.id)
    tx.audit(
        "tokens.requested",
        batch.id,
        str(by.id),
        campaign=campaign_id,
        instrument=instrument,
        group=group,
        unit=unit_id,
        count=count,
        use=use,
    )
    return batch.id


def _check_batch(
    questionnaire: Questionnaire,
    *,
    group: str,
    count: int,
    use: str,
) -> None:
    if questionnaire.group(group) is None:
        raise Rejected("问卷没有这个评议主体", status=422, field="group")
    if use == "place" and count != 1:
        raise Rejected("张贴用的固定码每批一个", status=422, field="count")
    if use != "place" and not BATCH_MIN <= count <= BATCH_MAX:
        sentence = f"每批 {BATCH_MIN} 至 {BATCH_MAX} 个；太少会看出是谁填的"
        raise Rejected(sentence, status=422, field="count")


def _check_place(
    campaign: KnownCampaign,
    use: str,
    unit_id: str | None,
) -> None:
    """Raise Rejected (422) unless a place's code, and no other, names a unit of the campaign."""
    if use != "place" and unit_id is not None:
        raise Rejected("一次性问卷码不分发放地点，请不要选单位", status=422, field="unit_id")
    if use == "place":
        campaign.unit(unit_id or "")


def default_closing_day(tx: Transaction, campaign: KnownCampaign) -> date:
    """Return the last day of the campaign's period, or today if it is over."""
    today = tx.now.astimezone(CHINA).date()
    return max(campaign.scheme.period.ends, today)


async def open_batch(
    tx: Transaction,
    batch_id: UUID,
    *,
    by: Account,
) -> list[str]:
    """Create the codes of a requested batch and return them, this once.

    Raises Rejected: 404 unknown batch, 403 for the person who requested it, 409 if it was opened.
    """
    batch = await store.lock(tx, batch_id)
    if batch is None:
        raise Rejected("没有这批问卷码", status=404)
    if batch.issued_by == by.id:
        raise Rejected("申领人不能自己开封，请由另一人开封并分发", status=403)
    if batch.opened_at is not None:
        raise Rejected("这批问卷码已经开封，不能再次查看；需要时请重新申领")
    codes = _new_codes(batch.use, batch.issued)
    await store.add_codes(tx, batch_id, [token_hash(code) for code in codes], by=by.id)
    tx.audit("tokens.opened", batch_id, str(by.id), count=len(codes))
    return codes


def _new_codes(use: str, count: int) -> list[str]:
    length = PLACE_LENGTH if use == "place" else ONE_USE_LENGTH
    return [new_code(length) for _ in range(count)]
