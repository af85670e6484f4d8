"""The working calendar, the State Council's notices, and deadlines."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.appraisal.calendar.deadlines import (
    DeadlineProgress,
    DeadlineStatus,
    Pause,
    TimeLimit,
    compute_deadline,
    deadline_progress,
    due_at,
    due_for_units,
    due_label,
)
from shared.appraisal.calendar.holiday_notices import china, read_notice
from shared.appraisal.calendar.working_days import SHANGHAI, CalendarError, WorkCalendar, civil_day

RIGHT = china()
NO_MAKE_UP = WorkCalendar(
    {day: worked for day, worked in RIGHT.days.items() if not worked},
    RIGHT.known_from,
    RIGHT.known_through,
)
WEEKDAYS_ONLY = WorkCalendar({}, RIGHT.known_from, RIGHT.known_through)

WORKING_DAY_VECTORS = """
2025-01-20  5 2025-01-26 2025-01-27 2025-01-27
2025-04-25  5 2025-05-06 2025-05-07 2025-05-02
2025-09-22  5 2025-09-28 2025-09-29 2025-09-29
2025-09-26  5 2025-10-10 2025-10-13 2025-10-03
2025-09-30  1 2025-10-09 2025-10-09 2025-10-01
2025-10-10  1 2025-10-11 2025-10-13 2025-10-13
2026-02-10  5 2026-02-24 2026-02-25 2026-02-17
2026-02-13 15 2026-03-12 2026-03-16 2026-03-06
2026-09-18  5 2026-09-24 2026-09-28 2026-09-25
2026-09-30  3 2026-10-10 2026-10-12 2026-10-05
"""
CALENDAR_DAY_VECTORS = """
2025-08-03 60 2025-10-02 2025-10-09
2025-09-18 15 2025-10-03 2025-10-09
2025-12-18 15 2026-01-02 2026-01-04
2026-01-18 30 2026-02-17 2026-02-24
2026-08-04 60 2026-10-03 2026-10-08
"""
NOTICE_2027 = """\
# 国务院办公厅关于2027年部分节假日安排的通知
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
2027-02-14,班,春节
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
2027-10-09,班,国庆节
"""

days = st.dates(date(2005, 1, 1), date(2026, 6, 30))
unknown_or_known_days = st.dates(date(2003, 1, 1), date(2030, 1, 1))
instants = st.datetimes(datetime(2005, 1, 1), datetime(2026, 6, 30), timezones=st.just(UTC))
limits = st.one_of(
    st.builds(TimeLimit, st.integers(1, 60), st.sampled_from(("wd", "d"))),
    st.builds(TimeLimit, st.integers(1, 240), st.just("h")),
)


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def at(text: str) -> datetime:
    """An instant given in Shanghai time, as people say it."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def state(now: str, start: str, limit: str, **more: object) -> DeadlineProgress:
    due = compute_deadline(at(start), TimeLimit.parse(limit), RIGHT)
    unit = TimeLimit.parse(limit).unit
    return deadline_progress(
        at(now),
        due_at=due.at,
        warn_at=due.warn_at,
        severe_at=due.severe_at,
        calendar=RIGHT,
        unit=unit,
        **more,
    )


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("start", "amount", "right", "no_make_up", "weekdays_only"), rows(WORKING_DAY_VECTORS)
)
def test_working_days_follow_the_notices(
    start: str, amount: str, right: str, no_make_up: str, weekdays_only: str
) -> None:
    answers = [
        calendar.add_working_days(date.fromisoformat(start), int(amount)).day.isoformat()
        for calendar in (RIGHT, NO_MAKE_UP, WEEKDAYS_ONLY)
    ]

    assert answers == [right, no_make_up, weekdays_only]
    assert set(answers[1:]) != {right}


@pytest.mark.parametrize(("start", "amount", "raw", "rolled"), rows(CALENDAR_DAY_VECTORS))
def test_calendar_days_roll_to_the_next_workday(
    start: str, amount: str, raw: str, rolled: str
) -> None:
    first = date.fromisoformat(start)

    assert RIGHT.add_calendar_days(first, int(amount), roll=False).day.isoformat() == raw
    assert RIGHT.add_calendar_days(first, int(amount)).day.isoformat() == rolled


