"""Who hears what: ballots into tallies, everything else that can move a score into the ledger."""

from services.scoring import actions
from services.scoring.domain.entries import HEARD
from shared.appraisal.events import BallotSubmitted, Event, Meta
from shared.messaging import Handlers
from shared.storage.transaction import Transaction

on = Handlers(linger_seconds=0.1)


@on.batch(BallotSubmitted)
async def ballots_came(tx: Transaction, heard: list[tuple[BallotSubmitted, Meta]]) -> None:
    await actions.count_ballots(tx, heard)


@on.batch(*HEARD)
async def something_happened(tx: Transaction, heard: list[tuple[Event, Meta]]) -> None:
    await actions.enter_events(tx, heard)
