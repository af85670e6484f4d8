"""Events that intake consumes: organisations for accounts, campaigns for their units, cases for the
progress of complaints.
"""

from services.intake.actions import organisations, progress
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
    OrganisationPublished,
)
from shared.messaging.handlers import Handlers
from shared.storage.transaction import Transaction

on = Handlers(linger_seconds=0.1)


@on(OrganisationPublished)
async def store_organisation(
    tx: Transaction,
    event: OrganisationPublished,
    meta: Meta,
) -> None:
    await organisations.store_organisation(tx, event, meta.version)


@on(CampaignPublished)
async def save_campaign(
    tx: Transaction,
    event: CampaignPublished,
    meta: Meta,
) -> None:
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
async def update_progress(tx: Transaction, batch: list[tuple[CaseEvent, Meta]]) -> None:
    await progress.record_case_events(tx, [event for event, _ in batch])
