"""回避: whom a 举报 accuses is recorded, and whoever is excluded by it loses the case at once."""

from datetime import date

import msgspec
import pytest

from services.casework.actions import assignment, extensions, handling, pauses
from services.casework.domain.states import CaseState
from services.casework.handlers import on
from services.casework.store.case_lists import CaseFilter
from services.casework.store.deadlines import DeadlineFilter, find
from services.casework.views.case_lists import count_cases, list_cases, search_cases
from services.casework.views.cases import case_details
from shared.appraisal.errors import Rejected
from shared.appraisal.events import (
    CaseUnitsExcluded,
    CaseWithdrawn,
    ComplaintAccusedRecorded,
    OrganisationPublished,
)
from shared.appraisal.labels import ComplaintKind, OrganisationState, Role, SuccessionKind
from shared.appraisal.organisations import Organisation, Successor
from tests.casework.conftest import (
    ACCOUNT,
    CHEN,
    LI,
    REPLY,
    SUN,
    ZHAO,
    World,
    person,
)
from tests.casework.test_cases import incoming
from tests.organisations import body

pytestmark = pytest.mark.stack
HEAD_OF_SCHOOLS = person(31, "郑负责", Role.UNIT_HEAD, "schools")


async def register(world: World, *organisations: Organisation, version: int = 1) -> None:
    """Let published bodies arrive, as the consumer takes them."""
    now = await world.clock.now()
    events = [OrganisationPublished(occurred_at=now, organisation=each) for each in organisations]
    async with world.database.transaction(world.context) as tx:
        await on.dispatch(tx, [incoming(event, version) for event in events])


async def report(world: World, **changes) -> str:
    """A 举报 against nobody in particular."""
    return await world.open(kind=ComplaintKind.REPORT, **{"unit_id": None} | changes)


async def status_of(world: World, number: str, user) -> int:
    """The status with which the page of a case answers."""
    try:
        await world.do(case_details, number=number, user=user)
    except Rejected as refused:
        return refused.status
    return 200


async def sees(world: World, number: str, user) -> bool:
    """Whether a person finds a case; every way to it must agree."""
    read = await status_of(world, number, user) == 200
    counts = await world.do(count_cases, user=user)
    listed = await world.do(list_cases, user=user, wanted=CaseFilter())
    matches = await world.do(search_cases, user=user, q=number)
    deadlines = await world.do(find, user=user, wanted=DeadlineFilter(), limit=50)
    answers = (
        sum(counts.by_state.values()) > 0,
        listed.total > 0,
        bool(matches),
        any(row.number == number for row in deadlines),
    )
    assert answers == (read,) * 4
    return read


def merged(id: str, into: str) -> Organisation:
    successor = Successor(organisation_id=into, kind=SuccessionKind.MERGED, takes_over=True)
    ended_on = date(2026, 11, 20)
    return body(id, state=OrganisationState.ENDED, ended_on=ended_on, successors=(successor,))


async def test_a_report_is_assigned_only_after_its_accused_were_recorded(world):
    number = await report(world, records_accused=False)

    details = await world.do(case_details, number=number, user=SUN)
    with pytest.raises(Rejected, match="还没有登记被举报单位"):
        await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    assert "assign" not in details.actions
    assert details.awaits_accused

    await world.accuse(number)  # A person looked at it: nobody can be named.
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)


async def test_every_accused_body_is_excluded_with_all_that_is_under_it(world):
    await register(world, body("health"), body("roads", parent_id="health"), body("schools"))
    number = await report(world)
    await world.accuse(number, "health", "elsewhere", record=2)

    for unit_id in ("health", "roads"):
        with pytest.raises(Rejected, match="举报件不得转被举报单位"):
            await world.do(assignment.assign_case, number=number, unit_id=unit_id, by=SUN)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)

    last = (await world.events(CaseUnitsExcluded))[-1]
    assert last.excluded_unit_ids == ("elsewhere", "health", "roads")


@pytest.mark.parametrize("over", [False, True])
async def test_what_is_over_the_accused_is_excluded_by_the_schemes_rule(world, over: bool):
    rules = msgspec.structs.replace(world.scheme.case_rules, not_by_superiors=over)
    await register(world, body("roads"), body("health", parent_id="roads"))
    await report(world, unit_id="health")

    await world.publish(msgspec.structs.replace(world.scheme, case_rules=rules))
    [event] = await on_campaign(world)

    assert ("roads" in event.excluded_unit_ids) is over


async def on_campaign(world: World) -> list[CaseUnitsExcluded]:
    from services.casework.actions.exclusions import refresh_exclusions

    await world.do(refresh_exclusions)
    return (await world.events(CaseUnitsExcluded))[-1:]


STAGES = {
    "assigned": (),
    "accepted": ("accept",),
    "extension requested": ("accept", "extend"),
    "paused": ("accept", "pause"),
    "under review": ("accept", "submit"),
}


