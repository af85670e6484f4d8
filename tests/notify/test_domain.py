"""The rules of notify, without any server."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.notify import domain
from services.notify.domain import Known
from shared.appraisal.calendar.holiday_notices import china
from shared.security.pii import find_pii
from tests.notify.conftest import WEDNESDAY, Case

CHINA = china()
KNOWN = Known(CHINA, units={"tax": "市税务局"})


def told(fact, known=KNOWN):
    return {draft.role for draft in domain.drafts(*fact, known)}


@pytest.mark.parametrize(
    ("deadline", "warned", "lapsed"),
    [
        ("assign", {"reviewer"}, {"reviewer", "supervisor", "office"}),
        ("accept", {"handler"}, {"handler", "unit_head", "supervisor", "office"}),
        ("handle", {"handler"}, {"handler", "unit_head", "supervisor", "office"}),
        ("review", {"supervisor"}, {"supervisor", "office"}),
        ("rectify", {"handler"}, {"handler", "unit_head", "supervisor", "office"}),
    ],
)
def test_a_deadline_warns_who_must_act_and_its_lapse_those_above(deadline, warned, lapsed):
    assert told(Case().warned(deadline)) == warned
    assert told(Case().lapsed(deadline)) == lapsed


def test_nobody_in_a_unit_is_told_of_a_case_that_no_unit_has():
    assert told(Case(unit=None).lapsed("handle")) == {"supervisor", "office"}


@pytest.mark.parametrize("kind", domain.KINDS)
def test_every_text_can_be_used_and_names_nobody(kind):
    text = domain.RULES[kind].text

    assert domain.text_problem(text) == ""
    assert find_pii(text) == []


def test_notifications_say_number_stage_time_and_link_and_nothing_else():
    case = Case()
    facts = [
        case.opened(),
        case.assigned(),
        case.warned(),
        case.lapsed(),
        case.returned(),
        case.closed(),
    ]

    written = [draft for fact in facts for draft in domain.drafts(*fact, KNOWN)]

    assert all(
        draft.subject == "ZF2026-004507" and "ZF2026-004507" in draft.text for draft in written
    )
    assert not any(
        word in draft.text for draft in written for word in ("not_ours", "已整改", str(case.id))
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("工单{编号}临期", ""),
        ("{姓名}来电", "没有“姓名”这个字段，可用字段：编号、单位、期限、环节、链接"),
        ("工单{编号", "花括号不成对，字段应写成 {编号} 这样"),
        ("工单{}", "没有“”这个字段，可用字段：编号、单位、期限、环节、链接"),
        (" ", "请填写模板内容"),
        ("催" * 203, "模板内容最多 200 个字，已超出 3 字"),
    ],
)
def test_a_template_with_an_unknown_field_is_refused_in_words(text, problem):
    assert domain.text_problem(text) == problem


def china_time(day, hour, minute=0):
    return datetime(
        2026, 11, day, hour - 8 if hour >= 8 else hour + 16, minute, tzinfo=UTC
    ) - timedelta(days=hour < 8)


@pytest.mark.parametrize(
    ("now", "leaves"),
    [
        (china_time(25, 10), china_time(25, 10)),
        (china_time(25, 8), china_time(25, 8)),
        (china_time(25, 7, 59), china_time(25, 8)),
        (china_time(25, 19, 59), china_time(25, 19, 59)),
        (china_time(25, 20), china_time(26, 8)),
        (china_time(27, 21), china_time(30, 8)),  # Friday night: Monday
        (china_time(28, 12), china_time(30, 8)),  # Saturday
    ],
)
def test_notifications_rest_at_night_and_on_rest_days(now, leaves):
    assert domain.leaves_at(now, False, CHINA) == leaves
    assert domain.leaves_at(now, True, CHINA) == now


def test_a_make_up_saturday_is_a_day_like_any_other_and_a_holiday_is_not():
    saturday = datetime(2026, 2, 14, 2, tzinfo=UTC)  # 调休上班 before the spring festival
    assert domain.leaves_at(saturday, False, CHINA) == saturday

    national_day = datetime(2026, 10, 1, 2, tzinfo=UTC)
    assert domain.leaves_at(national_day, False, CHINA) == datetime(2026, 10, 8, tzinfo=UTC)


def test_an_unanswered_lapse_rises_after_three_working_days():
    friday = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)

    drafts = domain.drafts(*Case().lapsed(due_at=friday), KNOWN)

    assert {draft.role: draft.escalate_at for draft in drafts}["supervisor"] == datetime(
        2026, 11, 30, 9, 30, tzinfo=UTC
    )
    assert [draft.escalate_at for draft in drafts if draft.role != "supervisor"] == [None] * 3


def test_the_same_lapse_rises_under_the_same_event_id():
    lapse = next(d for d in domain.drafts(*Case().lapsed(), KNOWN) if d.role == "supervisor")

    first, second = (
        domain.escalated(lapse, KNOWN, now=WEDNESDAY + timedelta(days=n)) for n in (5, 6)
    )

    assert {draft.event_id for draft in first} == {draft.event_id for draft in second}
    assert {draft.role for draft in first} == {"unit_head", "supervisor", "office", "leader"}


@pytest.mark.parametrize(
    ("mark", "total", "kept", "tells"),
    [
        (None, 80, 80, False),
        (80, 90, 90, False),
        (90, "85.01", 90, False),
        (90, 85, 85, True),
        (85, 84, 85, False),
    ],
)
def test_the_office_hears_of_a_score_that_falls_five_points(mark, total, kept, tells):
    assert domain.score_mark(mark and Decimal(mark), Decimal(total)) == (Decimal(kept), tells)


def test_attempts_pause_longer_and_longer_and_end():
    pauses = [domain.pause_after(n) for n in range(1, domain.ATTEMPTS_MAX + 1)]

    assert pauses[:-1] == sorted(pauses[:-1])
    assert pauses[-1] is None


@pytest.mark.parametrize(
    ("address", "channel"),
    [
        ("mailto:a@x.cn", "mail"),
        ("https://x.cn/a", "webhook"),
        ("HTTP://x", "webhook"),
        ("wecombot://k", "apprise"),
    ],
)
def test_an_address_says_its_channel(address, channel):
    assert domain.channel_of(address) == channel


def test_links_lead_to_the_page_where_something_can_be_done():
    assert {draft.link for draft in domain.drafts(*Case().lapsed("assign"), KNOWN)} == {
        "/casework/cases/ZF2026-004507"
    }
    assert (
        domain.link_of("score_fell", domain.About("市税务局", "j-2026:tax"))
        == "/scoring/j-2026/units/tax/changes"
    )


def test_unknown_units_have_a_word():
    assert Known(CHINA).unit("x") == Known(CHINA).unit(None) == "承办单位"


def test_the_day_ends_at_midnight_in_china():
    assert domain.end_of_day(datetime(2026, 11, 25, 15, 59, tzinfo=UTC)) == datetime(
        2026, 11, 25, 16, tzinfo=UTC
    )
