"""Events of a failed batch, one by one: bounded retries, then the dead-letter table."""

from collections.abc import AsyncIterator

import stamina

from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.foundation.telemetry import log_failure
from shared.messaging import dead_letters
from shared.messaging.batches import Batch, Incoming
from shared.messaging.envelope import IncomingEvent, Record, RecordDecodeError
from shared.messaging.processor import BatchProcessor
from shared.messaging.store import buffered_events, inbox
from shared.messaging.store import dead_letters as dead_letter_rows
from shared.messaging.store.dead_letters import FailedRecord
from shared.storage.errors import is_unavailable, retry_while_unavailable
from shared.storage.transaction import Transaction

ATTEMPTS_MAX = 5
BACKOFF_SECONDS = 0.1
BACKOFF_SECONDS_MAX = 2.7
BACKOFF_FACTOR = 3
BACKOFF_JITTER_SECONDS = 0.2

PERMANENT_ERRORS = (
    RecordDecodeError,
    Rejected,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    AssertionError,
)
"""Errors that no retry can cure: the event is dead-lettered at once."""


class _DryRunSucceeded(Exception):
    """Raised to roll back a dry run that succeeded."""


class _BufferChanged(Exception):
    """The buffered events changed between dry run and apply."""


class EventRetry:
    """Applies the events of a batch one by one and dead-letters those that fail.

    A dead-lettered event quarantines its aggregate: later versions find their predecessor missing
    and are buffered, in order, until the dead letter is replayed.
    """

    def __init__(self, processor: BatchProcessor) -> None:
        self._processor = processor
        self._database = processor.database

    async def apply_each(self, batch: Batch) -> None:
        """Apply each event of `batch`. Raises only while the database is unavailable."""
        for item in batch:
            await retry_while_unavailable(self._apply_or_give_up, item)

    async def _apply_or_give_up(self, item: Incoming) -> None:
        attempts = 0
        try:
            async for attempt in _bounded_attempts():
                attempts = attempt.num
                with attempt:
                    await self._processor.apply([item])
        except Exception as error:
            if is_unavailable(error):
                raise
            await self._give_up(item, error, attempts)

    async def _give_up(
        self,
        item: Incoming,
        error: Exception,
        attempts: int,
    ) -> None:
        culprit = await self._give_up_successor(item, error, attempts)
        if culprit is None:
            await dead_letters.store(self._database, item.record, error, attempts)
        self._report(culprit or item.record, error, attempts)

    async def _give_up_successor(
        self,
        item: Incoming,
        error: Exception,
        attempts: int,
    ) -> Record | None:
        """Dead-letter the buffered successor of `item` that fails, and apply what precedes it.

        An event releases its buffered successors, so one of them may be the one that fails.
        Returns the dead-lettered record, or None if the event itself fails.
        """
        if not isinstance(item, IncomingEvent) or item.single_event:
            return None
        try:
            successors = await self._count_good_successors(item)
            if successors is None:
                return None
            return await self._apply_up_to_culprit(item, successors, error, attempts)
        except Exception as second:
            if is_unavailable(second):
                raise
            return None

    async def _count_good_successors(self, item: IncomingEvent) -> int | None:
        """Return the number of successors that `item` can release without failing.

        None if there is no successor or the event fails alone.
        """
        if not await self._has_successor(item) or not await self._dry_run(item, 0):
            return None
        successors = 0
        while await self._dry_run(item, successors + 1):
            successors += 1
        return successors

    async def _has_successor(self, item: IncomingEvent) -> bool:
        async with self._database.transaction(self._processor.context) as tx:
            return await buffered_events.successor_of(tx, item, after=0) is not None

    async def _apply_up_to_culprit(
        self,
        item: IncomingEvent,
        successors: int,
        error: Exception,
        attempts: int,
    ) -> Record:
        async with self._processor.transaction_of([item]) as tx:
            await self._processor.apply_in(tx, [item], successors=successors)
            culprit = await buffered_events.successor_of(tx, item, after=successors)
            if culprit is None:
                raise _BufferChanged
            failure = dead_letters.failure_of(culprit.record, error, attempts)
            await _store_and_unbuffer(tx, culprit, failure)
        return culprit.record

    async def _dry_run(self, item: IncomingEvent, successors: int) -> bool:
        """Return whether `item` takes effect with `successors` successors; write nothing.

        Raises _BufferChanged if fewer successors are buffered.
        """
        try:
            await self._apply_and_roll_back(item, successors)
        except _DryRunSucceeded:
            return True
        except Exception as error:
            if is_unavailable(error) or isinstance(error, _BufferChanged):
                raise
        return False

    async def _apply_and_roll_back(self, item: IncomingEvent, successors: int) -> None:
        """Raise _DryRunSucceeded, _BufferChanged, or the error of a handler."""
        async with self._processor.transaction_of([item]) as tx:
            result = await self._processor.apply_in(tx, [item], successors=successors)
            complete = len(result.applied) == 1 + successors
            raise _DryRunSucceeded if complete else _BufferChanged

    def _report(
        self,
        record: Record,
        error: Exception,
        attempts: int,
    ) -> None:
        group = self._processor.group
        _count_dead_lettered(group, record.topic)
        log_failure(
            "event dead-lettered",
            error,
            group=group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=attempts,
        )


def _count_dead_lettered(group: str, topic: str) -> None:
    telemetry.events_dead_lettered.labels(group, topic).inc()
    telemetry.events_consumed.labels(group, topic, "dead_lettered").inc()


def _bounded_attempts() -> AsyncIterator[stamina.Attempt]:
    return stamina.retry_context(
        on=_is_retriable,
        attempts=ATTEMPTS_MAX,
        timeout=None,
        wait_initial=BACKOFF_SECONDS,
        wait_max=BACKOFF_SECONDS_MAX,
        wait_jitter=BACKOFF_JITTER_SECONDS,
        wait_exp_base=BACKOFF_FACTOR,
    )


async def _store_and_unbuffer(
    tx: Transaction,
    culprit: IncomingEvent,
    failure: FailedRecord,
) -> None:
    await dead_letter_rows.insert(tx, [failure])
    await buffered_events.delete(tx, [culprit])
    await inbox.forget(tx, culprit.meta.event_id)


def _is_retriable(error: Exception) -> bool:
    return not is_unavailable(error) and not isinstance(error, PERMANENT_ERRORS)
