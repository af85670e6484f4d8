"""Import ballots."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.intake.actions.ballots import ballot_submitted, packed_ballot
from services.intake.actions.imports.rows import ImportJob, RejectedRow
from services.intake.domain.ballots import check_answers, hashed_id, hour_of
from services.intake.store import ballots as store
from services.intake.store import campaigns
from services.intake.store.ballots import PackedBallot, TokenBatch
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.ballots import Answer
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import MappedRow
from shared.appraisal.schemes import Questionnaire
from shared.foundation import telemetry
from shared.storage.transaction import Transaction

BatchKey = tuple[str, str, str | None]
"""(instrument, group, point): imported ballots with the same key share a batch."""


@dataclass(frozen=True, slots=True)
class _ValidRow:
    row: MappedRow
    batch_key: BatchKey
    answers: list[Answer]


async def import_ballots(
    tx: Transaction,
    job: ImportJob,
    rows: Sequence[MappedRow],
) -> list[RejectedRow]:
    campaign = await campaigns.get(tx, job.campaign_id)
    rejected: list[RejectedRow] = []
    valid: list[_ValidRow] = []
    for row in rows:
        try:
            valid.append(_valid_row(row, campaign))
        except Rejected as error:
            rejected.append((row, error))
    if not job.dry_run:
        await _store_ballots(tx, job, valid)
    return rejected


def _valid_row(row: MappedRow, campaign: KnownCampaign) -> _ValidRow:
    questionnaire = _questionnaire(row, campaign)
    group = row.text("group") or questionnaire.groups[0].key
    if questionnaire.group(group) is None:
        raise Rejected("问卷没有这个评议主体", status=422, field="group")
    key = (questionnaire.key, group, row.text("point") or None)
    answers = _answers(row, campaign, questionnaire)
    return _ValidRow(row, key, answers)


def _questionnaire(row: MappedRow, campaign: KnownCampaign) -> Questionnaire:
    """Return the questionnaire that the row names, or the scheme's first."""
    first = campaign.scheme.questionnaires[0]
    key = row.text("instrument") or first.key
    return campaign.questionnaire(key)


def _answers(
    row: MappedRow,
    campaign: KnownCampaign,
    questionnaire: Questionnaire,
) -> list[Answer]:
    option_nos = _option_nos(campaign)
    answers: list[Answer] = []
    for unit_name, item_no, code in row.answers:
        if code not in option_nos:
            raise Rejected(f"方案没有“{code}”这个选项", status=422, field="options")
        unit = campaign.unit_named(unit_name)
        answers.append((unit.unit_no, item_no, option_nos[code]))
    check_answers(campaign.scheme, questionnaire, campaign.by_number, answers)
    return answers


def _option_nos(campaign: KnownCampaign) -> dict[str, int]:
    """Return the numbers of the options by their code and by the number itself."""
    options = campaign.scheme.options
    by_code = {option.code: option.no for option in options}
    return by_code | {str(option.no): option.no for option in options}


async def _store_ballots(
    tx: Transaction,
    job: ImportJob,
    valid: Sequence[_ValidRow],
) -> None:
    """Store the ballots with one COPY and enter each batch into the register of issuance."""
    ballots: list[PackedBallot] = []
    for key, rows in _by_batch(valid).items():
        batch = _batch(job, key)
        await store.extend_batch(tx, batch, len(rows), by=job.by.id)
        ballots += _publish_ballots(tx, job, batch, rows)
    await store.add_many(tx, ballots)
    telemetry.ballot_submits.labels("accepted").inc(len(ballots))


def _by_batch(valid: Sequence[_ValidRow]) -> dict[BatchKey, list[_ValidRow]]:
    """Return the rows by batch, in one order, so that two imports never wait for each other."""
    keys = {row.batch_key for row in valid}
    rows: dict[BatchKey, list[_ValidRow]] = {key: [] for key in sorted(keys, key=str)}
    for row in valid:
        rows[row.batch_key].append(row)
    return rows


def _batch(job: ImportJob, key: BatchKey) -> TokenBatch:
    instrument, group, point = key
    return TokenBatch(
        id=hashed_id(job.id_source(key)),
        campaign_id=job.campaign_id,
        instrument=instrument,
        group=group,
        point=point,
        use="one_use",
        closes_on=None,
    )


def _publish_ballots(
    tx: Transaction,
    job: ImportJob,
    batch: TokenBatch,
    rows: Iterable[_ValidRow],
) -> list[PackedBallot]:
    ballots: list[PackedBallot] = []
    for valid in rows:
        ballot_id = hashed_id(job.id_source(valid.row.id))
        cast_at = valid.row.instant("cast_at") or tx.now
        hour = hour_of(cast_at)
        ballot = packed_ballot(batch, ballot_id, valid.answers, receipt=b"", hour=hour)
        ballots.append(ballot)
        tx.publish(ballot_submitted(batch, ballot_id, valid.answers, hour=hour))
    return ballots
