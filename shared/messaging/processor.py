"""One batch is one transaction: inbox, version check, handlers, outbox, dead letters."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from shared.foundation import telemetry, tracing
from shared.foundation.clock import monotonic_seconds, real_now
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log, log_failure
from shared.messaging.batches import Batch, MalformedRecord
from shared.messaging.envelope import IncomingEvent
from shared.messaging.event_mac import FORGED
from shared.messaging.handlers import Handlers
from shared.messaging.store import checkpoints, dead_letters, inbox
from shared.messaging.store.dead_letters import FailedRecord
from shared.messaging.store.inbox import InboxResult
from shared.messaging.versions import UNLIMITED, check_versions
from shared.storage.connections import Database
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch did: the applied events in order, including released successors, and the number
    of events that were buffered.
    """

    applied: list[IncomingEvent]
    buffered: int


class BatchProcessor:
    """Applies batches of events, each in one transaction."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        *,
        context: Any,
        group: str,
    ) -> None:
        self.database = database
        self.context = context
        self.group = group
        self._handlers = handlers

    async def apply(self, batch: Batch) -> int:
        """Apply all events of `batch` or none; return the number of events that took effect.

        Malformed records are dead-lettered in the same transaction.
        """
        started = monotonic_seconds()
        events = [item for item in batch if isinstance(item, IncomingEvent)]
        malformed = [item for item in batch if isinstance(item, MalformedRecord)]
        async with self.transaction_of(events) as tx:
            await dead_letters.insert(tx, [_failure(item) for item in malformed])
            result = await self.apply_in(tx, events)
            failpoint("consumer.after_effect")
        failpoint("consumer.after_commit")
        try:
            self._record_metrics(events, result, malformed)
            telemetry.batch_seconds.labels(self.group).observe(monotonic_seconds() - started)
        except Exception as error:  # the batch is committed: it must not be retried
            log_failure("batch metrics not recorded", error, group=self.group)
        return len(result.applied)

    def transaction_of(
        self, events: Sequence[IncomingEvent]
    ) -> AbstractAsyncContextManager[Transaction]:
        """Open the transaction in which `events` are applied."""
        replay_lock = inbox.shared_replay_lock(self.database.schema)
        first_query = inbox.first_query(events)
        return self.database.transaction(self.context, first_query, setup_sql=replay_lock)

    async def apply_in(
        self,
        tx: Transaction,
        events: Sequence[IncomingEvent],
        *,
        successors: int = UNLIMITED,
    ) -> BatchResult:
        """Apply `events` in the transaction that `transaction_of(events)` opened."""
        inserted = inbox.first_result(tx)
        return await apply_events(tx, events, self._handlers, inserted, successors=successors)

    def _record_metrics(
        self,
        events: Sequence[IncomingEvent],
        result: BatchResult,
        malformed: Sequence[MalformedRecord],
    ) -> None:
        self._record_ages(result.applied)
        self._count(events, "buffered", result.buffered)
        self._count(events, "duplicate", _count_duplicates(events, result))
        for item in malformed:
            self._report_malformed(item)

    def _report_malformed(self, item: MalformedRecord) -> None:
        topic = item.record.topic
        telemetry.events_dead_lettered.labels(self.group, topic).inc()
        if item.error.reason != FORGED:
            return
        telemetry.events_forged.labels(self.group, topic).inc()
        log.error(
            "forged event dead-lettered",
            group=self.group,
            topic=topic,
            partition=item.record.partition,
            offset=item.record.offset,
            kind=item.error.detail,
        )

    def _count(
        self,
        events: Sequence[IncomingEvent],
        outcome: str,
        count: int,
    ) -> None:
        if count:
            topic = events[0].meta.topic
            telemetry.events_consumed.labels(self.group, topic, outcome).inc(count)

    def _record_ages(self, applied: Sequence[IncomingEvent]) -> None:
        now = real_now().timestamp()
        ages_by_topic: dict[str, list[float]] = defaultdict(list)
        for incoming in applied:
            ages_by_topic[incoming.meta.topic].append(now - incoming.recorded_at)
        for topic, ages in ages_by_topic.items():
            telemetry.events_consumed.labels(self.group, topic, "ok").inc(len(ages))
            observe = telemetry.event_age_seconds.labels(self.group, topic).observe
            for age in ages:
                observe(age)


def _count_duplicates(events: Sequence[IncomingEvent], result: BatchResult) -> int:
    batch_ids = set(map(id, events))  # released successors belong to an earlier batch
    applied_here = sum(id(incoming) in batch_ids for incoming in result.applied)
    return len(events) - applied_here - result.buffered


def _failure(item: MalformedRecord) -> FailedRecord:
    return FailedRecord(item.record, item.error.reason, item.error.detail, attempts=1)


async def apply_events(
    tx: Transaction,
    events: Sequence[IncomingEvent],
    handlers: Handlers,
    inserted: InboxResult,
    *,
    successors: int = UNLIMITED,
) -> BatchResult:
    """Apply each new event in this transaction: inbox, version check, handlers.

    `inserted` is the inbox result of `events`. At most `successors` buffered events are released.
    """
    fresh, version_check = await inbox.select_new(tx, events, inserted)
    failpoint("consumer.after_inbox")
    checked = await check_versions(tx, fresh, version_check, successors=successors)
    traces = [incoming.trace for incoming in checked.ready]
    with tracing.batch_span("consume batch", traces, kind=tracing.SpanKind.CONSUMER):
        await handlers.dispatch(tx, checked.ready)
        await tx.flush()
    checkpoints.record_progress(tx, events, checked.advanced)
    return BatchResult(checked.ready, checked.buffered)
