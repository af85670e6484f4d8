"""Escalates lapsed deadlines that nobody resolves."""

from typing import Final

from services.notify.actions.publishing import publish
from services.notify.domain.escalation import escalations_of
from services.notify.settings import context_of
from services.notify.store import notifications, reference
from shared.storage.transaction import Transaction

ESCALATE_MAX: Final = 200
"""Notifications per pass."""


async def escalate(tx: Transaction) -> bool:
    """Notify the next level of lapses that are still unresolved. Return True if more may wait."""
    candidates = await notifications.claim_escalations(tx, ESCALATE_MAX)
    lapses = [candidate for candidate in candidates if not candidate.resolved]
    if lapses:
        units = {lapse.unit_id for lapse in lapses if lapse.unit_id}
        known = await reference.load_reference(tx, context_of(tx).calendar, units=units)
        escalations = [new for lapse in lapses for new in escalations_of(lapse, known, now=tx.now)]
        await publish(tx, escalations)
    return len(candidates) == ESCALATE_MAX