def test_deadline_in_a_year_without_notice_is_provisional() -> None:
    assert RIGHT.add_working_days(date(2026, 12, 25), 10).provisional
    assert not RIGHT.add_working_days(date(2026, 12, 21), 5).provisional


def test_last_days_of_the_last_known_year_are_provisional() -> None:
    # The notices for 2008, 2012, 2019 and 2023 moved the last days of the December before them.
    assert not RIGHT.is_known(date(2026, 12, 29))
    assert [RIGHT.is_workday(date(2018, 12, day)) for day in (29, 30, 31)] == [True, False, False]
    assert RIGHT.is_workday(date(2011, 12, 31))


@pytest.mark.parametrize(("year", "count"), [(2024, 251), (2025, 248), (2026, 248)])
def test_number_of_working_days_in_a_year(year: int, count: int) -> None:
    assert RIGHT.working_days_between(date(year - 1, 12, 31), date(year, 12, 31)) == count


def test_make_up_days_of_2025_and_2026_match_the_notices() -> None:
    worked = [
        f"{day:%y-%m-%d}" for day, is_worked in RIGHT.days.items() if is_worked and day.year >= 2025
    ]

    assert worked[:5] == ["25-01-26", "25-02-08", "25-04-27", "25-09-28", "25-10-11"]
    assert worked[5:] == ["26-01-04", "26-02-14", "26-02-28", "26-05-09", "26-09-20", "26-10-10"]
    assert "国办发明电〔2025〕7号" in RIGHT.notices[2026]


def test_shipped_file_matches_the_public_package() -> None:
    package = pytest.importorskip("chinese_calendar")
    every_day = (
        date(2004, 1, 1) + timedelta(days=n)
        for n in range((date(2026, 12, 31) - date(2004, 1, 1)).days + 1)
    )

    assert [day for day in every_day if package.is_workday(day) != RIGHT.is_workday(day)] == []


@settings(deadline=None)
@given(days, st.integers(1, 250))
def test_between_is_the_inverse_of_add(start: date, amount: int) -> None:
    due = RIGHT.add_working_days(start, amount).day

    assert RIGHT.working_days_between(start, due) == amount
    assert RIGHT.is_workday(due)
    assert RIGHT.working_days_between(due, start) == -amount


@settings(deadline=None)
@given(unknown_or_known_days, st.integers(0, 60), st.integers(0, 60))
def test_adding_working_days_is_monotone_and_additive(start: date, one: int, other: int) -> None:
    first = RIGHT.add_working_days(start, one).day

    assert (
        RIGHT.add_working_days(first, other).day == RIGHT.add_working_days(start, one + other).day
    )
    assert RIGHT.add_working_days(start + timedelta(days=1), one).day >= first


@settings(deadline=None)
@given(days, st.integers(1, 60))
def test_subtracting_working_days_mirrors_adding_them(start: date, amount: int) -> None:
    assume(RIGHT.is_workday(start))

    assert RIGHT.add_working_days(RIGHT.add_working_days(start, amount).day, -amount).day == start


@settings(deadline=None)
@given(unknown_or_known_days, st.integers(1, 90))
def test_rolling_never_ends_early_or_on_a_rest_day(start: date, amount: int) -> None:
    rolled = RIGHT.add_calendar_days(start, amount).day

    assert rolled >= RIGHT.add_calendar_days(start, amount, roll=False).day
    assert RIGHT.is_workday(rolled)


# ── limits and due instants ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "limit"),
    [("5wd", TimeLimit(5, "wd")), ("15d", TimeLimit(15, "d")), (" 24h ", TimeLimit(24, "h"))],
)
def test_limits_are_parsed_and_formatted(text: str, limit: TimeLimit) -> None:
    assert TimeLimit.parse(text) == limit
    assert str(limit) == text.strip()


@pytest.mark.parametrize("text", ["", "5", "wd", "5 days", "-1d", "0wd", "5.5h", "99999d"])
def test_invalid_limit_is_rejected_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="时限"):
        TimeLimit.parse(text)


