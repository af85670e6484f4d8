"""打击报复: a report of retaliation is urgent, and so is the complaint that it followed."""

import pytest

from shared.appraisal.labels import Role
from tests.intake.conftest import complaint

pytestmark = pytest.mark.stack


async def register(office, key, **changes):
    async with await office.signed_in(Role.OPERATOR) as operator:
        answer = await operator.post(
            "/intake/api/complaints", json=complaint(**changes), headers=key()
        )
    return answer


async def registered(office, key, **changes):
    answer = await register(office, key, **changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def link(office, key, number, source, role=Role.REVIEWER):
    async with await office.signed_in(role) as client:
        url = f"/intake/tickets/{number}/retaliation"
        return await client.post(url, data={"source": source}, headers=key())


async def urgencies(office):
    async with office.transaction() as tx:
        records = await tx.fetch("select number, urgency from complaints")
    return {record["number"]: record["urgency"] for record in records}


async def test_a_claim_of_retaliation_is_urgent_and_only_reviewers_read_it(office, key):
    source = await registered(office, key)
    report = await registered(office, key, kind="report", retaliation_for=source["number"])

    assert (await urgencies(office))[report["number"]] == "urgent"
    [(_, event)] = [
        each
        for each in await office.events("complaint.registered%")
        if each[1]["number"] == report["number"]
    ]
    assert event["urgency"] == "urgent"
    assert source["number"] not in str(event)
    async with await office.signed_in(Role.REVIEWER) as reviewer:
        page = await reviewer.get(f"/intake/tickets/{report['number']}")
    assert source["number"] in page.text


async def test_a_number_that_is_none_is_refused(office, key):
    answer = await register(office, key, retaliation_for="我也记不清了")
    assert answer.status_code == 422
    assert "原受理编号不正确" in answer.text


async def test_linking_raises_both_once(office, key):
    source = await registered(office, key)
    report = await registered(office, key, kind="report")
    for _ in range(2):
        answer = await link(office, key, report["number"], source["number"])
        assert answer.status_code == 303, answer.text

    assert set((await urgencies(office)).values()) == {"urgent"}
    events = await office.events("complaint.urgency_raised.v1")
    assert {event["complaint_id"] for _, event in events} == {source["id"], report["id"]}
    assert len(events) == 2
    async with await office.signed_in(Role.SUPERVISOR) as supervisor:
        page = await supervisor.get(f"/intake/tickets/{source['number']}")
    assert report["number"] in page.text


async def test_whoever_registered_the_source_does_not_learn_of_the_report(office, key):
    source = await registered(office, key)
    async with await office.signed_in(Role.REVIEWER) as reviewer:
        report = await reviewer.post(
            "/intake/api/complaints", json=complaint(kind="report"), headers=key()
        )
    await link(office, key, report.json()["number"], source["number"])
    async with await office.signed_in(Role.OPERATOR) as operator:
        page = await operator.get(f"/intake/tickets/{source['number']}")
    assert page.status_code == 200
    assert report.json()["number"] not in page.text


@pytest.mark.parametrize("source", ["ZT2026-999999", "不是编号", "itself"])
async def test_a_source_that_does_not_exist_is_refused(office, key, source):
    report = await registered(office, key, kind="report")
    number = report["number"] if source == "itself" else source
    answer = await link(office, key, report["number"], number)
    assert answer.status_code == 422, answer.text
    assert await office.events("complaint.urgency_raised.v1") == []


async def test_only_reviewers_link(office, key):
    source = await registered(office, key)
    report = await registered(office, key, kind="report")
    for role in (Role.OPERATOR, Role.SUPERVISOR, Role.OFFICE, Role.HANDLER):
        answer = await link(office, key, report["number"], source["number"], role)
        assert answer.status_code == 403, role


async def test_whoever_retaliates_loses_the_source_at_once(office, key):
    source = await registered(office, key)
    report = await registered(office, key, kind="report")

    await link(office, key, report["number"], source["number"])

    events = [event for _, event in await office.events("complaint.accused_recorded.v1")]
    assert [event["unit_ids"] for event in events if event["complaint_id"] == source["id"]] == [
        ["tcm"]
    ]


async def test_a_retaliator_who_is_recorded_later_loses_the_source_then(office, key):
    source = await registered(office, key)
    report = await registered(office, key, kind="report", unit_id=None)
    await link(office, key, report["number"], source["number"])
    assert await office.events("complaint.accused_recorded.v1") == []

    async with await office.signed_in(Role.REVIEWER) as reviewer:
        url = f"/intake/api/complaints/{report['number']}/accused"
        answer = await reviewer.post(url, json={"unit_ids": ["tcm"], "record": 0}, headers=key())
    assert answer.status_code in (200, 201), answer.text

    events = [event for _, event in await office.events("complaint.accused_recorded.v1")]
    assert {event["complaint_id"] for event in events} == {source["id"], report["id"]}
    assert all(event["unit_ids"] == ["tcm"] for event in events)
