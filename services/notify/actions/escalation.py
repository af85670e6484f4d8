"""Escalates lapsed deadlines that nobody resolves."""

from collections.abc import Sequence
from typing import Final

from services.notify.actions.publishing import publish
from services.notify.domain.composition import NewNotification
from services.notify.domain.escalation import EscalationCandidate, escalations_of
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
        await _publish_escalations(tx, lapses)
    return len(candidates) == ESCALATE_MAX


async def _publish_escalations(tx: Transaction, lapses: Sequence[EscalationCandidate]) -> None:
    units = {lapse.unit_id for lapse in lapses if lapse.unit_id}
    known = await reference.load_reference(tx, context_of(tx).calendar, units=units)
    escalations: list[NewNotification] = []
    for lapse in lapses:
        escalations.extend(escalations_of(lapse, known, now=tx.now))
    await publish(tx, escalations)
