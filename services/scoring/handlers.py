"""Consumed events: ballots are counted, everything else that affects a score enters the ledger."""

from services.scoring.actions.ballots import count_ballots
from services.scoring.actions.ledger import record_events
from services.scoring.domain.ledger import LEDGER_EVENTS
from shared.appraisal.events import BallotsReleased, Event, Meta
from shared.messaging import Handlers
from shared.storage.transaction import Transaction

on = Handlers(linger_seconds=0.1)


@on.batch(BallotsReleased)
async def count_released_ballots(
    tx: Transaction, consumed: list[tuple[BallotsReleased, Meta]]
) -> None:
    """Count a batch of ballots of one partition."""
    await count_ballots(tx, consumed)


@on.batch(*LEDGER_EVENTS)
async def record_ledger_events(tx: Transaction, consumed: list[tuple[Event, Meta]]) -> None:
    """Record a batch of other events in the ledger."""
    await record_events(tx, consumed)
