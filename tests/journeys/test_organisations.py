"""One code in two campaigns: the people of one body never meet the cases of another."""

from random import Random

import pytest

from services.simulate import texts
from services.simulate.accounts import OFFICE, OPERATOR, REVIEWER, SUPERVISOR, handler_of
from services.simulate.client import id_of
from services.simulate.errors import RequestRejected
from services.simulate.releases import record_accused, release_summary
from services.simulate.requests import complaint_body
from services.simulate.units import UNITS_BY_CODE
from tests.journeys.conftest import BEGINS, System, eventually

pytestmark = pytest.mark.stack
G02 = UNITS_BY_CODE["G02"]
D05 = UNITS_BY_CODE["D05"]


async def second_campaign(system: System) -> str:
    """Publish a campaign in which another body has the local code of G02; return its id."""
    office = await system.as_(OFFICE)
    unit = {"name": "某县教育局", "category": "government", "create": True}
    request = {"scheme": "J", "year": 2026, "campaign_id": "county-2026", "units": [unit]}
    for claimed in (G02.code, G02.unit_id):
        with pytest.raises(RequestRejected) as refused:
            await office.publish_campaign(
                request | {"units": [unit | {"unit_id": claimed}]}, key=id_of("claim", claimed)
            )
        assert refused.value.status == 422
    published = await office.publish_campaign(request, key=id_of("county"))

    async def known() -> bool:
        return len(await office.campaigns()) == 2

    await eventually(known)
    return str(published["units"][0]["unit_id"])


@pytest.mark.parametrize("kind", ["complaint", "report"])
async def test_a_code_used_twice_opens_nothing_of_another_body(system: System, kind: str):
    await system.publish()
    unit_id = await second_campaign(system)
    operator, reviewer = await system.as_(OPERATOR), await system.as_(REVIEWER)
    supervisor = await system.as_(SUPERVISOR)
    body = complaint_body(texts.complaint(Random(1), G02, BEGINS, "08"), "county-2026", "hotline")
    sent = body | {"unit_id": unit_id, "kind": kind, "urgency": "normal", "urgency_reason": ""}
    receipt = (await operator.register_complaint(sent, key=id_of("county", kind))).body
    await release_summary(reviewer, receipt["number"], key=id_of("release", kind))

    async def opened():
        found, _ = await supervisor.cases()
        return [row for row in found if row["redacted_summary"] == sent["redacted_summary"]]

    [case] = await eventually(opened)
    handler = await system.as_(handler_of(G02.unit_id))

    assert unit_id != G02.unit_id
    assert await handler.cases() == ([], 0)
    assert await handler.notifications() == []
    with pytest.raises(RequestRejected) as hidden:
        await handler.accept_case(case["number"], key=id_of("accept", kind))
    assert hidden.value.status == 404


async def test_an_accused_that_is_recorded_later_loses_case_and_notices_at_once(system: System):
    campaign = await system.publish()
    operator, reviewer = await system.as_(OPERATOR), await system.as_(REVIEWER)
    supervisor, handler = await system.as_(SUPERVISOR), await system.as_(handler_of(G02.unit_id))
    body = complaint_body(texts.complaint(Random(2), G02, BEGINS, "08"), campaign, "hotline")
    sent = body | {"unit_id": None, "kind": "report", "urgency": "normal", "urgency_reason": ""}
    receipt = (await operator.register_complaint(sent, key=id_of("later"))).body["number"]
    await release_summary(reviewer, receipt, key=id_of("later", "release"))

    async def released():
        found, _ = await reviewer.cases(state=["pending"])
        return [row for row in found if row["redacted_summary"] == sent["redacted_summary"]]

    [case] = await eventually(released)
    number = case["number"]
    await reviewer.act(number, "assignment", {"unit_id": G02.unit_id}, key=id_of("later", "to"))
    await eventually(handler.notifications)
    assert (await handler.case(number))["state"] == "assigned"

    await record_accused(reviewer, receipt, key=id_of("later", "who"), unit_ids=[G02.unit_id])

    async def withdrawn():
        kinds = [each["kind"] for each in await supervisor.notifications(number=number)]
        return "case_withdrawn" in kinds

    await eventually(withdrawn)
    assert await handler.cases() == ([], 0)
    assert await handler.notifications() == []
    for attempt in (handler.case(number), handler.accept_case(number, key=id_of("later", "no"))):
        with pytest.raises(RequestRejected) as hidden:
            await attempt
        assert hidden.value.status == 404
    body = {"unit_id": G02.unit_id}
    with pytest.raises(RequestRejected) as refused:
        await supervisor.act(number, "assignment", body, key=id_of("later", "back"))
    assert refused.value.status == 422
    body = {"unit_id": D05.unit_id}
    await supervisor.act(number, "assignment", body, key=id_of("later", "on"))


async def test_a_merged_case_ends_everywhere_and_comes_back_as_it_was(system: System):
    campaign = await system.publish()
    operator, reviewer = await system.as_(OPERATOR), await system.as_(REVIEWER)
    handler = await system.as_(handler_of(G02.unit_id))
    numbers = []
    for seed in (3, 4):
        body = complaint_body(texts.complaint(Random(seed), G02, BEGINS, "08"), campaign, "hotline")
        sent = body | {"kind": "complaint", "urgency": "normal", "urgency_reason": ""}
        receipt = await operator.register_complaint(sent, key=id_of("twice", seed))
        numbers.append(receipt.body["number"])
        await release_summary(reviewer, numbers[-1], key=id_of("twice", "release", seed))

    async def in_state(state: str, count: int):
        found, _ = await handler.cases(state=[state])
        return found if len(found) == count else None

    first, second = numbers
    before = await eventually(lambda: in_state("assigned", 2))
    url = f"/intake/api/complaints/{second}/merger"
    await reviewer.write(url, {"into": first}, key=id_of("twice", "merge"))
    [merged] = await eventually(lambda: in_state("merged", 1))
    reason = {"reason": "两件不是同一件事"}
    await reviewer.write(f"{url}/undoing", reason, key=id_of("twice", "undo"))

    after = await eventually(lambda: in_state("assigned", 2))

    def clocks(rows):
        return {row["number"]: row["due_at"] for row in rows}

    async def notified():
        kinds = [each["kind"] for each in await handler.notifications(number=merged["number"])]
        return {"case_merged", "case_unmerged"} <= set(kinds)

    assert clocks(after) == clocks(before)
    assert await eventually(notified)
