"""Tallies: answers counted by unit, questionnaire, group and item."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.scoring.domain.campaign import Campaign
from services.scoring.store import ballots
from services.scoring.store.ballots import AnswerCount
from shared.appraisal.small_cells import shown_cells
from shared.storage.transaction import Transaction

TallyKey = tuple[int, int, int]
"""(unit_no, response_group_id, item_no)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyView:
    """Answers of one group to one item about one unit.

    `answer_counts`: option number → answers in steps of ten, None where too few to be shown; None
    where the whole group is too small.
    """

    unit_id: str
    instrument: str
    group: str
    item: int
    answer_counts: dict[int, int | None] | None


async def list_tallies(
    tx: Transaction,
    campaign: Campaign,
    *,
    unit_id: str = "",
    instrument: str = "",
) -> list[TallyView]:
    """Return the tallies of a campaign, optionally of one unit or questionnaire."""
    unit_nos = [campaign.unit(unit_id).unit_no] if unit_id else None
    group_ids = _response_groups(campaign, instrument)
    by_key = _by_key(await ballots.answer_counts(tx, group_ids, unit_nos))
    return [_view(campaign, key, counts) for key, counts in sorted(by_key.items())]


def _response_groups(campaign: Campaign, instrument: str) -> list[int]:
    """Return the ids of the response groups of a questionnaire, or of all."""
    ids = campaign.response_group_ids
    return [id for (key, _), id in ids.items() if instrument in ("", key)]


def _by_key(rows: Iterable[AnswerCount]) -> dict[TallyKey, dict[int, int]]:
    by_key: dict[TallyKey, dict[int, int]] = defaultdict(dict)
    for row in rows:
        key = (row.unit_no, row.response_group_id, row.item_no)
        by_key[key][row.option_no] = row.answer_count
    return by_key


def _view(
    campaign: Campaign,
    key: TallyKey,
    counts: Mapping[int, int],
) -> TallyView:
    unit_no, response_group_id, item = key
    instrument, group = campaign.response_groups[response_group_id]
    small = sum(counts.values()) < campaign.scheme.publication.small_group
    offered = campaign.scheme.offered_choices[instrument][item]
    shown = shown_cells({no: counts.get(no, 0) for no in sorted(offered)})
    return TallyView(
        unit_id=campaign.by_no[unit_no].unit_id,
        instrument=instrument,
        group=group,
        item=item,
        answer_counts=None if small else shown,
    )
