"""Moments as people say them, seen from Monday 23 November 2026, 14:05."""

from datetime import UTC, datetime

import pytest

from shared.foundation.clock import CHINA
from shared.web.spoken_dates import UnparsableDate, parse_spoken_date

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=CHINA)

SAID = {
    "今天 9:30": "2026-11-23（周一）09:30",
    "今天9：30": "2026-11-23（周一）09:30",
    "今日上午": "2026-11-23（周一）上午",
    "昨天下午": "2026-11-22（周日）下午",
    "昨天下午3点": "2026-11-22（周日）15:00",
    "昨天下午三点二十分": "2026-11-22（周日）15:20",
    "昨天下午3点一刻": "2026-11-22（周日）15:15",
    "昨天15点半": "2026-11-22（周日）15:30",
    "昨晚十点半": "2026-11-22（周日）22:30",
    "昨晚": "2026-11-22（周日）晚上",
    "今早8点": "2026-11-23（周一）08:00",
    "今天凌晨1点": "2026-11-23（周一）01:00",
    "今天凌晨12点": "2026-11-23（周一）00:00",
    "昨天中午12点": "2026-11-22（周日）12:00",
    "昨天中午1点": "2026-11-22（周日）13:00",
    "昨天晚上12点": "2026-11-23（周一）00:00",
    "昨天 24:00": "2026-11-23（周一）00:00",
    "前天": "2026-11-21（周六）",
    "大前天": "2026-11-20（周五）",
    "11-20 15点": "2026-11-20（周五）15:00",
    "11-20 15:00": "2026-11-20（周五）15:00",
    "１１－２０　１５：００": "2026-11-20（周五）15:00",
    "11/20 9:05": "2026-11-20（周五）09:05",
    "11.20": "2026-11-20（周五）",
    "11月20日": "2026-11-20（周五）",
    "十一月二十日上午九点": "2026-11-20（周五）09:00",
    "12-25": "2025-12-25（周四）",
    "2月29日": "2024-02-29（周四）",
    "2026年11月3号 8时": "2026-11-03（周二）08:00",
    "2026-11-20 15:04": "2026-11-20（周五）15:04",
    "2026-11-20T15:04": "2026-11-20（周五）15:04",
    "2025/1/2": "2025-01-02（周四）",
    "20号上午": "2026-11-20（周五）上午",
    "25日": "2026-10-25（周日）",
    "上个月30号": "2026-10-30（周五）",
    "周五": "2026-11-20（周五）",
    "星期一": "2026-11-23（周一）",
    "上周三上午九点半": "2026-11-18（周三）09:30",
    "上星期天": "2026-11-22（周日）",
    "本周五": "2026-11-27（周五）",
    "上上周一": "2026-11-09（周一）",
    "3天前": "2026-11-20（周五）",
    "两个小时前": "2026-11-23（周一）12:05",
    "半小时前": "2026-11-23（周一）13:35",
    "十分钟前": "2026-11-23（周一）13:55",
    "一周前": "2026-11-16（周一）",
    "刚才": "2026-11-23（周一）14:05",
    "9:30": "2026-11-23（周一）09:30",
    "下午2点": "2026-11-23（周一）14:00",
}


@pytest.mark.parametrize(("text", "understood"), SAID.items())
def test_what_people_say_is_understood(text: str, understood: str) -> None:
    assert str(parse_spoken_date(text, NOW)) == understood


@pytest.mark.parametrize(
    ("text", "understood"),
    {
        "周五": "2026-11-27（周五）",
        "12-04": "2026-12-04（周五）",
        "5号": "2026-12-05（周六）",
        "明天上午": "2026-11-24（周二）上午",
        "后天": "2026-11-25（周三）",
        "下周一": "2026-11-30（周一）",
    }.items(),
)
def test_of_a_plan_the_next_such_day_is_meant(text: str, understood: str) -> None:
    assert str(parse_spoken_date(text, NOW, future=True)) == understood


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "今天 25:00",
        "今天 9:75",
        "13-40",
        "2026-02-30",
        "4月31日",
        "下午",
        "晚上",
        "昨天 9",
        "9",
        "x" * 500,
        "十百点",
        "32号",
    ],
)
def test_what_names_no_moment_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(UnparsableDate) as refusal:
        parse_spoken_date(text, NOW)

    assert text[:3] not in str(refusal.value) or len(text) < 3


def test_an_evening_in_london_is_the_next_morning_in_china() -> None:
    now = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)

    assert str(parse_spoken_date("今天", now)) == "2026-11-23（周一）"


def test_a_part_of_a_day_begins_at_its_first_hour() -> None:
    parsed = parse_spoken_date("昨天下午", NOW)

    assert (parsed.at.hour, parsed.precision, parsed.at.utcoffset()) == (
        13,
        "part",
        NOW.utcoffset(),
    )
