"""Consumed events: ballots are counted, everything else that affects a score enters the ledger."""

from services.scoring.actions.ballots import apply_ballot_events
from services.scoring.actions.integrity import record_holds
from services.scoring.actions.ledger import record_events
from services.scoring.domain.ledger import LEDGER_EVENTS
from shared.appraisal.events import (
    BallotsHeld,
    BallotsHoldEnded,
    BallotsReleased,
    BallotsVoided,
    Event,
    Meta,
)
from shared.messaging import Handlers
from shared.storage.transaction import Transaction

on = Handlers(linger_seconds=0.1)


@on.batch(BallotsReleased, BallotsVoided)
async def count_and_void_ballots(tx: Transaction, consumed: list[tuple[Event, Meta]]) -> None:
    """Count or void a batch of ballots of one partition."""
    await apply_ballot_events(tx, consumed)


@on.batch(BallotsHeld, BallotsHoldEnded)
async def record_integrity_events(tx: Transaction, consumed: list[tuple[Event, Meta]]) -> None:
    """Record which ballots are held, and what was decided."""
    await record_holds(tx, [event for event, _ in consumed])


@on.batch(*LEDGER_EVENTS)
async def record_ledger_events(tx: Transaction, consumed: list[tuple[Event, Meta]]) -> None:
    """Record a batch of other events in the ledger."""
    await record_events(tx, consumed)
