"""The ledger: entries of consumed events, after which the affected units are scored again."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from services.scoring.actions.changes import Trigger
from services.scoring.actions.rescoring import schedule_rescore
from services.scoring.domain.campaign import Campaign
from services.scoring.domain.ledger import LedgerEntry, ledger_entries
from services.scoring.store import campaigns, ledger
from shared.appraisal.errors import Rejected
from shared.appraisal.events import Event, Meta
from shared.foundation import telemetry
from shared.foundation.grouping import group_by
from shared.storage.transaction import Transaction

Consumed = Sequence[tuple[Event, Meta]]


async def record_events(tx: Transaction, consumed: Consumed) -> None:
    """Record cases, visits, ratings and lapsed obligations, and score the units they concern.

    Raises Rejected for an event whose campaign, unit or checklist item is unknown.
    """
    by_campaign = group_by(consumed, _campaign_id)
    known = await campaigns.find_campaigns(tx, by_campaign.keys())
    for campaign_id in sorted(by_campaign):
        if campaign_id not in known:
            raise Rejected("事件所属的评议活动不存在")
        await _record(tx, known[campaign_id], by_campaign[campaign_id])


def _campaign_id(pair: tuple[Event, Meta]) -> str:
    campaign_id: str = pair[0].campaign_id  # type: ignore[attr-defined]
    return campaign_id


async def _record(
    tx: Transaction,
    campaign: Campaign,
    consumed: Consumed,
) -> None:
    entries: list[LedgerEntry] = []
    for event, meta in consumed:
        entries += ledger_entries(event, meta, scheme=campaign.scheme, units=campaign.numbers)
    shard = min(meta.partition for _, meta in consumed)
    await insert_entries(tx, campaign, entries, shard=shard)


async def insert_entries(
    tx: Transaction,
    campaign: Campaign,
    entries: Sequence[LedgerEntry],
    *,
    shard: int = 0,
) -> None:
    """Insert entries; when any is new, score the units they affect again."""
    if not await ledger.insert_entries(tx, campaign.id, entries):
        return
    _count_inputs(entries)
    units = await ledger.affected_units(tx, campaign.id, _subjects(entries))
    await schedule_rescore(tx, campaign, units, _trigger(entries), shard=shard)


def _trigger(entries: Sequence[LedgerEntry]) -> Trigger:
    events = frozenset(entry.event_id for entry in entries)
    return Trigger(entries[-1].source, events)


def _count_inputs(entries: Sequence[LedgerEntry]) -> None:
    subjects = Counter(entry.source for entry in entries if entry.part == 0)
    for source, count in subjects.items():
        telemetry.score_inputs.labels(source.value).inc(count)


def _subjects(entries: Sequence[LedgerEntry]) -> set[UUID]:
    subjects = {entry.subject_id for entry in entries}
    sources = {entry.source_id for entry in entries if entry.source_id}
    return subjects | sources
