"""What scoring seals and exports, so that others can check its scores."""

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from services.scoring.domain.campaign import Campaign
from services.scoring.domain.score import UnitScore
from services.scoring.store.campaigns import get_campaign, read_campaign
from services.scoring.store.scores import decode_score
from shared.appraisal.sealed_inputs import text_digest
from shared.security.evidence import ArchiveFile, Line, json_line, rows_of
from shared.security.input_seals import SealedStream
from shared.storage.transaction import Transaction

MANUAL_LINES: Final = SealedStream(
    "ledger",
    """
    select l.event_id as id, l.part, 'ledger.' || l.measure as type, l.subject_id::text as key,
      l.version, l.occurred_at as at,
      json_build_object('campaign_id', l.campaign_id, 'unit_no', l.unit_no, 'detail', l.detail,
        'item', l.item, 'points', l.points::text, 'number', l.number, 'text', l.text)::text as body
    from ledger l where l.measure in ('decision', 'revoked', 'sheet')
    """,
    id="l.event_id",
    part="l.part",
)
"""Ledger lines that a person entered: no event of another service brings them."""

_BALLOTS: Final = """
select b.ballot_id, g.instrument, g.group_key, b.released_hour, encode(b.answers, 'hex')
from ballots b left join response_groups g on g.id = b.response_group_id
where b.campaign_id = {campaign} order by b.ballot_id
"""
_VOIDED: Final = """
select ballot_id, integrity_event_id from voided_ballots
where campaign_id = {campaign} order by ballot_id
"""
_LEDGER: Final = """
select event_id, part, measure, subject_id, version, occurred_at, unit_no, detail, item, late,
  option_no, points::text, kind, source_id, number, text
from ledger where campaign_id = {campaign} order by event_id, part
"""
_TALLIES: Final = """
select g.instrument, g.group_key, t.unit_no, t.item_no, t.option_no, sum(t.answer_count)::bigint
from tallies t join response_groups g on g.id = t.response_group_id
where g.campaign_id = {campaign} group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
"""
_SCORES: Final = """
select unit_no, body, total::text, ranked, sample from scores
where campaign_id = {campaign} and scheme_version = {version} order by unit_no
"""
_PENDING: Final = """
select coalesce(array_agg(distinct unit_no order by unit_no), '{}')
from pending_rescores, unnest(unit_nos) as unit_no where campaign_id = $1
"""


async def campaign_lines(tx: Transaction, campaign: Campaign) -> AsyncIterator[Line]:
    """Yield one line: rules, units and the units that wait to be scored again."""
    units = [
        {"unit_no": unit.unit_no, "unit_id": unit.unit_id, "category": unit.category}
        for unit in sorted(campaign.units, key=lambda unit: unit.unit_no)
    ]
    yield json_line(
        {
            "id": campaign.id,
            "scheme_version": campaign.scheme.version,
            "scheme": campaign.scheme.to_json(),
            "units": units,
            "waiting": await tx.fetchval(_PENDING, campaign.id),
        }
    )


async def ballot_lines(tx: Transaction, campaign: Campaign) -> AsyncIterator[Line]:
    """Yield the ballots as scoring stores them."""
    async for row in rows_of(tx, _BALLOTS, campaign=campaign.id):
        yield json_line(list(row))


async def voided_lines(tx: Transaction, campaign: Campaign) -> AsyncIterator[Line]:
    """Yield the reversals of void ballots."""
    async for row in rows_of(tx, _VOIDED, campaign=campaign.id):
        yield json_line(list(row))


async def ledger_lines(tx: Transaction, campaign: Campaign) -> AsyncIterator[Line]:
    """Yield the ledger, its texts as digests."""
    async for row in rows_of(tx, _LEDGER, campaign=campaign.id):
        event_id, *others, text = row
        yield json_line([event_id, *others, text_digest(str(event_id), text)])


async def tally_lines(tx: Transaction, campaign: Campaign) -> AsyncIterator[Line]:
    """Yield how often each answer was given."""
    async for row in rows_of(tx, _TALLIES, campaign=campaign.id):
        yield json_line(list(row))


async def score_lines(tx: Transaction, campaign: Campaign) -> AsyncIterator[Line]:
    """Yield the running scores, and the figures of their columns, which pages list."""
    rows = rows_of(tx, _SCORES, campaign=campaign.id, version=campaign.scheme.version)
    async for unit_no, body, total, ranked, sample in rows:
        listed = {"total": total, "ranked": ranked, "sample": sample}
        score = decode_score(body) if body else None
        yield json_line({"unit_no": unit_no, "score": _result(score), "listed": listed})


def _result(score: UnitScore | None) -> dict[str, Any] | None:
    if score is None:
        return None
    marks = {key: mark if mark is None else str(mark) for key, mark in score.marks.items()}
    total = None if score.total is None else str(score.total)
    values = {"total": total, "ranked": score.ranked, "sample": score.sample, "marks": marks}
    return msgspec.to_builtins(values)  # type: ignore[no-any-return]


async def evidence_of(tx: Transaction, campaign_id: str) -> list[ArchiveFile]:
    """Return scoring's own files of an evidence archive. Raises Rejected (404)."""
    await get_campaign(tx, campaign_id)
    # Not from the cache: it would hide rules that were changed in the database.
    campaign = await read_campaign(tx, campaign_id)
    return [
        ArchiveFile("campaign.json", campaign_lines(tx, campaign)),
        ArchiveFile("ballots.jsonl", ballot_lines(tx, campaign)),
        ArchiveFile("voided.jsonl", voided_lines(tx, campaign)),
        ArchiveFile("ledger.jsonl", ledger_lines(tx, campaign)),
        ArchiveFile("tallies.jsonl", tally_lines(tx, campaign)),
        ArchiveFile("scores.jsonl", score_lines(tx, campaign)),
    ]
