"""Accept ballots."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID, uuid4

from services.intake.actions import opinions
from services.intake.domain.ballots import (
    ballot_id,
    check_answers,
    hour_of,
    is_place_code,
    read_token,
    receipt_of,
    token_hash,
)
from services.intake.domain.questionnaires import WrittenAnswer
from services.intake.domain.token_batches import TokenUse
from services.intake.settings import context_of
from services.intake.store import ballots as store
from services.intake.store import campaigns, token_batches
from services.intake.store.ballots import WaitingBallot
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.token_batches import TokenBatch
from shared.appraisal.ballots import Answer, pack
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Questionnaire
from shared.foundation import telemetry
from shared.security.rate_limits import RateLimit, RateLimiter
from shared.storage.transaction import Transaction

PLACE_BALLOTS: Final = (60, 600)
"""Ballots that a place's code may bring, and within how many seconds. More are rejected, and the
batch is marked for the office.
"""
NETWORK_BALLOTS: Final = (1, 60)
"""Ballots that one network may bring with a place's code, and within how many seconds."""
ALREADY_USED: Final = "这个问卷码已经用过，每个码只能填写一次"


def _today(tx: Transaction) -> date:
    return civil_day(tx.now)


@dataclass(frozen=True, slots=True)
class OpenQuestionnaire:
    """The questionnaire of a code that can still be used."""

    batch: TokenBatch
    campaign: KnownCampaign
    questionnaire: Questionnaire


async def open_questionnaire(
    tx: Transaction,
    code: str,
    *,
    device: str = "",
) -> OpenQuestionnaire:
    """Return the questionnaire of a code that can be used now.

    Raises Rejected: 404 for an unknown code, 410 after its last day, 409 if it was used.
    """
    token = read_token(code)
    batch = await _open_batch(tx, token)
    campaign = await campaigns.get(tx, batch.campaign_id)
    id = _ballot_id(batch, token, device)
    if await store.receipt(tx, campaign.id, id) is not None:
        raise Rejected(ALREADY_USED, status=409, field="token")
    questionnaire = campaign.questionnaire(batch.instrument)
    return OpenQuestionnaire(batch, campaign, questionnaire)


async def _open_batch(tx: Transaction, token: str) -> TokenBatch:
    """Return the batch of a code. Raises Rejected: 404 unknown, 410 after its last day."""
    batch = await token_batches.batch_of(tx, token_hash(token)) if token else None
    if batch is None:
        telemetry.ballot_submits.labels("unknown").inc()
        raise Rejected("问卷码无效，请核对后再试", status=404, field="token")
    if _today(tx) > batch.closes_on:
        telemetry.ballot_submits.labels("closed").inc()
        sentence = f"问卷已于 {batch.closes_on:%Y-%m-%d} 截止，谢谢您的关注"
        raise Rejected(sentence, status=410, field="token")
    return batch


def _ballot_id(
    batch: TokenBatch,
    token: str,
    device: str,
) -> UUID:
    # A one-use code is spent by any device.
    return ballot_id(token, device if batch.use is TokenUse.PLACE else "")


async def cast_ballot(
    tx: Transaction,
    *,
    code: str,
    answers: Sequence[Answer],
    written: Sequence[WrittenAnswer] = (),
    key: str,
    device: str = "",
    source: str = "",
) -> bool:
    """Accept a ballot, once per code (for a place's code: once per device).

    Returns True if it was stored now, False for a retry with the same idempotency key `key`.
    Raises Rejected: 404 unknown code, 409 used code, 410 after its last day, 422 invalid answers.
    Nothing is stored about the sender, and no time. The ballot waits until it is released together
    with others (`ballot_release`). `written` are answers to free-text
    questions; they are stored apart from the ballot and never published. `source` (network and
    browser) is counted for minutes, apart from the ballot (`store.cast_counters`).
    """
    token = read_token(code)
    receipt = receipt_of(token, key)
    batch = await _open_batch(tx, token)
    id = _ballot_id(batch, token, device)
    spent = await store.receipt(tx, batch.campaign_id, id)
    if spent is not None:
        return _accept_retry(spent, receipt)
    campaign = await campaigns.get(tx, batch.campaign_id)
    checked = _check(campaign, batch.instrument, answers, written)
    if not await store.spend(tx, batch.campaign_id, id, receipt):
        spent = await store.receipt(tx, batch.campaign_id, id)
        return _accept_retry(spent, receipt)
    await store.add_waiting(tx, [waiting_ballot(batch, answers)])
    await opinions.store_written(
        tx,
        campaign=campaign,
        instrument=batch.instrument,
        group=batch.group,
        written=checked,
        hour=hour_of(tx.now),
    )
    await _count_source(tx, batch, source)
    telemetry.ballot_submits.labels("accepted").inc()
    return True


async def _count_source(
    tx: Transaction,
    batch: TokenBatch,
    source: str,
) -> None:
    counters = context_of(tx).cast_counters
    if counters is not None:
        await counters.record(batch.id, source, now=tx.now)


def _check(
    campaign: KnownCampaign,
    instrument: str,
    answers: Sequence[Answer],
    written: Sequence[WrittenAnswer],
) -> list[WrittenAnswer]:
    """Return the written answers to store. Raises Rejected (422) for invalid answers."""
    questionnaire = campaign.questionnaire(instrument)
    check_answers(campaign.scheme, questionnaire, campaign.by_number, answers)
    return opinions.check_written(questionnaire, list(campaign.by_number), written)


def _accept_retry(stored_receipt: bytes | None, receipt: bytes) -> bool:
    """Return False for a retry of the stored ballot. Raises Rejected (409) for another ballot."""
    if stored_receipt == receipt:
        return False
    telemetry.ballot_submits.labels("repeated").inc()
    raise Rejected(ALREADY_USED, status=409, field="token")


def waiting_ballot(batch: TokenBatch, answers: Sequence[Answer]) -> WaitingBallot:
    """Return a ballot as it is stored until its release. Its id is random."""
    return WaitingBallot(uuid4(), batch.campaign_id, batch.id, pack(sorted(answers)))


def check_not_place_code(code: str) -> None:
    """Raise Rejected (403) for a place's code: a script could invent a device for every ballot."""
    if is_place_code(read_token(code)):
        sentence = "张贴用的固定码只能在问卷页面上填写，不能通过接口提交"
        raise Rejected(sentence, status=403, field="token")


async def place_wait_seconds(
    tx: Transaction,
    limiter: RateLimiter,
    code: str,
    *,
    network: str,
) -> int | None:
    """Return the seconds until a place's code may bring another ballot, or None if it may now.

    One network may bring one ballot a minute. A code that is used faster than people can write
    marks its batch for the office, so the caller must commit even if there is a wait. One-use codes
    are not limited.
    """
    token = read_token(code)
    if not is_place_code(token):
        return None
    if wait := await limiter.hit(RateLimit(f"place/{token}/{network}", *NETWORK_BALLOTS)):
        telemetry.ballot_submits.labels("limited").inc()
        return wait
    wait = await limiter.hit(RateLimit(f"place/{token}", *PLACE_BALLOTS))
    if not wait:
        return None
    telemetry.ballot_submits.labels("flooded").inc()
    await _mark_flooded(tx, token)
    return wait


async def _mark_flooded(tx: Transaction, token: str) -> None:
    batch = await token_batches.batch_of(tx, token_hash(token))
    if batch is not None and await token_batches.mark_flooded(tx, batch.id):
        tx.audit("tokens.flooded", batch.id, "system", campaign=batch.campaign_id)