@pytest.mark.parametrize("closes", ["5:30", "25:00", "24:01", "00:00", "noon"])
def test_invalid_closing_time_is_rejected(closes: str) -> None:
    with pytest.raises(ValueError, match="截止时刻"):
        TimeLimit(5, "wd", closes)


@pytest.mark.parametrize(
    ("start", "limit", "due"),
    [
        ("2026-11-18 09:00", TimeLimit(5, "wd"), "2026-11-25 17:30"),
        ("2026-11-18 23:59", TimeLimit(5, "wd"), "2026-11-25 17:30"),
        ("2026-11-19 00:00", TimeLimit(5, "wd"), "2026-11-26 17:30"),
        ("2026-11-18 09:00", TimeLimit(5, "wd", closes="24:00"), "2026-11-26 00:00"),
        ("2026-09-18 09:00", TimeLimit(15, "d"), "2026-10-08 17:30"),
        ("2026-09-18 09:00", TimeLimit(15, "d", roll=False), "2026-10-03 17:30"),
        ("2026-10-01 10:00", TimeLimit(24, "h"), "2026-10-02 10:00"),
    ],
)
def test_limit_ends_at_its_closing_time_in_shanghai(start: str, limit: TimeLimit, due: str) -> None:
    assert due_at(at(start), limit, RIGHT).at == at(due)


def test_due_instant_has_calendar_version_and_last_day() -> None:
    due = due_at(at("2026-11-18 09:00"), TimeLimit(5, "wd", closes="24:00"), RIGHT)

    assert (due.day, due.provisional, due.calendar_version) == (
        date(2026, 11, 25),
        False,
        RIGHT.version,
    )


@pytest.mark.parametrize(
    ("since", "until", "due"),
    [
        ("2026-11-19 10:00", "2026-11-19 15:00", "2026-11-25 17:30"),
        ("2026-11-19 10:00", "2026-11-23 15:00", "2026-11-27 17:30"),
        ("2026-11-20 10:00", "2026-11-22 15:00", "2026-11-25 17:30"),
    ],
)
def test_paused_days_do_not_count(since: str, until: str, due: str) -> None:
    pause = Pause(at(since), at(until))

    assert due_at(at("2026-11-18 09:00"), TimeLimit(5, "wd"), RIGHT, [pause]).at == at(due)


def test_pause_extends_a_limit_in_hours_by_its_length() -> None:
    pause = Pause(at("2026-11-18 10:00"), at("2026-11-18 12:30"))

    assert due_at(at("2026-11-18 09:00"), TimeLimit(24, "h"), RIGHT, [pause]).at == at(
        "2026-11-19 11:30"
    )


@settings(deadline=None)
@given(instants, limits, st.sampled_from(("17:30", "24:00")))
def test_deadline_instants_are_ordered_and_never_early(
    start: datetime, limit: TimeLimit, closes: str
) -> None:
    limit = TimeLimit(limit.amount, limit.unit, closes)
    due = compute_deadline(start, limit, RIGHT)

    assert start <= due.warn_at < due.at < due.severe_at
    if limit.unit == "h":
        assert due.at - start == timedelta(hours=limit.amount)
    else:
        assert (due.day - civil_day(start)).days >= limit.amount
        assert RIGHT.is_workday(due.day)


@settings(deadline=None)
@given(instants, limits, instants, st.timedeltas(timedelta(), timedelta(days=20)))
def test_pause_never_shortens_a_deadline(
    start: datetime, limit: TimeLimit, since: datetime, length: timedelta
) -> None:
    assert (
        due_at(start, limit, RIGHT, [Pause(since, since + length)]).at
        >= due_at(start, limit, RIGHT).at
    )


