"""The inbox: which events were consumed, and how far each aggregate came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from shared.messaging.envelope import Aggregate, IncomingEvent
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import FirstQuery, Transaction

_VERSION_CHECK = """
select array_agg(coalesce(s.version, 0) order by n) as versions,
  array_agg(exists (
    select from buffered_events h where (h.topic, h.key) = (w.topic, w.key)
  ) order by n) as has_buffered
from unnest({topics}::text[], {keys}::text[]) with ordinality as w (topic, key, n)
left join aggregate_versions s using (topic, key)
"""
_INSERT_INBOX = f"""
with inserted as (
  insert into inbox (event_id) select * from unnest($1::uuid[])
  on conflict do nothing returning event_id
), version_check as ({_VERSION_CHECK.format(topics="$2", keys="$3")})
select public.app_now() as now, version_check.*,
  (select case when count(*) = cardinality($1::uuid[]) then null
          else coalesce(array_agg(event_id), '{{}}') end from inserted) as fresh
from version_check
"""
_VERSIONS = _VERSION_CHECK.format(topics="$1", keys="$2")


class InboxResult(msgspec.Struct, frozen=True):
    """Result of inserting events into the inbox.

    `fresh` lists the ids that were new; None means all of them. `versions` and `has_buffered` are
    in the order of `aggregates_of(events)`. They were read when the statement began, so they are
    only valid if every event was new.
    """

    now: Any
    versions: Sequence[int] | None
    has_buffered: Sequence[bool] | None
    fresh: Sequence[UUID] | None


@dataclass(frozen=True, slots=True)
class VersionCheck:
    """Last consumed version of each aggregate, and the aggregates that have buffered events."""

    versions: Mapping[Aggregate, int]
    with_buffered: Sequence[Aggregate]


def shared_replay_lock(service: str) -> str:
    """Return the statement by which a transaction of events excludes replays.

    Without it a replay and a batch could each miss that the other one stores the predecessor.
    """
    return f"select pg_advisory_xact_lock_shared({advisory_lock_key('replay', service)})"


def exclusive_replay_lock(service: str) -> str:
    """Return the statement by which a replay waits for all running transactions of events."""
    return f"select pg_advisory_xact_lock({advisory_lock_key('replay', service)})"


def first_query(events: Sequence[IncomingEvent]) -> FirstQuery:
    """Return the first statement of the transaction that applies `events`."""
    event_ids = [incoming.meta.event_id for incoming in events]
    return _INSERT_INBOX, (event_ids, *_columns(aggregates_of(events)))


def first_result(tx: Transaction) -> InboxResult:
    """Return the inbox result of a transaction that was opened with `first_query`."""
    return InboxResult(**tx.first_row)


async def insert(tx: Transaction, events: Sequence[IncomingEvent]) -> InboxResult:
    """Insert `events` into the inbox in a transaction that is already open."""
    sql, arguments = first_query(events)
    row = await tx.fetchrow(sql, *arguments)
    assert row is not None, "the version check always returns a row"
    return InboxResult(**row)


async def select_new(
    tx: Transaction,
    events: Sequence[IncomingEvent],
    inserted: InboxResult,
) -> tuple[list[IncomingEvent], VersionCheck]:
    """Return the events that were never consumed before, in order, and their version check."""
    if inserted.fresh is None:
        return list(events), _version_check(events, inserted.versions, inserted.has_buffered)
    remaining = {str(event_id) for event_id in inserted.fresh}
    fresh = [incoming for incoming in events if _discard(remaining, str(incoming.meta.event_id))]
    row = await tx.fetchrow(_VERSIONS, *_columns(aggregates_of(fresh)))
    assert row is not None, "an aggregate always returns a row"
    return fresh, _version_check(fresh, row["versions"], row["has_buffered"])


async def forget(tx: Transaction, event_id: UUID) -> None:
    """Delete an event from the inbox, so that it can be consumed again."""
    await tx.run("delete from inbox where event_id = $1", event_id)


def aggregates_of(events: Sequence[IncomingEvent]) -> list[Aggregate]:
    """Return the sorted aggregates of `events`; single events have no versions to check."""
    return sorted({incoming.aggregate for incoming in events if not incoming.single_event})


def _columns(aggregates: Sequence[Aggregate]) -> tuple[list[str], list[str]]:
    return [topic for topic, _ in aggregates], [key for _, key in aggregates]


def _version_check(
    events: Sequence[IncomingEvent],
    versions: Sequence[int] | None,
    has_buffered: Sequence[bool] | None,
) -> VersionCheck:
    aggregates = aggregates_of(events)
    flagged = zip(aggregates, has_buffered or (), strict=True)
    with_buffered = [aggregate for aggregate, flag in flagged if flag]
    return VersionCheck(dict(zip(aggregates, versions or (), strict=True)), with_buffered)


def _discard(event_ids: set[str], event_id: str) -> bool:
    present = event_id in event_ids
    event_ids.discard(event_id)
    return present
