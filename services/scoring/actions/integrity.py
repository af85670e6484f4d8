"""Which ballots intake holds, and what two people decided about them."""

from collections.abc import Sequence

from services.scoring.store import integrity
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotsHeld, BallotsHoldEnded, Event
from shared.storage.transaction import Transaction


async def record_holds(
    tx: Transaction,
    events: Sequence[Event],
) -> None:
    """Record holds and their ends, in any order."""
    for event in events:
        if isinstance(event, BallotsHeld):
            await integrity.record_hold(tx, event)
        elif isinstance(event, BallotsHoldEnded):
            await integrity.record_end(tx, event)


async def check_nothing_held(tx: Transaction, campaign_id: str) -> None:
    """Raise Rejected (409) while an integrity event of the campaign is undecided."""
    undecided = await integrity.count_undecided(tx, campaign_id)
    if undecided:
        raise Rejected(f"还有 {undecided} 条疑似异常的答卷没有处理，请先由两人决定计入或作废")
