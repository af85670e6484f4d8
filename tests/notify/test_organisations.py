"""Notifications follow the register: names, and the heir of a merged body."""

from datetime import date

import msgspec
import pytest

from services.notify.actions import reference
from services.notify.domain.audience import Audience
from services.notify.store.inbox import count_unread, find_link
from services.notify.store.reference import unit_names
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseUnitsExcluded, CaseUrged, OrganisationPublished
from shared.appraisal.labels import ComplaintKind, OrganisationState, SuccessionKind
from shared.appraisal.organisations import Organisation, OrganisationName, Successor
from tests.notify.conftest import LIU, QIAN, WANG, WEDNESDAY, ZHOU, CaseEvents
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


# ── 回避 ──────────────────────────────────────────────────────────────────────────────────────────


async def test_an_excluded_unit_loses_its_notices_and_gets_no_new_ones(notify):
    subscription = await notify.subscribe(
        "json://127.0.0.1:9/tax", role=Audience.HANDLER, unit_id="tax"
    )
    case = CaseEvents(kind=ComplaintKind.REPORT)
    await notify.consume(case.opened(), case.assigned())
    [notice] = await notify.inbox(LIU)

    await notify.consume(
        case.event(CaseUnitsExcluded, excluded_unit_ids=("tax",)), case.withdrawn()
    )
    await notify.consume(case.event(CaseUrged, unit_id="tax", urges=1))

    assert await notify.inbox(LIU) == []
    async with notify.transaction() as tx:
        assert await count_unread(tx, LIU) == 0
        assert await find_link(tx, LIU, notice.id) is None
    states = await notify.fetch(
        "select state from deliveries where subscription_id = $1", subscription
    )
    assert [row["state"] for row in states] == ["withdrawn"]
    for person in (ZHOU, WANG):
        assert "应当回避" in (await notify.texts(person))[-1]


async def test_the_heir_of_an_excluded_unit_never_reads_the_number(notify):
    subscription = await notify.subscribe(
        "json://127.0.0.1:9/heir", role=Audience.HANDLER, unit_id="health"
    )
    case = CaseEvents(kind=ComplaintKind.REPORT)
    await notify.consume(case.opened(), case.event(CaseUnitsExcluded, excluded_unit_ids=("gov",)))
    await notify.consume(case.assigned())

    await consume(notify, merged("tax", "health"), merged("gov", "health"))
    await notify.consume(case.warned())

    heir = msgspec.structs.replace(QIAN, inherited_unit_ids=("tax", "gov"))
    assert await notify.inbox(heir) == []
    assert len(await notify.inbox(LIU)) == 2, "casework names what becomes of the old accounts"
    assert not await notify.fetch("select from deliveries where subscription_id = $1", subscription)