# ── states ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("now", "badge"),
    [
        ("2026-11-18 09:00", "● 正常 剩5工作日"),
        ("2026-11-19 09:00", "● 正常 剩4工作日"),
        ("2026-11-22 09:00", "● 正常 剩3工作日"),
        ("2026-11-23 23:59", "● 正常 剩2工作日"),
        ("2026-11-24 00:00", "▲ 临期 剩1工作日"),
        ("2026-11-25 17:29", "▲ 临期 今天17:30"),
        ("2026-11-25 17:30", "■ 超期 不足1工作日"),
        ("2026-11-26 17:29", "■ 超期 不足1工作日"),
        ("2026-11-26 17:30", "■ 超期 1工作日"),
        ("2026-11-29 12:00", "■ 超期 2工作日"),
        ("2026-12-02 17:29", "■ 超期 4工作日"),
        ("2026-12-02 17:30", "■ 严重超期 5工作日"),
        ("2026-12-08 18:00", "■ 严重超期 9工作日"),
    ],
)
def test_states_of_a_deadline_of_five_working_days(now: str, badge: str) -> None:
    assert state(now, "2026-11-18 08:00", "5wd").badge == badge


def test_long_limit_warns_when_a_fifth_remains() -> None:
    assert state("2026-11-18 12:00", "2026-11-02 09:00", "15wd").badge == "▲ 临期 剩3工作日"
    assert state("2026-11-17 12:00", "2026-11-02 09:00", "15wd").badge == "● 正常 剩4工作日"


@pytest.mark.parametrize(
    ("now", "badge"),
    [
        ("2026-11-18 10:00", "● 正常 剩23小时"),
        ("2026-11-19 04:12", "▲ 临期 剩4小时"),
        ("2026-11-19 08:30", "▲ 临期 不足1小时"),
        ("2026-11-19 09:00", "■ 超期 不足1小时"),
        ("2026-11-20 08:00", "■ 超期 23小时"),
        ("2026-11-20 09:00", "■ 严重超期 24小时"),
    ],
)
def test_limit_in_hours_is_shown_in_hours(now: str, badge: str) -> None:
    assert state(now, "2026-11-18 09:00", "24h").badge == badge


def test_paused_and_closed_deadlines_have_their_own_badges() -> None:
    closed_late = state(
        "2026-12-30 09:00", "2026-11-18 09:00", "5wd", closed_at=at("2026-11-26 09:00")
    )
    closed_in_time = state(
        "2026-12-30 09:00", "2026-11-18 09:00", "5wd", closed_at=at("2026-11-20 09:00")
    )

    assert state("2026-12-30 09:00", "2026-11-18 09:00", "5wd", paused=True).badge == "❚❚ 暂停计时"
    assert closed_late.badge == "✓ 已办结（超期办结）"
    assert closed_in_time.badge == "✓ 已办结"


def test_due_label_shows_the_absolute_time() -> None:
    assert due_label(at("2026-11-25 17:30")) == "11-25 17:30 周三"
    assert due_label(at("2026-11-26 00:00"), provisional=True) == "11-25 24:00 周三（暂定）"


def test_statuses_sort_by_urgency() -> None:
    shuffled = [
        DeadlineStatus.CLOSED,
        DeadlineStatus.NORMAL,
        DeadlineStatus.LATE,
        DeadlineStatus.SEVERE,
        DeadlineStatus.WARNING,
        DeadlineStatus.PAUSED,
    ]

    assert [one.label for one in sorted(shuffled, key=lambda one: one.rank)] == (
        ["严重超期", "超期", "临期", "正常", "暂停计时", "已办结"]
    )


@settings(deadline=None)
@given(instants, limits, st.timedeltas(timedelta(), timedelta(days=200)))
def test_number_in_the_badge_agrees_with_the_status(
    start: datetime, limit: TimeLimit, later: timedelta
) -> None:
    due = compute_deadline(start, limit, RIGHT)
    seen = deadline_progress(
        start + later,
        due_at=due.at,
        warn_at=due.warn_at,
        severe_at=due.severe_at,
        calendar=RIGHT,
        unit=limit.unit,
    )

    assert seen.is_late == (start + later >= due.at)
    assert seen.left == 0 or seen.over == 0
    assert min(seen.left, seen.over) >= 0
    if limit.unit == "wd":
        assert (seen.status is DeadlineStatus.SEVERE) == (seen.over >= limit.amount)
        total = RIGHT.working_days_between(civil_day(start), due.day)
        assert (seen.status is DeadlineStatus.NORMAL) == (seen.left > 1 and seen.left * 5 > total)


# ── versions ──────────────────────────────────────────────────────────────────────────────────────


