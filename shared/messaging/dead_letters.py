"""Dead letters: store what cannot be processed, replay or discard it later."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from shared.appraisal.errors import DependencyMissing, Rejected
from shared.foundation import telemetry
from shared.foundation.failpoints import failpoint
from shared.foundation.telemetry import log
from shared.messaging.envelope import Record, RecordDecodeError, read
from shared.messaging.event_mac import FORGED, EventVerifier
from shared.messaging.handlers import Handlers
from shared.messaging.processor import apply_events
from shared.messaging.store import dead_letters, inbox
from shared.messaging.store.dead_letters import DeadLetter, FailedRecord
from shared.storage.connections import Database
from shared.storage.errors import is_unavailable
from shared.storage.transaction import Transaction


class Replayed(NamedTuple):
    """Number of dead letters that took effect, and of those that are still pending."""

    applied: int
    pending: int


def reason_of(error: BaseException) -> tuple[str, str]:
    """Return the reason code and the detail of a failure.

    The detail quotes our own sentences only, because texts of libraries quote their input.
    """
    if isinstance(error, RecordDecodeError):
        return error.reason, error.detail
    if isinstance(error, Rejected):
        return "rejected", error.sentence
    if isinstance(error, DependencyMissing):
        return "dependency_missing", str(error)
    return "handler", " at ".join(telemetry.describe(error).values())


def failure_of(
    record: Record,
    error: BaseException,
    attempts: int,
) -> FailedRecord:
    """Return the row that dead-letters `record` because of `error`."""
    reason, detail = reason_of(error)
    return FailedRecord(record, reason, detail, attempts)


async def store(
    database: Database,
    record: Record,
    error: Exception,
    attempts: int,
) -> None:
    """Dead-letter one record in its own transaction."""
    async with database.transaction() as tx:
        await dead_letters.insert(tx, [failure_of(record, error, attempts)])
        failpoint("consumer.during_dead_letter")
    failpoint("consumer.after_dead_letter")


async def replay(
    database: Database,
    handlers: Handlers,
    context: Any,
    *,
    verifier: EventVerifier,
    by: str,
    only: Sequence[int] | None = None,
    reason: str | None = None,
) -> Replayed:
    """Apply pending dead letters, oldest version of an aggregate first.

    Replaying twice changes nothing: an applied event is in the inbox and no longer pending. One
    that was dead-lettered as forged stays pending unless its MAC fits a key by now.
    """
    verifier.refresh()
    async with database.transaction(context) as tx:
        pending_ids = await dead_letters.pending_ids(tx, only=only, reason=reason)
    applied = 0
    for entry_id in pending_ids:
        applied += await _replay_one(database, handlers, context, verifier, entry_id, by)
    return Replayed(applied, len(pending_ids) - applied)


async def _replay_one(
    database: Database,
    handlers: Handlers,
    context: Any,
    verifier: EventVerifier,
    entry_id: int,
    by: str,
) -> bool:
    replay_lock = inbox.exclusive_replay_lock(database.schema)
    try:
        async with database.transaction(context, setup_sql=replay_lock) as tx:
            return await _apply_one(tx, handlers, verifier, entry_id, by)
    except Exception as error:
        if is_unavailable(error):
            raise
        _report_failed_replay(database.schema, error)
        return False


def _report_failed_replay(service: str, error: Exception) -> None:
    level = log.info if isinstance(error, RecordDecodeError) else log.warning
    level("dead letter replay failed", service=service, **telemetry.describe(error))


async def _apply_one(
    tx: Transaction,
    handlers: Handlers,
    verifier: EventVerifier,
    entry_id: int,
    by: str,
) -> bool:
    entry = await dead_letters.resolve(tx, entry_id, state="replayed", by=by)
    if entry is None:
        return False
    if entry.reason == FORGED:  # the others were checked when they were consumed
        verifier.check(entry.record)
    events = [read(entry.record)]
    await apply_events(tx, events, handlers, await inbox.insert(tx, events))
    _audit(tx, "dead_letter.replayed", entry, by)
    return True


async def discard(
    tx: Transaction,
    entry_id: int,
    *,
    by: str,
) -> bool:
    """Give up a dead letter for good; return False if it is not pending.

    Later versions of its aggregate stay buffered: discard only what the owner publishes again.
    """
    entry = await dead_letters.resolve(tx, entry_id, state="discarded", by=by)
    if entry is None:
        return False
    _audit(tx, "dead_letter.discarded", entry, by)
    return True


def _audit(
    tx: Transaction,
    action: str,
    entry: DeadLetter,
    by: str,
) -> None:
    tx.audit(action, entry.id, by, topic=entry.topic, event_type=entry.type)
