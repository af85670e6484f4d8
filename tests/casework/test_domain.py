"""The rules of a case, as tables."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.casework.domain import (
    MAY,
    NEXT,
    OPEN,
    UNIT_ROLES,
    DeadlineTerms,
    IllegalMove,
    Shift,
    Stale,
    State,
    Verb,
    case_number,
    changed_days,
    excluded_unit,
    lengthened,
    missing_approvals,
    move,
    obligation_deadline,
    refuse_extension,
    refuse_late_return,
    refuse_stale,
    reject_excluded,
    reminders,
    returnable_until,
    unit_at_once,
    verbs,
    working_days_taken,
)
from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.calendar.holiday_notices import china, read_notice
from shared.appraisal.calendar.working_days import SHANGHAI
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintKind
from shared.appraisal.schemes import load_scheme

RULES = load_scheme("J", 2026).case_rules
NOON = datetime(2026, 11, 20, 4, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


@pytest.mark.parametrize(
    ("state", "verb", "after"),
    [
        (State.PENDING, Verb.ASSIGN, State.ASSIGNED),
        (State.PENDING, Verb.REFUSE, State.NOT_ACCEPTED),
        (State.ASSIGNED, Verb.ACCEPT, State.HANDLING),
        (State.ASSIGNED, Verb.RETURN, State.PENDING),
        (State.HANDLING, Verb.RETURN, State.PENDING),
        (State.HANDLING, Verb.SUBMIT, State.REVIEWING),
        (State.HANDLING, Verb.PAUSE, State.PAUSED),
        (State.PAUSED, Verb.RESUME, State.HANDLING),
        (State.REVIEWING, Verb.SEND_BACK, State.HANDLING),
        (State.REVIEWING, Verb.APPROVE, State.CLOSED),
        (State.CLOSED, Verb.STRIKE_OFF, State.STRUCK_OFF),
    ],
)
def test_the_table_of_moves(state, verb, after):
    assert move(state, verb) is after


@given(st.sampled_from(State), st.sampled_from(Verb))
def test_a_verb_the_state_does_not_list_is_refused_in_words(state, verb):
    if verb in NEXT[state]:
        assert move(state, verb) is NEXT[state][verb]
    else:
        with pytest.raises(IllegalMove, match=f"“{state.label}”，不能{verb.label}"):
            move(state, verb)


def test_nothing_moves_a_case_that_is_over():
    assert NEXT[State.STRUCK_OFF] == {}
    assert NEXT[State.NOT_ACCEPTED] == {}
    assert not any(after in OPEN for after in NEXT[State.CLOSED].values())


def test_whose_verb_it_is():
    assert verbs(State.ASSIGNED, "handler") == [Verb.ACCEPT, Verb.RETURN, Verb.NOTE]
    assert verbs(State.ASSIGNED, "office") == []
    assert not MAY[Verb.STRIKE_OFF] & UNIT_ROLES, "a unit never strikes its own case off"
    assert not MAY[Verb.ASSIGN] & UNIT_ROLES


def test_a_decision_on_an_old_version_is_stale():
    refuse_stale(None, 3)
    refuse_stale(3, 3)

    with pytest.raises(Stale) as refused:
        refuse_stale(2, 3)
    assert (refused.value.version, refused.value.status) == (3, 409)


def test_numbers():
    assert case_number(2026, 4512) == "ZF2026-004512"
    assert case_number(2026, 1_234_567) == "ZF2026-1234567"


@pytest.mark.parametrize(
    ("kind", "named", "excluded", "at_once"),
    [
        (ComplaintKind.COMPLAINT, "health", None, "health"),
        (ComplaintKind.REPORT, "health", "health", None),
        (ComplaintKind.REPORT, None, None, None),
        (ComplaintKind.COMPLAINT, None, None, None),
        (ComplaintKind.FINDING, "roads", None, "roads"),
    ],
)
def test_who_gets_a_case_at_once_and_who_never(kind, named, excluded, at_once):
    assert excluded_unit(kind, named, RULES) == excluded
    assert unit_at_once(kind, named, RULES) == at_once


def test_a_scheme_cannot_lift_the_bar_on_the_accused():
    from msgspec.structs import replace

    loose = replace(RULES, not_by_accused=(), assigned_as_named=tuple(ComplaintKind))

    assert excluded_unit(ComplaintKind.REPORT, "health", loose) == "health"
    assert unit_at_once(ComplaintKind.REPORT, "health", loose) is None
    with pytest.raises(Rejected, match="举报件不得转被反映单位"):
        reject_excluded("health", "health")


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
def test_the_vectors_of_the_calendar(start, limit, due):
    made = DeadlineTerms(TimeLimit.parse(limit)).compute(at(start), china())

    assert made.day == date.fromisoformat(due)
    assert made.at == at(f"{due} 17:30")
    assert not made.provisional


def test_a_span_into_an_unpublished_year_is_provisional():
    terms = DeadlineTerms(TimeLimit.parse("10wd"))

    assert terms.compute(at("2026-12-25 10:00"), china()).provisional


def test_an_extension_begins_where_the_limit_ended():
    plain = DeadlineTerms(TimeLimit.parse("5wd")).compute(NOON, china())
    terms = lengthened(DeadlineTerms(TimeLimit.parse("5wd")), 3, TimeLimit.parse("5wd"))
    longer = terms.compute(NOON, china())
    eight = DeadlineTerms(TimeLimit.parse("8wd")).compute(NOON, china())

    assert plain.at < longer.at == eight.at
    assert longer.warn_at < longer.at < longer.severe_at


@given(st.integers(1, 30), st.integers(1, 30))
def test_a_term_survives_being_kept(limit, more):
    terms = lengthened(DeadlineTerms(TimeLimit(limit, "wd")), more, TimeLimit.parse("5wd"))

    assert DeadlineTerms.from_json(terms.to_json()) == terms
    assert lengthened(terms, 1, TimeLimit.parse("5wd")).extra == TimeLimit(more + 1, "wd")


def test_a_case_is_returned_in_time_or_not_at_all():
    until = returnable_until(NOON, RULES, china())

    assert until == at("2026-11-23 17:30")
    refuse_late_return(NOON, RULES, china(), until - timedelta(seconds=1))
    with pytest.raises(Rejected, match="不能退回"):
        refuse_late_return(NOON, RULES, china(), until)


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
def test_when_an_extension_may_be_asked_for(amount, asked, late, words):
    def ask():
        refuse_extension(
            amount, asked, due=NOON, now=NOON if late else NOON - timedelta(seconds=1), rules=RULES
        )

    if words is None:
        ask()
    else:
        with pytest.raises(Rejected, match=words):
            ask()


def test_every_named_role_has_to_agree():
    assert missing_approvals(RULES, []) == ["unit_head", "supervisor"]
    assert missing_approvals(RULES, ["supervisor"]) == ["unit_head"]
    assert missing_approvals(RULES, ["supervisor", "unit_head"]) == []


def test_an_obligation_reminds_in_working_days_and_ends_with_the_office_day():
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


def test_a_new_year_changes_the_days_it_rules_on():
    old = china()
    new = old.with_notice(read_notice(NOTICE_2027))
    first, last = changed_days(old, new)

    assert first <= date(2027, 1, 1)
    assert last >= date(2027, 10, 9)
    assert changed_days(new, new) is None


def test_what_a_shift_means():
    made = DeadlineTerms(TimeLimit.parse("5wd")).compute(NOON, china())

    assert not Shift(made.at, False, made).concerns
    assert Shift(made.at, True, made).concerns
    assert Shift(made.at + timedelta(days=1), False, made).shortened
    assert Shift(made.at - timedelta(days=1), False, made).moved
