"""What intake hears: campaigns, to know units and questionnaires; cases, to tell the complainant."""

from services.intake.actions import tracking
from services.intake.store import campaigns
from shared.appraisal.events import (
    CampaignPublished,
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseEvent,
    CaseExtended,
    CaseNotAccepted,
    CaseOpened,
    CaseRescheduled,
    CaseReturned,
    Meta,
)
from shared.messaging.handlers import Handlers
from shared.storage.transaction import Transaction

on = Handlers(linger_seconds=0.1)


@on(CampaignPublished)
async def _(tx: Transaction, event: CampaignPublished, meta: Meta) -> None:
    await campaigns.save(tx, event, meta.version)


@on.batch(
    CaseOpened,
    CaseAssigned,
    CaseAccepted,
    CaseReturned,
    CaseExtended,
    CaseRescheduled,
    CaseNotAccepted,
    CaseClosed,
)
async def _(tx: Transaction, heard: list[tuple[CaseEvent, Meta]]) -> None:
    await tracking.note_cases(tx, [event for event, _ in heard])
