"""问卷码: one person requests a batch, another opens it, once.

Whoever requests codes must not be able to cast the ballots themselves, so the codes do not exist
until a second person opens the batch to hand them out. They are shown this once; only their hashes
are stored.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from services.intake.domain.ballots import ONE_USE_LENGTH, PLACE_LENGTH, new_code, token_hash
from services.intake.domain.token_batches import TokenUse
from services.intake.store import campaigns
from services.intake.store import token_batches as store
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.token_batches import TokenBatch
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

BATCH_MIN: Final = 10
"""A smaller batch would tie its few ballots to the few people who got its codes."""
BATCH_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """A batch of codes that somebody wants.

    Without `closes_on` the codes expire at the end of the campaign's period, or today if it is
    over. `unit_id`: in whose hall a place's code is displayed, `expected`: how many ballots it may
    bring before two people look at them.
    """

    campaign_id: str
    instrument: str
    group: str
    count: int
    use: TokenUse = TokenUse.ONE_USE
    unit_id: str | None = None
    expected: int | None = None
    closes_on: date | None = None


async def request_batch(
    tx: Transaction,
    wanted: BatchRequest,
    *,
    by: Account,
) -> UUID:
    """Request a batch of codes for another person to open, and return its id.

    Raises Rejected (422).
    """
    campaign = await campaigns.get(tx, wanted.campaign_id)
    _check_batch(campaign, wanted)
    _check_place(campaign, wanted)
    batch = TokenBatch(
        id=new_id(),
        campaign_id=wanted.campaign_id,
        instrument=wanted.instrument,
        group=wanted.group,
        unit_id=wanted.unit_id,
        use=wanted.use,
        closes_on=wanted.closes_on or default_closing_day(tx, campaign),
    )
    await store.add_batch(tx, batch, wanted.count, by=by.id, expected=wanted.expected)
    tx.audit(
        "tokens.requested",
        batch.id,
        str(by.id),
        campaign=wanted.campaign_id,
        instrument=wanted.instrument,
        group=wanted.group,
        unit=wanted.unit_id,
        count=wanted.count,
        expected=wanted.expected,
        use=wanted.use,
    )
    return batch.id


def _check_batch(campaign: KnownCampaign, wanted: BatchRequest) -> None:
    if campaign.questionnaire(wanted.instrument).group(wanted.group) is None:
        raise Rejected("问卷没有这个评议主体", status=422, field="group")
    is_place = wanted.use is TokenUse.PLACE
    if is_place and wanted.count != 1:
        raise Rejected("张贴用的固定码每批一个", status=422, field="count")
    if not is_place and not BATCH_MIN <= wanted.count <= BATCH_MAX:
        sentence = f"每批 {BATCH_MIN} 至 {BATCH_MAX} 个；太少会看出是谁填的"
        raise Rejected(sentence, status=422, field="count")


def _check_place(campaign: KnownCampaign, wanted: BatchRequest) -> None:
    """Raise Rejected (422) unless a place's code, and no other, names a unit of the campaign and
    the ballots that are expected there.
    """
    if wanted.use is TokenUse.PLACE:
        campaign.unit(wanted.unit_id or "")
        if wanted.expected is None or wanted.expected < BATCH_MIN:
            sentence = f"请填写预计份数，至少 {BATCH_MIN} 份；超出时答卷暂扣，由两人核查"
            raise Rejected(sentence, status=422, field="expected")
    elif wanted.unit_id is not None:
        raise Rejected("一次性问卷码不分发放地点，请不要选单位", status=422, field="unit_id")
    elif wanted.expected is not None:
        raise Rejected(
            "一次性问卷码的应有份数就是数量，请不要填预计份数", status=422, field="expected"
        )


def default_closing_day(tx: Transaction, campaign: KnownCampaign) -> date:
    """Return the last day of the campaign's period, or today if it is over."""
    today = civil_day(tx.now)
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


def _new_codes(use: TokenUse, count: int) -> list[str]:
    length = PLACE_LENGTH if use is TokenUse.PLACE else ONE_USE_LENGTH
    return [new_code(length) for _ in range(count)]
