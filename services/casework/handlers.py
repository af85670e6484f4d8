"""Events that casework consumes: complaints and findings open cases, campaigns bring rules."""

from collections.abc import Sequence

from services.casework.actions import (
    campaigns,
    exclusions,
    mergers,
    opening,
    ratings,
    releases,
    urgency,
)
from shared.appraisal.events import (
    CampaignPublished,
    ComplaintAccusedRecorded,
    ComplaintMerged,
    ComplaintRated,
    ComplaintRegistered,
    ComplaintRepeated,
    ComplaintSummaryReleased,
    ComplaintUnmerged,
    ComplaintUrgencyRaised,
    Event,
    FindingRegistered,
    FindingSummaryReleased,
    Meta,
    OrganisationPublished,
)
from shared.messaging import Handlers
from shared.storage.organisations import hold_register, save_organisation
from shared.storage.transaction import Transaction

on = Handlers()


@on(CampaignPublished)
async def store_campaign(
    tx: Transaction,
    event: CampaignPublished,
    meta: Meta,
) -> None:
    await campaigns.store_campaign(tx, event)
    await exclusions.refresh_exclusions(tx)


@on.batch(OrganisationPublished)
async def store_organisations(
    tx: Transaction, batch: Sequence[tuple[OrganisationPublished, Meta]]
) -> None:
    for event, meta in batch:
        await save_organisation(tx, event, meta.version)
    await exclusions.refresh_exclusions(tx)


# One handler for the whole topic, so that a batch stays whole however its events are mixed.
@on.batch(
    ComplaintRegistered,
    ComplaintAccusedRecorded,
    ComplaintSummaryReleased,
    ComplaintMerged,
    ComplaintUnmerged,
    ComplaintUrgencyRaised,
    ComplaintRepeated,
    ComplaintRated,
)
async def process_complaints(tx: Transaction, batch: Sequence[tuple[Event, Meta]]) -> None:
    events = [event for event, _ in batch]
    await hold_register(tx)
    registered = [event for event in events if isinstance(event, ComplaintRegistered)]
    released = [event for event in events if isinstance(event, ComplaintSummaryReleased)]
    summaries = {event.complaint_id: event.redacted_summary for event in released}
    await opening.open_for_complaints(tx, registered, summaries)
    opened_with_summary = summaries.keys() & {event.complaint_id for event in registered}
    texts = map(releases.text_of_complaint, released)
    await releases.apply_releases(tx, texts, without=opened_with_summary)
    for event in events:
        await _record(tx, event)


async def _record(tx: Transaction, event: Event) -> None:
    match event:
        case ComplaintUrgencyRaised():
            await urgency.raise_urgency(tx, event)
        case ComplaintAccusedRecorded():
            await exclusions.record_accused(tx, event)
        case ComplaintMerged():
            await mergers.merge_case(tx, event)
        case ComplaintUnmerged():
            await mergers.unmerge_case(tx, event)
        case ComplaintRepeated():
            await ratings.record_repeats(tx, event.complaint_id, event.repeats)
        case ComplaintRated():
            await ratings.record_rating(tx, event.complaint_id, event.option)


@on.batch(FindingRegistered, FindingSummaryReleased)
async def process_findings(tx: Transaction, batch: Sequence[tuple[Event, Meta]]) -> None:
    events = [event for event, _ in batch]
    registered = [event for event in events if isinstance(event, FindingRegistered)]
    released = [event for event in events if isinstance(event, FindingSummaryReleased)]
    await opening.open_for_findings(tx, registered)
    await releases.apply_releases(tx, map(releases.text_of_finding, released))
