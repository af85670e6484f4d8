"""What intake hears: campaigns, to know units and questionnaires; cases, to tell the citizen."""

from services.intake.actions import tracking
from services.intake.store import campaigns
from shared.bus.handlers import Handlers
from shared.database import Transaction
from shared.events import (
    CampaignPublished,
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseExtended,
    CaseNotAccepted,
    CaseOpened,
    CaseRescheduled,
    CaseReturned,
    Meta,
)

on = Handlers()


@on(CampaignPublished)
async def _(tx: Transaction, event: CampaignPublished, meta: Meta) -> None:
    await campaigns.keep(tx, event, meta.version)


@on(CaseOpened)
async def _(tx: Transaction, event: CaseOpened, meta: Meta) -> None:
    await tracking.note_opened(tx, event)


@on(CaseAssigned)
async def _(tx: Transaction, event: CaseAssigned, meta: Meta) -> None:
    await tracking.note_assigned(tx, event)


@on(CaseAccepted)
async def _(tx: Transaction, event: CaseAccepted, meta: Meta) -> None:
    await tracking.note_accepted(tx, event)


@on(CaseReturned)
async def _(tx: Transaction, event: CaseReturned, meta: Meta) -> None:
    await tracking.note_returned(tx, event)


@on(CaseExtended)
async def _(tx: Transaction, event: CaseExtended, meta: Meta) -> None:
    await tracking.note_moved(tx, event)


@on(CaseRescheduled)
async def _(tx: Transaction, event: CaseRescheduled, meta: Meta) -> None:
    await tracking.note_moved(tx, event)


@on(CaseNotAccepted)
async def _(tx: Transaction, event: CaseNotAccepted, meta: Meta) -> None:
    await tracking.note_not_accepted(tx, event)


@on(CaseClosed)
async def _(tx: Transaction, event: CaseClosed, meta: Meta) -> None:
    await tracking.note_closed(tx, event)
