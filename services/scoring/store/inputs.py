"""The inputs of units' scores, read from ledger and tallies."""

from collections.abc import Collection

from services.scoring.domain.campaign import Campaign
from services.scoring.domain.inputs import AnswerCounts, AnswerKey, ScoreInputs, score_inputs
from services.scoring.store import ballots, ledger
from shared.storage.transaction import Transaction


async def load_inputs(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Collection[int],
) -> dict[int, ScoreInputs]:
    """Unit → everything known about it now."""
    entries = await ledger.current_entries(tx, campaign.id, unit_nos)
    counts = await _answer_counts(tx, campaign, unit_nos)
    return {
        unit_no: score_inputs(campaign.scheme, counts[unit_no], entries[unit_no])
        for unit_no in unit_nos
    }


async def _answer_counts(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Collection[int],
) -> dict[int, AnswerCounts]:
    counts: dict[int, dict[AnswerKey, int]] = {unit_no: {} for unit_no in unit_nos}
    for row in await ballots.answer_counts(tx, campaign.response_groups, unit_nos):
        instrument, group = campaign.response_groups[row.response_group_id]
        counts[row.unit_no][instrument, group, row.item_no, row.option_no] = row.answer_count
    return dict(counts)
