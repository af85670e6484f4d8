"""What casework hears: complaints and visits that become cases, campaigns with their rules."""

from collections.abc import Sequence

from services.casework.actions import duties, opening
from shared.appraisal.events import (
    CampaignPublished,
    ComplaintRated,
    ComplaintRegistered,
    ComplaintRepeated,
    Event,
    Meta,
    VisitSubmitted,
)
from shared.messaging import Handlers
from shared.storage.transaction import Transaction

on = Handlers()


@on(CampaignPublished)
async def _(tx: Transaction, event: CampaignPublished, meta: Meta) -> None:
    await duties.keep_campaign(tx, event)


# One handler for the whole topic: a batch stays whole, however repeats and ratings are strewn among
# new complaints.
@on.batch(ComplaintRegistered, ComplaintRepeated, ComplaintRated)
async def _(tx: Transaction, heard: Sequence[tuple[Event, Meta]]) -> None:
    await opening.hear_complaints(
        tx, [event for event, _ in heard if isinstance(event, ComplaintRegistered)]
    )
    for event, _ in heard:
        if isinstance(event, ComplaintRepeated):
            await opening.hear_repeat(tx, event.complaint_id, event.repeats)
        elif isinstance(event, ComplaintRated):
            await opening.hear_rating(tx, event.complaint_id, event.option)


@on.batch(VisitSubmitted)
async def _(tx: Transaction, heard: list[tuple[VisitSubmitted, Meta]]) -> None:
    await opening.hear_visits(tx, [event for event, _ in heard])
