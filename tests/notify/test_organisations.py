"""Notifications follow the register: names, and the heir of a merged body."""

from datetime import date

import msgspec
import pytest

from services.notify.actions import reference
from services.notify.domain.audience import Audience
from services.notify.store.reference import unit_names
from shared.appraisal.errors import Rejected
from shared.appraisal.events import OrganisationPublished
from shared.appraisal.labels import OrganisationState, SuccessionKind
from shared.appraisal.organisations import Organisation, OrganisationName, Successor
from tests.notify.conftest import LIU, QIAN, WEDNESDAY, CaseEvents
from tests.organisations import body

pytestmark = pytest.mark.stack


def merged(id: str, into: str) -> Organisation:
    successor = Successor(organisation_id=into, kind=SuccessionKind.MERGED, takes_over=True)
    return body(
        id, state=OrganisationState.ENDED, ended_on=date(2026, 1, 1), successors=(successor,)
    )


async def consume(notify, *organisations: Organisation) -> None:
    async with notify.transaction() as tx:
        for organisation in organisations:
            event = OrganisationPublished(occurred_at=WEDNESDAY, organisation=organisation)
            await reference.store_organisation(tx, event)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_heir_is_notified_of_the_cases_of_merged_bodies(notify, order):
    address = "json://127.0.0.1:9/heir"
    subscription = await notify.subscribe(address, role=Audience.HANDLER, unit_id="health")
    events = (merged("tax", "customs"), merged("customs", "health"))
    await consume(notify, *(events[at] for at in order))

    await notify.consume(CaseEvents().assigned())

    heir = msgspec.structs.replace(QIAN, inherited_unit_ids=("tax", "customs"))
    assert len(await notify.inbox(heir)) == 1
    assert await notify.inbox(QIAN) == []
    assert len(await notify.inbox(LIU)) == 1
    [delivery] = await notify.fetch("select subscription_id from deliveries")
    assert delivery["subscription_id"] == subscription


async def test_names_follow_the_register_and_ended_bodies_are_not_offered(notify):
    renamed = body("health", names=(OrganisationName(name="旧名"), OrganisationName(name="新名")))
    await consume(notify, renamed, merged("tax", "health"))

    async with notify.transaction() as tx:
        assert await unit_names(tx) == {"health": "新名"}
    with pytest.raises(Rejected, match="没有这个单位"):
        await notify.subscribe("json://127.0.0.1:9/x", role=Audience.HANDLER, unit_id="tax")
