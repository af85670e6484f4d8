"""The rules of a case, as tables."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.casework.domain.assignment import (
    case_number,
    check_returnable,
    directly_assigned_unit,
    named_accused,
    reject_excluded,
    returnable_until,
)
from services.casework.domain.deadlines import (
    DeadlineShift,
    DeadlineTerms,
    changed_days,
    working_days_taken,
)
from services.casework.domain.extensions import check_extension, extend_terms, missing_approvals
from services.casework.domain.obligations import obligation_deadline, reminders
from services.casework.domain.states import (
    ALLOWED_ROLES,
    OPEN_STATES,
    TRANSITIONS,
    UNIT_ROLES,
    CaseAction,
    CaseState,
    IllegalTransition,
    StaleVersion,
    check_version,
    next_state,
    permitted_actions,
)
from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.calendar.holiday_notices import china, read_notice
from shared.appraisal.calendar.working_days import SHANGHAI, WorkCalendar, civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintKind
from shared.appraisal.schemes import load_scheme

RULES = load_scheme("J", 2026).case_rules
NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


@pytest.mark.parametrize(
    ("state", "action", "after"),
    [
        (CaseState.PENDING, CaseAction.ASSIGN, CaseState.ASSIGNED),
        (CaseState.PENDING, CaseAction.REFUSE, CaseState.NOT_ACCEPTED),
        (CaseState.ASSIGNED, CaseAction.ACCEPT, CaseState.HANDLING),
        (CaseState.ASSIGNED, CaseAction.RETURN, CaseState.PENDING),
        (CaseState.HANDLING, CaseAction.RETURN, CaseState.PENDING),
        (CaseState.HANDLING, CaseAction.SUBMIT, CaseState.REVIEWING),
        (CaseState.HANDLING, CaseAction.PAUSE, CaseState.PAUSED),
        (CaseState.PAUSED, CaseAction.RESUME, CaseState.HANDLING),
        (CaseState.HANDLING, CaseAction.START_JOINT_HANDLING, CaseState.JOINT_HANDLING),
        (CaseState.JOINT_HANDLING, CaseAction.END_JOINT_HANDLING, CaseState.HANDLING),
        (CaseState.JOINT_HANDLING, CaseAction.SUBMIT, CaseState.REVIEWING),
        (CaseState.REVIEWING, CaseAction.SEND_BACK, CaseState.HANDLING),
        (CaseState.REVIEWING, CaseAction.APPROVE, CaseState.CLOSED),
        (CaseState.CLOSED, CaseAction.STRIKE_OFF, CaseState.STRUCK_OFF),
    ],
)
def test_the_table_of_transitions(state, action, after):
    assert next_state(state, action) is after


@given(st.sampled_from(CaseState), st.sampled_from(CaseAction))
def test_an_action_that_the_state_does_not_list_is_rejected_with_a_sentence(state, action):
    if action in TRANSITIONS[state]:
        assert next_state(state, action) is TRANSITIONS[state][action]
    else:
        with pytest.raises(IllegalTransition, match=f"“{state.label}”，不能{action.label}"):
            next_state(state, action)


def test_no_transition_leaves_a_final_state():
    assert TRANSITIONS[CaseState.STRUCK_OFF] == {}
    assert TRANSITIONS[CaseState.NOT_ACCEPTED] == {}
    assert not any(after in OPEN_STATES for after in TRANSITIONS[CaseState.CLOSED].values())


def test_permitted_actions_of_roles():
    assert permitted_actions(CaseState.ASSIGNED, "handler") == [
        CaseAction.ACCEPT,
        CaseAction.RETURN,
        CaseAction.NOTE,
    ]
    assert permitted_actions(CaseState.ASSIGNED, "office") == []
    assert not ALLOWED_ROLES[CaseAction.STRIKE_OFF] & UNIT_ROLES, (
        "a unit never strikes its own case off"
    )
    assert not ALLOWED_ROLES[CaseAction.ASSIGN] & UNIT_ROLES


def test_a_decision_on_an_old_version_is_stale():
    check_version(None, 3)
    check_version(3, 3)

    with pytest.raises(StaleVersion) as refused:
        check_version(2, 3)
    assert (refused.value.version, refused.value.status) == (3, 409)


def test_case_numbers():
    assert case_number(2026, 4512) == "ZF2026-004512"
    assert case_number(2026, 1_234_567) == "ZF2026-1234567"


@pytest.mark.parametrize(
    ("kind", "named", "excluded", "at_once"),
    [
        (ComplaintKind.COMPLAINT, "health", (), "health"),
        (ComplaintKind.REPORT, "health", ("health",), None),
        (ComplaintKind.REPORT, None, (), None),
        (ComplaintKind.COMPLAINT, None, (), None),
        (ComplaintKind.FINDING, "roads", (), "roads"),
    ],
)
def test_direct_assignment_and_excluded_units(
    kind,
    named,
    excluded,
    at_once,
):
    assert named_accused(kind, named, RULES) == excluded
    assert directly_assigned_unit(kind, named, RULES) == at_once


def test_a_scheme_cannot_lift_the_exclusion_of_the_accused_unit():
    from msgspec.structs import replace

    loose = replace(RULES, not_by_accused=(), assigned_as_named=tuple(ComplaintKind))

    assert named_accused(ComplaintKind.REPORT, "health", loose) == ("health",)
    assert directly_assigned_unit(ComplaintKind.REPORT, "health", loose) is None
    with pytest.raises(Rejected, match="举报件不得转被举报单位"):
        reject_excluded("health", {"health"})


@pytest.mark.parametrize(
    ("start", "limit", "due"),
    [
        ("2025-01-20 10:00", "5wd", "2025-01-26"),
        ("2025-04-25 10:00", "5wd", "2025-05-06"),
        ("2025-09-22 10:00", "5wd", "2025-09-28"),
        ("2025-09-26 10:00", "5wd", "2025-10-10"),
        ("2025-09-30 10:00", "1wd", "2025-10-09"),
        ("2025-10-10 10:00", "1wd", "2025-10-11"),
        ("2026-02-10 10:00", "5wd", "2026-02-24"),
        ("2026-02-13 10:00", "15wd", "2026-03-12"),
        ("2026-09-18 10:00", "5wd", "2026-09-24"),
        ("2026-09-30 10:00", "3wd", "2026-10-10"),
        ("2025-08-03 10:00", "60d", "2025-10-09"),
        ("2025-09-18 10:00", "15d", "2025-10-09"),
        ("2025-12-18 10:00", "15d", "2026-01-04"),
        ("2026-01-18 10:00", "30d", "2026-02-24"),
        ("2026-08-04 10:00", "60d", "2026-10-08"),
    ],
)
def test_calendar_vectors(start, limit, due):
    made = DeadlineTerms(TimeLimit.parse(limit)).compute(at(start), china())

    assert made.day == date.fromisoformat(due)
    assert made.at == at(f"{due} 17:30")
    assert not made.provisional


def test_a_deadline_in_an_unpublished_year_is_provisional():
    terms = DeadlineTerms(TimeLimit.parse("10wd"))

    assert terms.compute(at("2026-12-25 10:00"), china()).provisional


def test_an_extension_starts_where_the_limit_ends():
    plain = DeadlineTerms(TimeLimit.parse("5wd")).compute(NOON, china())
    terms = extend_terms(DeadlineTerms(TimeLimit.parse("5wd")), 3, TimeLimit.parse("5wd"))
    longer = terms.compute(NOON, china())
    eight = DeadlineTerms(TimeLimit.parse("8wd")).compute(NOON, china())

    assert plain.at < longer.at == eight.at
    assert longer.warn_at < longer.at < longer.severe_at


@given(st.integers(1, 30), st.integers(1, 30))
def test_terms_survive_storage(limit, more):
    terms = extend_terms(DeadlineTerms(TimeLimit(limit, "wd")), more, TimeLimit.parse("5wd"))

    assert DeadlineTerms.from_json(terms.to_json()) == terms
    assert extend_terms(terms, 1, TimeLimit.parse("5wd")).extension == TimeLimit(more + 1, "wd")


def test_a_case_can_be_returned_in_time_only():
    until = returnable_until(NOON, RULES, china())

    assert until == at("2026-11-23 17:30")
    check_returnable(NOON, RULES, china(), until - timedelta(seconds=1))
    with pytest.raises(Rejected, match="不能退回"):
        check_returnable(NOON, RULES, china(), until)


@pytest.mark.parametrize(
    ("amount", "asked", "late", "words"),
    [
        (5, 0, False, None),
        (1, 0, False, None),
        (6, 0, False, "最多 5 个工作日"),
        (0, 0, False, "最多"),
        (3, 1, False, "最多 1 次"),
        (3, 0, True, "期限已过"),
    ],
)
def test_when_an_extension_may_be_requested(
    amount,
    asked,
    late,
    words,
):
    def ask():
        check_extension(
            amount, asked, due=NOON, now=NOON if late else NOON - timedelta(seconds=1), rules=RULES
        )

    if words is None:
        ask()
    else:
        with pytest.raises(Rejected, match=words):
            ask()


def test_every_named_role_has_to_approve():
    assert missing_approvals(RULES, []) == ["unit_head", "supervisor"]
    assert missing_approvals(RULES, ["supervisor"]) == ["unit_head"]
    assert missing_approvals(RULES, ["supervisor", "unit_head"]) == []


def test_obligations_remind_in_working_days_and_are_due_at_closing_time():
    plan, report = load_scheme("J", 2026).obligations

    assert [moment.astimezone(SHANGHAI).date() for moment in reminders(plan, china())] == [
        date(2026, 8, 25),
        date(2026, 8, 31),
    ]
    assert obligation_deadline(report, china()).at == at("2026-11-30 17:30")


def test_working_days_taken():
    assert working_days_taken(at("2026-11-20 09:00"), at("2026-11-20 17:00"), china()) == 0
    assert working_days_taken(at("2026-11-20 09:00"), at("2026-11-24 09:00"), china()) == 2


NOTICE_2027 = """# 国务院办公厅关于2027年部分节假日安排的通知
日期,类型,节日
2027-01-01,休,元旦
2027-01-02,休,元旦
2027-01-03,休,元旦
2027-02-05,休,春节
2027-02-06,休,春节
2027-02-07,休,春节
2027-02-08,休,春节
2027-02-09,休,春节
2027-02-10,休,春节
2027-02-11,休,春节
2027-02-20,班,春节
2027-04-05,休,清明节
2027-05-01,休,劳动节
2027-05-03,休,劳动节
2027-06-09,休,端午节
2027-09-15,休,中秋节
2027-10-01,休,国庆节
2027-10-02,休,国庆节
2027-10-03,休,国庆节
2027-10-04,休,国庆节
2027-10-05,休,国庆节
2027-10-06,休,国庆节
2027-10-07,休,国庆节
2027-10-09,班,国庆节
"""


def test_a_notice_changes_the_days_that_it_decides():
    old = china()
    new = old.with_notice(read_notice(NOTICE_2027))
    first, last = changed_days(old, new)

    assert first <= date(2027, 1, 1)
    assert last >= date(2027, 10, 9)
    assert changed_days(new, new) is None


def test_deadline_shifts():
    made = DeadlineTerms(TimeLimit.parse("5wd")).compute(NOON, china())

    assert not DeadlineShift(made.at, False, made).must_be_announced
    assert DeadlineShift(made.at, True, made).must_be_announced
    assert DeadlineShift(made.at + timedelta(days=1), False, made).shortened
    assert DeadlineShift(made.at - timedelta(days=1), False, made).moved


def shift(limit: TimeLimit, start: datetime, newer: WorkCalendar) -> DeadlineShift:
    """What a newer calendar makes of a deadline that the shipped one computed."""
    terms = DeadlineTerms(limit)
    before = terms.compute(start, china())
    return DeadlineShift(before.at, before.provisional, terms.compute(start, newer))


def test_only_deadlines_with_changed_days_are_affected():
    newer = china().with_day(date(2026, 11, 20), False, "省庆")
    touched = shift(TimeLimit(5, "wd"), at("2026-11-18 09:00"), newer)
    before = shift(TimeLimit(5, "wd"), at("2026-11-02 09:00"), newer)
    hours = shift(TimeLimit(48, "h"), at("2026-11-19 09:00"), newer)

    assert [each.must_be_announced for each in (touched, before, hours)] == [True, False, False]
    assert (touched.moved, touched.shortened) == (True, False)


def test_shortened_deadline_is_marked_for_a_decision():
    newer = china().with_day(date(2026, 11, 21), True, "调休")
    shorter = shift(TimeLimit(5, "wd"), at("2026-11-18 09:00"), newer)

    assert (shorter.shortened, civil_day(shorter.before), shorter.after.day) == (
        True,
        date(2026, 11, 25),
        date(2026, 11, 24),
    )


def test_notice_makes_provisional_deadlines_certain():
    newer = china().with_notice(read_notice(NOTICE_2027))
    certain = shift(TimeLimit(4, "wd"), at("2026-12-25 09:00"), newer)

    assert (certain.was_provisional, certain.after.provisional, certain.moved) == (
        True,
        False,
        False,
    )
    assert certain.must_be_announced
