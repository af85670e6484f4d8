"""Import ballots."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from services.intake.actions.ballots import waiting_ballot
from services.intake.actions.imports.rows import ImportJob, RejectedRow
from services.intake.actions.token_batches import default_closing_day
from services.intake.domain.ballots import check_answers, hashed_id
from services.intake.domain.token_batches import TokenUse
from services.intake.store import ballots as store
from services.intake.store import campaigns, token_batches
from services.intake.store.ballots import WaitingBallot
from services.intake.store.campaigns import KnownCampaign
from services.intake.store.token_batches import TokenBatch
from shared.appraisal.ballots import Answer
from shared.appraisal.errors import Rejected
from shared.appraisal.imports import MappedRow
from shared.appraisal.schemes import Questionnaire
from shared.foundation import telemetry
from shared.storage.transaction import Transaction

BatchKey = tuple[str, str]
"""(instrument, group): imported ballots with the same key share a batch."""


@dataclass(frozen=True, slots=True)
class _ValidRow:
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
        await _store_ballots(tx, job, campaign, valid)
    return rejected


def _valid_row(row: MappedRow, campaign: KnownCampaign) -> _ValidRow:
    questionnaire = _questionnaire(row, campaign)
    group = row.text("group") or questionnaire.groups[0].key
    if questionnaire.group(group) is None:
        raise Rejected("问卷没有这个评议主体", status=422, field="group")
    answers = _answers(row, campaign, questionnaire)
    return _ValidRow((questionnaire.key, group), answers)


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
    campaign: KnownCampaign,
    valid: Sequence[_ValidRow],
) -> None:
    """Store the ballots until their release, and enter each batch into the register of issuance."""
    closes_on = default_closing_day(tx, campaign)
    ballots: list[WaitingBallot] = []
    for key, rows in _by_batch(valid).items():
        batch = _batch(job, key, closes_on)
        await token_batches.extend_batch(tx, batch, len(rows), by=job.by.id)
        ballots += [waiting_ballot(batch, row.answers) for row in rows]
    await store.add_waiting(tx, ballots)
    telemetry.ballot_submits.labels("accepted").inc(len(ballots))


def _by_batch(valid: Sequence[_ValidRow]) -> dict[BatchKey, list[_ValidRow]]:
    """Return the rows by batch, in one order, so that two imports never wait for each other."""
    keys = {row.batch_key for row in valid}
    rows: dict[BatchKey, list[_ValidRow]] = {key: [] for key in sorted(keys)}
    for row in valid:
        rows[row.batch_key].append(row)
    return rows


def _batch(
    job: ImportJob,
    key: BatchKey,
    closes_on: date,
) -> TokenBatch:
    instrument, group = key
    return TokenBatch(
        id=hashed_id(job.id_source(key)),
        campaign_id=job.campaign_id,
        instrument=instrument,
        group=group,
        unit_id=None,
        use=TokenUse.PAPER,
        closes_on=closes_on,
    )