async def advance(world: World, number: str, step: str) -> None:
    match step:
        case "accept":
            await world.do(handling.accept_case, number=number, by=CHEN)
        case "extend":
            await world.do(
                extensions.request_extension,
                number=number,
                amount=2,
                reason="需到外地调取证据材料",
                by=CHEN,
            )
        case "pause":
            until = (await world.clock.now()).replace(day=27)
            await world.do(
                pauses.pause_case, number=number, reason="supplement", until=until, by=ZHAO
            )
        case "submit":
            await world.do(
                handling.submit_result,
                number=number,
                account=ACCOUNT,
                finding="unsubstantiated",
                measures="",
                reply=REPLY,
                by=CHEN,
            )


@pytest.mark.parametrize("steps", STAGES.values(), ids=STAGES)
async def test_a_case_leaves_its_unit_the_moment_that_unit_is_accused(world, steps):
    number = await report(world)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    for step in steps:
        await advance(world, number, step)
    assert await sees(world, number, CHEN)

    await world.accuse(number, "schools", record=2)

    assert not await sees(world, number, CHEN)
    assert not await sees(world, number, HEAD_OF_SCHOOLS)
    case = await world.case(number)
    assert (case.state, case.unit_id, case.handler_id) == (CaseState.PENDING, None, None)
    active = await world.rows(
        "select kind from deadlines where case_id is not null and ended_at is null"
    )
    assert [row["kind"] for row in active] == ["assign"]
    [event] = await world.events(CaseWithdrawn)
    assert (event.from_unit_id, event.unit_id) == ("schools", None)
    assert [each.kind for each in event.deadlines] == ["assign"]

    await world.do(assignment.assign_case, number=number, unit_id="roads", by=ZHAO)
    await world.clock.advance(days=40)
    await world.do(pauses.resume_due_cases)
    assert (await world.case(number)).state == CaseState.ASSIGNED


async def test_a_ban_that_was_lifted_with_a_reason_lets_the_unit_act_again(world):
    number = await report(world, unit_id="health")
    await world.accuse(number, record=2)

    await world.do(assignment.assign_case, number=number, unit_id="health", by=SUN)

    assert await sees(world, number, LI)


async def test_an_older_record_changes_nothing(world):
    number = await report(world)
    await world.accuse(number, "schools", record=3)

    await world.accuse(number, "roads", record=2)

    assert (await world.case(number)).accused_unit_ids == ["schools"]
    assert len(await world.events(CaseUnitsExcluded)) == 1


async def test_old_accounts_lose_the_case_when_their_body_merges_with_the_accused(world):
    await register(world, body("health"), body("schools"), body("merged"), body("roads"))
    number = await report(world, unit_id="health")
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    heir = msgspec.structs.replace(
        person(21, "何承接", Role.HANDLER, "merged"), inherited_unit_ids=("health", "schools")
    )
    assert await sees(world, number, CHEN)

    await register(
        world, merged("health", "merged"), merged("schools", "merged"), body("merged"), version=2
    )

    for user in (CHEN, LI, heir):
        assert not await sees(world, number, user)
        assert await status_of(world, number, user) == 404
    with pytest.raises(Rejected, match="举报件不得转被举报单位"):
        await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    await world.do(assignment.assign_case, number=number, unit_id="roads", by=ZHAO)


async def close(world, number):
    async with world.database.transaction(world.context) as tx:
        await tx.run(
            "update cases set state = 'closed', closed_at = now() where number = $1", number
        )
        tx.audit("case.close", number, "tests")


async def test_a_closed_case_keeps_its_unit_and_is_hidden_from_it(world):
    number = await report(world)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    await close(world, number)

    await world.accuse(number, "schools", record=2)

    assert (await world.case(number)).unit_id == "schools"
    with pytest.raises(Rejected):
        await world.do(case_details, number=number, user=CHEN)
    assert await world.events(CaseWithdrawn) == []


async def test_a_closed_case_is_hidden_from_its_unit_in_lists_too(world):
    number = await report(world)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    await close(world, number)

    await world.accuse(number, "schools", record=2)

    assert (await world.do(list_cases, user=CHEN, wanted=CaseFilter())).total == 0
    assert not await sees(world, number, CHEN)


async def test_complaint_and_record_may_arrive_in_one_batch(world):
    event = await world.complaint(kind=ComplaintKind.REPORT, unit_id=None)
    accused = ComplaintAccusedRecorded(
        occurred_at=event.occurred_at,
        complaint_id=event.complaint_id,
        campaign_id=event.campaign_id,
        record=1,
        unit_ids=("health",),
    )

    async with world.database.transaction(world.context) as tx:
        await on.dispatch(tx, [incoming(event, 1), incoming(accused, 2)])

    [case] = await world.rows("select accused_record, excluded_unit_ids from cases")
    assert (case["accused_record"], case["excluded_unit_ids"]) == (1, ["health"])
