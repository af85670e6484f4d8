"""The life of a case, with people, on a real database."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from services.casework.actions import (
    assignment,
    extensions,
    handling,
    joint_handling,
    opening,
    pauses,
    review,
)
from services.casework.domain.states import CaseAction, CaseState
from services.casework.handlers import on
from services.casework.views.case_lists import count_cases
from services.casework.views.cases import case_details
from shared.appraisal.errors import DependencyMissing, Rejected
from shared.appraisal.events import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseExtended,
    CaseNotAccepted,
    CaseOpened,
    CasePaused,
    CaseReturned,
    CaseSentBack,
    CaseStruckOff,
    CaseSubmitted,
    CaseUrged,
    ComplaintRated,
    ComplaintRepeated,
    DeadlineLapsed,
    Event,
    Meta,
    encode,
)
from shared.appraisal.labels import ComplaintKind, Severity, Urgency
from shared.messaging.envelope import IncomingEvent
from tests.casework.conftest import (
    ACCOUNT,
    BASIS,
    CAMPAIGN,
    CHEN,
    LI,
    REPLY,
    SUN,
    WANG,
    ZHANG,
    ZHAO,
    ZHOU,
)
from tests.organisations import body, know

pytestmark = pytest.mark.stack

JOINT = {"units": "省教育厅、省公安厅", "reason": "涉及两个单位的职责，需共同核查"}


def incoming(event: Event, n: int) -> IncomingEvent:
    meta = Meta(uuid4(), event.name, event.key, n, event.occurred_at, event.topic, 0, n)
    return IncomingEvent(meta, 0.0, None, encode(event), record=None)


async def accepted(world, **changes):
    number = await world.open(**changes)
    await world.do(handling.accept_case, number=number, by=LI)
    return number


async def submitted(world, number=None, **changes):
    number = number or await accepted(world)
    fields = {
        "account": ACCOUNT,
        "finding": "substantiated",
        "measures": "实行 AB 岗",
        "reply": REPLY,
        "by": LI,
    } | changes
    await world.do(handling.submit_result, number=number, **fields)
    return number


# ── opening ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_complaint_that_names_a_unit_goes_there_at_once(world):
    number = await world.open()

    case, case_deadlines = await world.case(number), await world.case_deadlines(number)
    assert (case.state, case.unit_id, number) == ("assigned", "health", "ZF2026-000001")
    assert {kind: row["state"] for kind, row in case_deadlines.items()} == {
        "accept": "running",
        "handle": "running",
    }
    opened, assigned = await world.events(CaseOpened, CaseAssigned)
    assert (opened.unit_id, assigned.unit_id, [d.kind for d in assigned.deadlines]) == (
        None,
        "health",
        ["accept", "handle"],
    )


async def test_a_report_waits_for_a_reviewer_and_never_reaches_the_accused(world):
    number = await world.open(kind=ComplaintKind.REPORT)

    assert (await world.case(number)).state == "pending"
    assert list(await world.case_deadlines(number)) == ["assign"]
    with pytest.raises(Rejected, match="举报件不得转被举报单位"):
        await world.do(assignment.assign_case, number=number, unit_id="health", by=SUN)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    for someone in (LI, ZHANG):
        with pytest.raises(Rejected) as refused:
            await world.do(case_details, number=number, user=someone)
        assert refused.value.status == 404
    accused, responsible = [await world.do(count_cases, user=user) for user in (LI, CHEN)]
    assert accused.in_states(CaseState.ASSIGNED) == 0
    assert responsible.in_states(CaseState.ASSIGNED) == 1


async def test_the_database_itself_refuses_an_excluded_unit(world):
    from asyncpg import CheckViolationError

    number = await world.open(kind=ComplaintKind.REPORT)

    with pytest.raises(CheckViolationError):
        await world.value(
            "update cases set unit_id = 'health', state = 'assigned' where number = $1 returning 1",
            number,
        )


async def test_the_same_complaint_opens_one_case_however_often_it_is_consumed(world):
    event = await world.complaint()

    for _ in range(3):
        await world.do(opening.open_for_complaints, events=[event, event])

    assert await world.value("select count(*) from cases") == 1
    assert len(await world.events(CaseOpened)) == 1
    assert await world.value("select last from series where year = 2026") == 1


async def test_a_crash_before_the_commit_leaves_nothing_and_loses_no_number(world):
    event = await world.complaint()

    async def dying(tx):
        await opening.open_for_complaints(tx, [event])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await world.do(dying)
    assert await world.value("select count(*) from cases") == 0
    assert await world.events(CaseOpened) == []

    await world.do(opening.open_for_complaints, events=[event])
    assert await world.value("select number from cases") == "ZF2026-000001"


async def test_an_import_of_a_thousand_opens_each_once_without_gaps(world):
    events = [await world.complaint() for _ in range(20)]
    many = [
        replace(event, complaint_id=type(event.complaint_id)(int=event.complaint_id.int ^ n))
        for event in events
        for n in range(50)
    ]

    await asyncio.gather(
        *(
            world.do(opening.open_for_complaints, events=part)
            for part in (many[::2], many[1::2], many)
        )
    )

    assert await world.value("select count(*) from cases") == 1000
    assert await world.value("select max(number) from cases") == "ZF2026-001000"
    assert len(await world.events(CaseOpened)) == 1000


async def test_a_complaint_of_an_unknown_campaign_waits(world):
    event = await world.complaint(campaign_id="elsewhere")

    with pytest.raises(DependencyMissing):
        await world.do(opening.open_for_complaints, events=[event])


async def test_a_kind_without_cases_in_the_scheme_opens_none(world):
    rules = replace(world.scheme.case_rules, no_case=(ComplaintKind.PRAISE,))
    await world.publish(replace(world.scheme, case_rules=rules))

    await world.do(
        opening.open_for_complaints,
        events=[await world.complaint(kind=ComplaintKind.PRAISE), await world.complaint()],
    )

    assert await world.value("select array_agg(kind) from cases") == ["complaint"]


async def test_every_finding_opens_a_case_that_awaits_its_release(world):
    found = [await world.finding(Severity.MINOR), await world.finding(Severity.SERIOUS)]

    for _ in range(2):
        await world.do(opening.open_for_findings, events=found)

    columns = "source, kind, urgency, unit_id, state, problem_item, redacted_summary"
    rows = await world.rows(f"select {columns} from cases order by number")
    problem = world.scheme.checklists[0].items[0].problem
    assert [tuple(row) for row in rows] == [
        ("visit", "finding", "normal", None, "pending", problem, ""),
        ("visit", "finding", "urgent", None, "pending", problem, ""),
    ]


async def test_handlers_process_a_batch_in_order(world):
    event = await world.complaint()
    repeated = ComplaintRepeated(
        occurred_at=event.occurred_at,
        complaint_id=event.complaint_id,
        campaign_id=CAMPAIGN,
        repeats=2,
    )
    rated = ComplaintRated(
        occurred_at=event.occurred_at,
        complaint_id=event.complaint_id,
        campaign_id=CAMPAIGN,
        option=3,
    )
    batch = [incoming(each, n) for n, each in enumerate((event, repeated, rated), 1)]

    await world.do(on.dispatch, events=batch)

    row = (await world.rows("select repeats, rating from cases"))[0]
    assert (row["repeats"], row["rating"]) == (2, 3)


# ── dispatch ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_reviewer_refuses_with_a_public_reason(world):
    number = await world.open(unit_id=None)

    await world.do(
        assignment.refuse_case,
        number=number,
        reason="unclear",
        explanation="",
        by=SUN,
    )

    (event,) = await world.events(CaseNotAccepted)
    assert (event.reason, event.explanation) == (
        "unclear",
        world.scheme.case_rules.not_accepted_reasons[3].public,
    )
    assert (await world.case_deadlines(number))["assign"]["state"] == "completed"


async def test_a_unit_that_is_not_responsible_returns_the_case_for_another(world):
    number = await accepted(world)

    await world.do(
        assignment.return_case,
        number=number,
        reason="not_ours",
        basis=BASIS,
        by=LI,
    )

    case, case_deadlines = await world.case(number), await world.case_deadlines(number)
    assert (case.state, case.unit_id, case.returns) == ("pending", None, 1)
    assert (case_deadlines["handle"]["state"], case_deadlines["assign"]["state"]) == (
        "cancelled",
        "running",
    )
    (event,) = await world.events(CaseReturned)
    assert (event.from_unit_id, event.reason, event.returns) == ("health", "not_ours", 1)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    assert (await world.case_deadlines(number))["handle"]["unit_id"] == "schools"


async def test_a_unit_whose_objection_is_refused_gets_its_old_deadline_back(world):
    number = await world.open()
    before = (await world.case_deadlines(number))["handle"]
    await world.clock.advance(hours=3)
    await world.do(
        assignment.return_case,
        number=number,
        reason="not_ours",
        basis=BASIS,
        by=LI,
    )
    await world.clock.advance(days=3)

    await world.do(assignment.assign_case, number=number, unit_id="health", by=SUN)

    after = (await world.case_deadlines(number))["handle"]
    assert (after["id"], after["due_at"], after["state"]) == (
        before["id"],
        before["due_at"],
        "running",
    )


async def test_a_return_after_its_time_is_refused(world):
    number = await accepted(world)
    await world.clock.advance(days=4)

    with pytest.raises(Rejected, match="不能退回"):
        await world.do(
            assignment.return_case,
            number=number,
            reason="not_ours",
            basis=BASIS,
            by=LI,
        )


async def test_a_unit_outside_the_register_cannot_be_assigned(world):
    number = await world.open(unit_id=None)

    with pytest.raises(Rejected, match="没有这个单位"):
        await world.do(assignment.assign_case, number=number, unit_id="nobody", by=SUN)


# ── handling and review ───────────────────────────────────────────────────────────────────────────


async def test_a_case_from_acceptance_to_striking_off(world):
    number = await submitted(world)
    await world.do(review.approve_result, number=number, opinion="同意", by=ZHANG)
    await world.do(
        review.strike_off_case, number=number, opinion="已到现场核查，替岗制度已经落实", by=ZHAO
    )

    case = await world.case(number)
    assert (case.state, case.finding, case.late, case.handler_name) == (
        "struck_off",
        "substantiated",
        False,
        "李明",
    )
    events = await world.events(CaseAccepted, CaseSubmitted, CaseClosed, CaseStruckOff)
    assert [type(event) for event in events] == [
        CaseAccepted,
        CaseSubmitted,
        CaseClosed,
        CaseStruckOff,
    ]
    assert (
        events[0].late,
        events[1].late,
        events[2].late,
        events[2].working_days,
        events[2].reply,
    ) == (
        False,
        False,
        False,
        0,
        REPLY,
    )
    assert {row["state"] for row in (await world.case_deadlines(number)).values()} == {"completed"}
    actions = await world.value(
        "select array_agg(action || ':' || by_name order by id) from case_history"
    )
    assert actions == [
        "open:系统",
        "assign:系统",
        "accept:李明",
        "submit:李明",
        "approve:张建国",
        "strike_off:赵督办",
    ]
    assert await world.value("select count(*) from audit where subject = $1", number) == 5


async def test_a_result_sent_back_is_due_when_it_always_was(world):
    number = await accepted(world)
    due = (await world.case_deadlines(number))["handle"]["due_at"]
    await submitted(world, number)
    await world.clock.advance(days=2)

    await world.do(
        review.send_back_result, number=number, opinion="请补充整改完成的时间和佐证", by=ZHANG
    )

    handle = (await world.case_deadlines(number))["handle"]
    assert (handle["state"], handle["due_at"]) == ("running", due)
    assert [event.reason for event in await world.events(CaseSentBack)] == [
        "请补充整改完成的时间和佐证"
    ]
    await submitted(world, number)
    assert [row["no"] for row in await world.rows("select no from submissions order by no")] == [
        1,
        2,
    ]


async def test_nobody_approves_their_own_result(world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=ZHANG)
    await submitted(world, number, by=ZHANG)

    with pytest.raises(Rejected, match="不能审核自己"):
        await world.do(review.approve_result, number=number, opinion="", by=ZHANG)
    await world.do(review.approve_result, number=number, opinion="", by=ZHAO)


@pytest.mark.parametrize("field", ["account", "measures", "reply"])
async def test_personal_data_stops_a_result(world, field):
    number = await accepted(world)
    text = "请来件人联系 13800138000 核实，" + ACCOUNT

    with pytest.raises(Rejected, match="个人信息") as refused:
        await submitted(world, number, **{field: text})
    assert (refused.value.field, refused.value.status) == (field, 422)
    assert (await world.case(number)).state == "handling"


async def test_a_result_without_enough_detail_is_rejected(world):
    number = await accepted(world)

    with pytest.raises(Rejected, match="至少 50"):
        await submitted(world, number, account="已处理")
    with pytest.raises(Rejected, match="整改措施"):
        await submitted(world, number, measures="")


async def test_a_late_result_closes_a_late_case(world):
    number = await accepted(world)
    await world.clock.advance(days=20)
    await submitted(world, number)
    await world.do(review.approve_result, number=number, opinion="", by=ZHANG)

    assert (await world.case(number)).late
    assert [event.deadline for event in await world.events(DeadlineLapsed)] == ["handle"]
    assert [(event.late) for event in await world.events(CaseSubmitted, CaseClosed)] == [True, True]
    await world.sweep()
    assert len(await world.events(DeadlineLapsed)) == 1


async def test_an_action_on_an_old_version_changes_nothing(world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI, expected_version=1)

    with pytest.raises(Rejected, match="已有变化"):
        await world.do(handling.take_over_case, number=number, by=WANG, expected_version=1)
    await world.do(handling.take_over_case, number=number, by=WANG, expected_version=2)
    assert (await world.case(number)).handler_name == "王芳"


async def test_of_two_people_who_accept_at_once_one_is_rejected(world):
    number = await world.open()

    results = await asyncio.gather(
        world.do(handling.accept_case, number=number, by=LI),
        world.do(handling.accept_case, number=number, by=WANG),
        return_exceptions=True,
    )

    assert sorted(type(result).__name__ for result in results) == ["Case", "IllegalTransition"]
    assert len(await world.events(CaseAccepted)) == 1


async def test_accepting_several_skips_accepted_cases(world):
    numbers = [await world.open() for _ in range(3)]
    await world.do(handling.accept_case, number=numbers[0], by=WANG)

    assert await world.do(handling.accept_cases, numbers=[*numbers, "ZF2026-999999"], by=LI) == 2
    assert (await world.case(numbers[0])).handler_name == "王芳"


async def test_a_role_without_the_action_is_rejected(world):
    number = await world.open()

    with pytest.raises(Rejected) as refused:
        await world.do(handling.accept_case, number=number, by=SUN)
    assert refused.value.status == 403
    with pytest.raises(Rejected) as refused:
        await world.do(handling.accept_case, number=number, by=CHEN)
    assert refused.value.status == 404


# ── extensions and pauses ─────────────────────────────────────────────────────────────────────────


async def test_an_extension_needs_both_approvers_and_moves_the_deadline_once(world):
    number = await accepted(world)
    before = (await world.case_deadlines(number))["handle"]["due_at"]

    await world.do(
        extensions.request_extension,
        number=number,
        amount=3,
        reason="需到外地调取证据材料",
        by=LI,
    )
    await world.do(
        extensions.decide_extension,
        number=number,
        agree=True,
        opinion="",
        by=ZHANG,
    )
    assert (await world.case_deadlines(number))["handle"]["due_at"] == before
    with pytest.raises(Rejected, match="督办员"):
        await world.do(
            extensions.decide_extension,
            number=number,
            agree=True,
            opinion="",
            by=ZHANG,
        )
    await world.do(
        extensions.decide_extension,
        number=number,
        agree=True,
        opinion="",
        by=ZHAO,
    )

    after = (await world.case_deadlines(number))["handle"]
    assert (before.date().isoformat(), after["due_at"].date().isoformat()) == (
        "2026-11-27",
        "2026-12-02",
    )
    (event,) = await world.events(CaseExtended)
    assert event.deadlines[0].due_at == after["due_at"]
    with pytest.raises(Rejected, match="最多 1 次"):
        await world.do(
            extensions.request_extension,
            number=number,
            amount=1,
            reason="还需要再延长几天时间",
            by=LI,
        )


async def test_a_refused_extension_leaves_the_deadline(world):
    number = await accepted(world)
    before = (await world.case_deadlines(number))["handle"]["due_at"]
    await world.do(
        extensions.request_extension,
        number=number,
        amount=5,
        reason="需到外地调取证据材料",
        by=LI,
    )

    await world.do(
        extensions.decide_extension,
        number=number,
        agree=False,
        opinion="理由不足",
        by=ZHAO,
    )

    assert (await world.case_deadlines(number))["handle"]["due_at"] == before
    with pytest.raises(Rejected, match="没有待审批"):
        await world.do(
            extensions.decide_extension,
            number=number,
            agree=True,
            opinion="",
            by=ZHANG,
        )


async def test_an_extension_is_neither_asked_nor_approved_after_the_lapse(world):
    asked, late = await accepted(world), await accepted(world)
    await world.do(
        extensions.request_extension,
        number=asked,
        amount=5,
        reason="需到外地调取证据材料",
        by=LI,
    )
    await world.clock.advance(days=10)

    with pytest.raises(Rejected, match="期限已过"):
        await world.do(
            extensions.request_extension,
            number=late,
            amount=3,
            reason="需到外地调取证据材料",
            by=LI,
        )
    with pytest.raises(Rejected, match="期限已过"):
        await world.do(
            extensions.decide_extension,
            number=asked,
            agree=True,
            opinion="",
            by=ZHANG,
        )


async def test_a_paused_deadline_does_not_lapse_and_resumes_by_itself(world):
    number = await accepted(world)
    before = (await world.case_deadlines(number))["handle"]["due_at"]
    until = await world.clock.now() + timedelta(days=14)
    await world.do(
        pauses.pause_case,
        number=number,
        reason="supplement",
        until=until,
        by=ZHAO,
    )
    await world.clock.advance(days=13)
    await world.sweep()
    assert (await world.case_deadlines(number))["handle"]["lapsed_at"] is None

    await world.clock.advance(days=2)
    await world.do(pauses.resume_due_cases)

    handle = (await world.case_deadlines(number))["handle"]
    assert ((await world.case(number)).state, handle["state"]) == ("handling", "running")
    assert handle["due_at"] - before >= timedelta(days=14)


async def test_a_pause_is_published_with_its_reason_and_its_end(world):
    number = await accepted(world)
    until = await world.clock.now() + timedelta(days=14)
    with pytest.raises(Rejected, match="恢复日期"):
        await world.do(
            pauses.pause_case,
            number=number,
            reason="supplement",
            until=until + timedelta(days=90),
            by=ZHAO,
        )

    await world.do(pauses.pause_case, number=number, reason="supplement", until=until, by=ZHAO)

    (event,) = await world.events(CasePaused)
    assert (event.number, event.unit_id) == (number, (await world.case(number)).unit_id)
    assert (event.reason, event.until) == ("supplement", until)


async def test_a_hundred_notes_and_takeovers_move_no_deadline(world):
    number = await accepted(world)
    before = await world.case_deadlines(number)

    for n in range(50):
        await world.do(handling.note_progress, number=number, text=f"第 {n} 次核实情况", by=LI)
        await world.do(handling.take_over_case, number=number, by=(WANG, LI)[n % 2])
    await world.do(handling.urge_unit, number=number, text="请尽快办理", by=ZHAO)
    assert [event.urges for event in await world.events(CaseUrged)] == [1]

    after = await world.case_deadlines(number)
    assert {kind: (row["id"], row["due_at"], row["state"]) for kind, row in before.items()} == {
        kind: (row["id"], row["due_at"], row["state"]) for kind, row in after.items()
    }


# ── joint handling ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("user", [LI, SUN])
async def test_joint_handling_moves_no_deadline_and_ends_in_normal_handling(world, user):
    number = await accepted(world)
    before = await world.case_deadlines(number)

    await world.do(joint_handling.start_joint_handling, number=number, by=user, **JOINT)

    assert (await world.case(number)).state == CaseState.JOINT_HANDLING
    assert await world.case_deadlines(number) == before
    details = await world.do(case_details, number=number, user=LI)
    assert (details.history[0].label, JOINT["units"] in details.history[0].text) == ("会办", True)
    await world.do(joint_handling.end_joint_handling, number=number, by=user)
    assert (await world.case(number)).state == CaseState.HANDLING
    assert await world.case_deadlines(number) == before


async def test_jointly_handled_case_lapses_and_is_submitted_like_any_other(world):
    number = await accepted(world)
    await world.do(joint_handling.start_joint_handling, number=number, by=LI, **JOINT)
    await world.clock.advance(days=30)
    await world.sweep()

    await world.do(
        handling.submit_result,
        number=number,
        account=ACCOUNT,
        finding="unsubstantiated",
        measures="",
        reply=REPLY,
        by=LI,
    )

    assert [event.deadline for event in await world.events(DeadlineLapsed)] == ["handle"]
    assert (await world.case(number)).state == CaseState.REVIEWING


async def test_joint_handling_names_neither_people_nor_the_accused_unit(world):
    accused = body("health", "省卫生健康委", aliases=("卫健委",))
    async with world.database.transaction(world.context) as tx:
        await know(tx, accused)
    number = await world.open(kind=ComplaintKind.REPORT)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)
    await world.do(handling.accept_case, number=number, by=CHEN)

    for units in ("省公安厅、省卫生健康委", "省公安厅和卫健 委"):
        with pytest.raises(Rejected, match="举报件不得由被举报单位"):
            await world.do(
                joint_handling.start_joint_handling,
                number=number,
                by=CHEN,
                **JOINT | {"units": units},
            )
    with pytest.raises(Rejected, match="个人信息"):
        await world.do(
            joint_handling.start_joint_handling,
            number=number,
            by=CHEN,
            **JOINT | {"reason": "请联系 13800138000 共同核查"},
        )
    assert (await world.case(number)).state == CaseState.HANDLING


# ── what each reader gets ─────────────────────────────────────────────────────────────────────────


async def test_a_unit_sees_the_summary_and_the_day_but_no_origin(world):
    number = await world.open()

    unit, reviewer, office = [
        await world.do(case_details, number=number, user=user) for user in (LI, SUN, ZHOU)
    ]

    assert unit.origin is None
    assert unit.accused is None
    assert (reviewer.origin.source_number, reviewer.origin.received_at is not None) == (
        "TS2026-000001",
        True,
    )
    assert office.origin.received_at is None


async def test_a_second_unit_does_not_see_what_the_first_one_wrote(world):
    number = await accepted(world)
    await world.do(handling.note_progress, number=number, text="已向当事人当面核实情况", by=LI)
    await world.do(
        assignment.return_case,
        number=number,
        reason="not_ours",
        basis=BASIS,
        by=LI,
    )
    await world.clock.advance(hours=1)
    await world.do(assignment.assign_case, number=number, unit_id="schools", by=SUN)

    details = await world.do(case_details, number=number, user=CHEN)

    assert [entry.action for entry in details.history] == ["assign"]
    assert BASIS not in str(details.history)


async def test_only_actions_that_can_succeed_are_offered(world):
    number = await accepted(world, urgency=Urgency.NORMAL)
    soon = await world.do(case_details, number=number, user=LI)
    await world.clock.advance(days=10)
    late = await world.do(case_details, number=number, user=LI)

    assert {CaseAction.RETURN, CaseAction.REQUEST_EXTENSION} <= set(soon.actions)
    assert not {CaseAction.RETURN, CaseAction.REQUEST_EXTENSION} & set(late.actions)
    assert late.state is CaseState.HANDLING
