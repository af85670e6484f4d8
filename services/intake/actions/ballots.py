"""Issuing questionnaire codes and taking ballots."""

import secrets
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from services.intake.domain.ballots import (
    ALPHABET,
    ONE_USE_SIGNS,
    PLACE_SIGNS,
    ballot_id,
    check_answers,
    hour_of,
    read_token,
    receipt_of,
    token_hash,
)
from services.intake.store import ballots as store
from services.intake.store import campaigns
from shared.appraisal.ballots import Answer, pack
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotSubmitted
from shared.appraisal.schemes import Questionnaire
from shared.foundation import telemetry
from shared.foundation.clock import CHINA
from shared.security.policies import Account
from shared.security.rate_limits import RateLimit, RateLimiter
from shared.storage.transaction import Transaction, new_id

BATCH_MAX: Final = 20_000
PLACE_BALLOTS: Final = (60, 600)
"""Ballots that one place's code may bring, and within how many seconds; more is marked for the
office to look at.
"""
ALREADY_USED: Final = "这个问卷码已经用过，每个码只能填写一次"


async def issue_tokens(
    tx: Transaction,
    *,
    campaign_id: str,
    instrument: str,
    group: str,
    point: str | None,
    count: int,
    use: str = "one_use",
    closes_on: date | None = None,
    by: Account,
) -> tuple[UUID, list[str]]:
    """Make a batch of codes; gives its id and the codes, which nobody can ask for again. Raises
    Rejected (422).

    Without `closes_on` the codes end with the campaign's period, unless that is over already.
    """
    campaign = await campaigns.get(tx, campaign_id)
    questionnaire = campaign.questionnaire(instrument)
    if questionnaire.group(group) is None:
        raise Rejected("问卷没有这个评议主体", status=422, field="group")
    if not 1 <= count <= (1 if use == "place" else BATCH_MAX):
        raise Rejected(
            f"数量应为 1 至 {BATCH_MAX}；张贴用的固定码每批一个", status=422, field="count"
        )
    codes = [new_code(PLACE_SIGNS if use == "place" else ONE_USE_SIGNS) for _ in range(count)]
    ends, batch_id = campaign.scheme.period.ends, new_id()
    await store.add_batch(
        tx,
        batch_id,
        campaign_id=campaign_id,
        instrument=instrument,
        group=group,
        point=point,
        use=use,
        by=by.id,
        hashes=[token_hash(code) for code in codes],
        closes_on=closes_on or (ends if ends >= _today(tx) else None),
    )
    issued = {
        "campaign": campaign_id,
        "instrument": instrument,
        "group": group,
        "point": point,
        "count": count,
        "use": use,
    }
    tx.audit("tokens.issued", batch_id, str(by.id), **issued)
    return batch_id, codes


def new_code(signs: int) -> str:
    """A code of so many random signs."""
    return "".join(secrets.choice(ALPHABET) for _ in range(signs))


def _today(tx: Transaction) -> date:
    return tx.now.astimezone(CHINA).date()


async def open_questionnaire(
    tx: Transaction, code: str, *, device: str = ""
) -> tuple[Any, campaigns.KnownCampaign, Questionnaire]:
    """(batch, campaign, questionnaire) of a code that can be used now.

    Raises Rejected: 404 for a code that is none, 410 after its last day, 409 when it was used.
    """
    token = read_token(code)
    batch = await store.batch_of(tx, token_hash(token)) if token else None
    if batch is None:
        telemetry.ballot_submits.labels("unknown").inc()
        raise Rejected("问卷码无效，请核对后再试", status=404, field="token")
    if batch["closes_on"] is not None and _today(tx) > batch["closes_on"]:
        telemetry.ballot_submits.labels("closed").inc()
        raise Rejected(
            f"问卷已于 {batch['closes_on']:%Y-%m-%d} 截止，谢谢您的关注", status=410, field="token"
        )
    campaign = await campaigns.get(tx, batch["campaign_id"])
    if await store.receipt(tx, campaign.id, _id(batch, token, device)) is not None:
        raise Rejected(ALREADY_USED, status=409, field="token")
    return batch, campaign, campaign.questionnaire(batch["instrument"])


async def cast_ballot(
    tx: Transaction, *, code: str, answers: Sequence[Answer], key: str, device: str = ""
) -> bool:
    """Take a ballot, once for each code (for a code of a place: once for each device). True: taken
    now; False: the same sending again.

    `key` is the sender's idempotency key. Raises Rejected: 404 unknown code, 409 used code, 410
    after its last day, 422 wrong answers. Nothing is kept of who sent it or when, but the hour.
    """
    token = read_token(code)
    try:
        batch, campaign, questionnaire = await open_questionnaire(tx, code, device=device)
    except Rejected as refused:
        if refused.status == 409 and await _is_repetition(tx, token, key, device):
            return False
        if refused.status == 409:
            telemetry.ballot_submits.labels("repeated").inc()
        raise
    check_answers(campaign.scheme, questionnaire, campaign.by_number, answers)
    stored = await store.cast(
        tx,
        campaign_id=campaign.id,
        ballot_id=_id(batch, token, device),
        batch_id=batch["id"],
        answers=pack(sorted(answers)),
        receipt=receipt_of(token, key),
        hour=hour_of(tx.now),
    )
    if not stored:
        return await _second(tx, token, key, device)
    tx.publish(fact(batch, _id(batch, token, device), answers, hour_of(tx.now)))
    telemetry.ballot_submits.labels("accepted").inc()
    for _, _, option_no in answers:
        option = campaign.scheme.option(option_no)
        telemetry.ballot_answers.labels(option.code if option else "unknown").inc()
    return True


async def _second(tx: Transaction, token: str, key: str, device: str) -> bool:
    if await _is_repetition(tx, token, key, device):
        return False
    telemetry.ballot_submits.labels("repeated").inc()
    raise Rejected(ALREADY_USED, status=409, field="token")


async def _is_repetition(tx: Transaction, token: str, key: str, device: str) -> bool:
    batch = await store.batch_of(tx, token_hash(token))
    return batch is not None and await store.receipt(
        tx, batch["campaign_id"], _id(batch, token, device)
    ) == receipt_of(token, key)


def _id(batch: Any, token: str, device: str) -> UUID:
    # A one-use code is spent whatever device it is used on.
    return ballot_id(token, device if batch["use"] == "place" else "")


def fact(batch: Any, id: UUID, answers: Sequence[Answer], hour: datetime) -> BallotSubmitted:
    """The ballot as it travels."""
    return BallotSubmitted(
        occurred_at=hour,
        ballot_id=id,
        campaign_id=batch["campaign_id"],
        instrument=batch["instrument"],
        group=batch["group"],
        point=batch["point"],
        answers=tuple(sorted(answers)),
    )


async def place_wait(tx: Transaction, limiter: RateLimiter, code: str) -> int | None:
    """Seconds until a place's code may bring another ballot; None: now, and of every code of one
    use.

    Ballots that come faster than people can write mark the place for the office to look at: commit
    `tx` also when there is a wait.
    """
    token = read_token(code)
    if len(token) != PLACE_SIGNS or not (
        wait := await limiter.hit(RateLimit(f"place/{token}", *PLACE_BALLOTS))
    ):
        return None
    telemetry.ballot_submits.labels("flooded").inc()
    batch = await store.batch_of(tx, token_hash(token))
    if batch is not None and await store.note_flood(tx, batch["id"]):
        tx.audit("tokens.flooded", batch["id"], "system", campaign=batch["campaign_id"])
    return wait
