"""Events that notify consumes.

Handlers receive batches, so that thousands of lapsed deadlines take a few statements and are sent
in the order of their due times.
"""

from services.notify.actions import publishing, reference
from services.notify.domain.rules import CONSUMED_EVENTS
from shared.appraisal.events import (
    CampaignPublished,
    CaseUnitsExcluded,
    Event,
    Meta,
    OrganisationPublished,
    ScoreChanged,
)
from shared.messaging import Handlers
from shared.storage.transaction import Transaction

on = Handlers()


@on(OrganisationPublished)
async def store_organisation(
    tx: Transaction,
    event: OrganisationPublished,
    meta: Meta,
) -> None:
    await reference.store_organisation(tx, event)


@on(CampaignPublished)
async def store_campaign_labels(
    tx: Transaction,
    event: CampaignPublished,
    meta: Meta,
) -> None:
    await reference.store_labels(tx, event)


_NOTIFYING_EVENTS = (event for event in CONSUMED_EVENTS if event is not ScoreChanged)


@on.batch(CaseUnitsExcluded, *_NOTIFYING_EVENTS)
async def notify_of_events(tx: Transaction, consumed: list[tuple[Event, Meta]]) -> None:
    await publishing.notify_of_events(tx, consumed)


@on.batch(ScoreChanged)
async def notify_of_scores(tx: Transaction, consumed: list[tuple[ScoreChanged, Meta]]) -> None:
    await publishing.notify_of_scores(tx, consumed)
