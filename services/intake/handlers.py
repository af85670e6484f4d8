"""Events that intake consumes: organisations for accounts, campaigns for their units, cases for the
progress of complaints.
"""

from services.intake.actions import exclusions, organisations, progress
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
    CaseWithdrawn,
    Meta,
    OrganisationPublished,
)
from shared.messaging.handlers import Handlers
from shared.storage.transaction import Transaction

on = Handlers(linger_seconds=0.1)


@on.batch(OrganisationPublished)
async def store_organisations(
    tx: Transaction, batch: list[tuple[OrganisationPublished, Meta]]
) -> None:
    for event, meta in batch:
        await organisations.store_organisation(tx, event, meta.version)
    await exclusions.refresh_exclusions(tx)


@on(CampaignPublished)
async def save_campaign(
    tx: Transaction,
    event: CampaignPublished,
    meta: Meta,
) -> None:
    await campaigns.save(tx, event, meta.version)
    await exclusions.refresh_exclusions(tx)


@on.batch(
    CaseOpened,
    CaseAssigned,
    CaseAccepted,
    CaseReturned,
    CaseWithdrawn,
    CaseExtended,
    CaseRescheduled,
    CaseNotAccepted,
    CaseClosed,
)
async def update_progress(tx: Transaction, batch: list[tuple[CaseEvent, Meta]]) -> None:
    await progress.record_case_events(tx, [event for event, _ in batch])