def test_new_notice_makes_a_version_that_covers_its_year() -> None:
    newer = RIGHT.with_notice(read_notice(NOTICE_2027))

    assert newer.version.startswith("CN2027-")
    assert newer.version != RIGHT.version
    assert not newer.is_workday(date(2027, 2, 8))
    assert newer.is_workday(date(2027, 10, 9))
    assert not newer.add_working_days(date(2026, 12, 25), 10).provisional
    assert newer.names[date(2027, 10, 9)] == "国庆节"


def test_notice_is_idempotent_and_yaml_equals_csv() -> None:
    notice = read_notice(NOTICE_2027)
    as_yaml = """
2027:
  notice: 国务院办公厅关于2027年部分节假日安排的通知
  rest:
    元旦: [01-01/01-03]
    春节: [02-05/02-11]
    清明节: [04-05]
    劳动节: [05-01, 05-03]
    端午节: [06-09]
    中秋节: [09-15]
    国庆节: [10-01/10-05]
  work: [02-14, 10-09]
"""

    assert RIGHT.with_notice(notice).with_notice(notice) == RIGHT.with_notice(notice)
    assert read_notice(as_yaml) == notice


def test_notice_may_move_days_before_new_year() -> None:
    moving = read_notice(NOTICE_2027.replace("2027-01-03,休,元旦", "2026-12-31,休,元旦"))

    assert not RIGHT.with_notice(moving).is_workday(date(2026, 12, 31))
    assert (
        RIGHT.with_notice(moving)
        .with_notice(read_notice(NOTICE_2027))
        .is_workday(date(2026, 12, 31))
    )


@pytest.mark.parametrize(
    ("old", "new", "row", "reason"),
    [
        ("2027-02-14,班", "2027-02-16,班", 13, "本来就是工作日"),
        ("2027-02-06,休", "2027-02-05,休", 7, "重复"),
        ("2027-02-07,休", "2027-02-30,休", 8, "不存在"),
        ("2027-04-05,休", "2027-04-05,假", 14, "应为 休 或 班"),
        ("2027-05-03,休,劳动节", "2028-05-03,休,劳动节", 16, "不属于 2027 年度"),
        ("2027-06-09,休,端午节", "2027-06-09,休,", 17, "没有写明节日"),
        ("2027-10-01,休,国庆节\n", "", 0, "缺少法定节假日 2027-10-01"),
        ("# 国务院办公厅关于2027年部分节假日安排的通知\n", "", 0, "没有写明来源"),
    ],
)
def test_invalid_row_is_rejected_with_number_and_reason(
    old: str, new: str, row: int, reason: str
) -> None:
    with pytest.raises(CalendarError, match=reason) as refused:
        read_notice(NOTICE_2027.replace(old, new))

    assert row in [number for number, _ in refused.value.rows]


@pytest.mark.parametrize("text", ["", "2027: [", "2027:\n  rest: 3", "hello", "日期,类型,节日\n"])
def test_file_that_is_no_notice_is_rejected(text: str) -> None:
    with pytest.raises(CalendarError):
        read_notice(text)


def test_years_are_imported_in_order() -> None:
    with pytest.raises(CalendarError, match="先导入 2027"):
        RIGHT.with_notice(
            read_notice(
                NOTICE_2027.replace("2027", "2028")
                .replace("2028-02-14,班,春节\n", "")
                .replace("2028-10-09,班", "2028-10-14,班")
            )
        )


def test_calendar_round_trips_as_json() -> None:
    copy = WorkCalendar.from_json(RIGHT.to_json())

    assert copy == RIGHT
    assert copy.to_json() == RIGHT.to_json()
    assert hash(copy) == hash(RIGHT)


@pytest.mark.parametrize(
    ("due", "shown"),
    [
        ("2026-11-23T09:30:00+00:00", "2026-11-23T09:30:00+00:00"),
        ("2026-11-23T16:00:00+00:00", "2026-11-23T16:00:00+00:00"),
        ("2026-11-23T05:23:47+00:00", "2026-11-23T05:00:00+00:00"),
    ],
)
def test_a_unit_knows_a_due_time_to_the_hour_and_never_a_later_one(due, shown):
    assert due_for_units(datetime.fromisoformat(due)) == datetime.fromisoformat(shown)
