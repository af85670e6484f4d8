"""并入 and its undoing: reviewers only, one kind only, and no word of a repeated 举报."""

import re
from uuid import uuid4

import pytest

from services.intake.actions.mergers import merge_complaint
from services.intake.store import complaint_lists
from services.intake.store.progress import get as progress_of
from services.intake.views.complaints import complaint_detail
from services.intake.views.releases import queue
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from tests.intake.conftest import complaint
from tests.intake.test_accused import recorded, register
from tests.organisations import body

stack = pytest.mark.stack
REASON = "两件不是同一件事，时间地点都不同"


async def registered(office, key, count=2, **changes) -> list[str]:
    """The numbers of new complaints of one operator."""
    numbers = []
    async with await office.signed_in(Role.OPERATOR) as operator:
        for _ in range(count):
            given = complaint(**changes)
            answer = await operator.post("/intake/api/complaints", json=given, headers=key())
            numbers.append(answer.json()["number"])
    return numbers


async def merged(office, key, number, into, *, role=Role.REVIEWER):
    async with await office.signed_in(role) as person:
        url = f"/intake/api/complaints/{number}/merger"
        return await person.post(url, json={"into": into}, headers=key())


async def undone(office, key, number, *, role=Role.REVIEWER, reason=REASON):
    async with await office.signed_in(role) as person:
        url = f"/intake/api/complaints/{number}/merger/undoing"
        return await person.post(url, json={"reason": reason}, headers=key())


async def waiting(office) -> set[str]:
    async with office.transaction() as tx:
        return {each.row.number for each in await queue(tx, office.person(Role.REVIEWER))}


async def names(office, *kinds: str) -> list[str]:
    return [name for name, _ in await office.events() if name in kinds]


@stack
async def test_a_merger_and_its_undoing_are_announced_and_restore_everything(office, key):
    first, second = await registered(office, key)

    again = [await merged(office, key, second, first) for _ in range(2)]
    while_merged = await waiting(office)
    circle = await merged(office, key, first, second)
    released = await undone(office, key, second)
    nothing_left = await undone(office, key, second)

    assert [each.status_code for each in again] == [201, 201]
    assert again[0].json() == {"number": second, "merged_into": first}
    assert (while_merged, await waiting(office)) == ({first}, {first, second})
    assert (circle.status_code, nothing_left.status_code) == (422, 409)
    assert released.json() == {"number": second, "merged_into": None}
    kinds = ("complaint.merged.v1", "complaint.unmerged.v1", "complaint.repeated.v1")
    assert await names(office, *kinds) == [kinds[0], kinds[2], kinds[1], kinds[2]]
    repeats = [event["repeats"] for _, event in await office.events("complaint.repeated.v1")]
    assert repeats == [1, 0]


@stack
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.SUPERVISOR, Role.OFFICE, Role.ADMIN])
async def test_only_a_reviewer_merges_and_undoes(office, key, role):
    first, second = await registered(office, key)

    refused = await merged(office, key, second, first, role=role)
    await merged(office, key, second, first)
    undoing = await undone(office, key, second, role=role)

    assert (refused.status_code, undoing.status_code) == (403, 403)
    assert await names(office, "complaint.unmerged.v1") == []


@stack
async def test_a_merger_is_refused_to_whoever_calls_it_but_a_reviewer(office, key):
    first, second = await registered(office, key)

    for role in (Role.OPERATOR, Role.SUPERVISOR):
        async with office.transaction() as tx:
            with pytest.raises(Rejected, match="只有受理审核"):
                await merge_complaint(tx, number=second, into=first, by=office.person(role))


@stack
async def test_a_report_is_merged_with_nothing_but_a_report(office, key):
    await register(office, body("tcm"), body("tax"))
    [plain] = await registered(office, key, 1)
    one, two = await registered(office, key, kind="report")

    too_early = await merged(office, key, two, one)
    for number, unit_ids in ((one, ["tcm"]), (two, ["tcm", "tax"])):
        await recorded(office, key, number, unit_ids)
    mixed = [await merged(office, key, *pair) for pair in ((one, plain), (plain, one))]
    joined = await merged(office, key, two, one)

    assert [each.status_code for each in (*mixed, too_early, joined)] == [422, 422, 422, 201]
    [*_, (_, last)] = await office.events("complaint.accused_recorded.v1")
    assert last["unit_ids"] == ["tcm", "tax"], "the joint matter bans whom either accuses"


@stack
async def test_nobody_outside_learns_that_a_report_was_made_again(office, key):
    await register(office, body("tcm"))
    one, two = await registered(office, key, kind="report")
    for number in (one, two):
        await recorded(office, key, number, ["tcm"])
    await merged(office, key, two, one)
    operator = office.person(Role.OPERATOR)

    async with office.transaction() as tx:
        listed = await complaint_lists.registered_by(
            tx, operator.id, since=tx.now.replace(year=2020)
        )
        first = await complaint_detail(tx, one, operator)
        second = await complaint_detail(tx, two, operator)
        reviewed = await complaint_detail(tx, one, office.person(Role.REVIEWER))
        progress = await progress_of(tx, second.complaint.id)

    assert {each.repeats for each in listed} == {0}
    assert (first.complaint.repeats, second.complaint.merged_number) == (0, None)
    assert reviewed.complaint.repeats == 1
    assert not progress.shows_merger


@stack
async def test_the_page_merges_and_undoes_with_a_reason(office, key):
    first, second = await registered(office, key)
    async with await office.signed_in(Role.REVIEWER) as reviewer:
        form = {"idempotency_key": str(uuid4()), "into": first}
        sent = await reviewer.post(f"/intake/tickets/{second}/merger", data=form)
        page = await reviewer.get(f"/intake/tickets/{second}")
        url = f"/intake/tickets/{second}/merger/undoing"
        short = await reviewer.post(url, data={"idempotency_key": str(uuid4()), "reason": "错"})
        form = {"idempotency_key": str(uuid4()), "reason": REASON}
        back = await reviewer.post(url, data=form)

    assert (sent.status_code, short.status_code, back.status_code) == (303, 422, 303)
    assert re.search(f"已并入 <a[^>]*>{first}", page.text)
    assert "撤销并入" in page.text
    async with office.transaction() as tx:
        left = await tx.fetchval("select count(*) from complaints where merged_into is not null")
    assert left == 0
