"""The pure rules of notify."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from services.notify.domain.channels import channel_of
from services.notify.domain.composition import (
    ReferenceData,
    ResolvedStage,
    notifications_for,
    resolved_stages,
)
from services.notify.domain.delivery import ATTEMPTS_MAX, retry_delay
from services.notify.domain.escalation import EscalationCandidate, escalations_of
from services.notify.domain.links import link_to
from services.notify.domain.quiet_hours import earliest_send_time, end_of_day
from services.notify.domain.rules import RULES, NotificationKind
from services.notify.domain.scores import next_baseline
from services.notify.domain.subjects import NotificationSubject
from services.notify.domain.templates import text_problem
from shared.appraisal.calendar.deadlines import due_label
from shared.appraisal.calendar.holiday_notices import china
from shared.security.pii import find_pii
from tests.notify.conftest import WEDNESDAY, CaseEvents

CHINA = china()
REFERENCE = ReferenceData(CHINA, units={"tax": "市税务局"})


def notified_roles(event):
    return {new.role for new in notifications_for(*event, REFERENCE)}


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
def test_deadline_warns_its_owners_and_its_lapse_notifies_upper_roles(deadline, warned, lapsed):
    assert notified_roles(CaseEvents().warned(deadline)) == warned
    assert notified_roles(CaseEvents().lapsed(deadline)) == lapsed


def test_pause_notifies_the_unit_until_when_the_clock_stands_still():
    until = datetime(2026, 12, 9, 16, tzinfo=UTC)

    notifications = notifications_for(*CaseEvents().paused(until), REFERENCE)

    assert {new.role for new in notifications} == {"handler", "unit_head"}
    assert {new.due_at for new in notifications} == {until}
    assert all(due_label(until) in new.text for new in notifications)


def test_pause_resolves_earlier_reminders_of_the_handling_deadline():
    event, meta = CaseEvents().paused()

    assert resolved_stages(event, meta) == [ResolvedStage(event.key, "handle", meta.version)]


def test_case_without_a_unit_notifies_no_unit_role():
    assert notified_roles(CaseEvents(unit=None).lapsed("handle")) == {"supervisor", "office"}


@pytest.mark.parametrize("kind", NotificationKind)
def test_preset_texts_are_valid_and_contain_no_personal_data(kind):
    text = RULES[kind].text

    assert text_problem(text) == ""
    assert find_pii(text) == ()


def test_notifications_contain_no_content_of_the_case():
    case = CaseEvents()
    events = [
        case.opened(),
        case.assigned(),
        case.warned(),
        case.paused(),
        case.withdrawn(),
        case.merged(),
        case.unmerged(),
        case.lapsed(),
        case.returned(),
        case.closed(),
    ]

    written = [
        notification for event in events for notification in notifications_for(*event, REFERENCE)
    ]

    assert all(
        notification.number == "ZF2026-004507" and "ZF2026-004507" in notification.text
        for notification in written
    )
    assert not any(
        word in notification.text
        for notification in written
        for word in ("not_ours", "已整改", str(case.id))
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
def test_invalid_template_is_explained(text, problem):
    assert text_problem(text) == problem


def china_time(day, hour, minute=0):
    return datetime(
        2026, 11, day, hour - 8 if hour >= 8 else hour + 16, minute, tzinfo=UTC
    ) - timedelta(days=hour < 8)


@pytest.mark.parametrize(
    ("now", "send_at"),
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
def test_quiet_hours_cover_nights_and_rest_days(now, send_at):
    assert earliest_send_time(now, urgent=False, calendar=CHINA) == send_at
    assert earliest_send_time(now, urgent=True, calendar=CHINA) == now


def test_quiet_hours_follow_adjusted_working_days_and_holidays():
    saturday = datetime(2026, 2, 14, 2, tzinfo=UTC)  # 调休上班 before the spring festival
    assert earliest_send_time(saturday, urgent=False, calendar=CHINA) == saturday

    national_day = datetime(2026, 10, 1, 2, tzinfo=UTC)
    assert earliest_send_time(national_day, urgent=False, calendar=CHINA) == datetime(
        2026, 10, 8, tzinfo=UTC
    )


def test_lapse_escalates_after_three_working_days():
    friday = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)

    notifications = notifications_for(*CaseEvents().lapsed(due_at=friday), REFERENCE)

    assert {notification.role: notification.escalate_at for notification in notifications}[
        "supervisor"
    ] == datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
    assert [
        notification.escalate_at
        for notification in notifications
        if notification.role != "supervisor"
    ] == [None] * 3


def test_escalations_of_one_lapse_share_an_event_id():
    lapse = EscalationCandidate(
        event_id=uuid4(),
        version=3,
        number="ZF2026-004507",
        subject_id=str(uuid4()),
        unit_id="tax",
        stage="handle",
        due_at=WEDNESDAY,
    )

    first, second = (
        escalations_of(lapse, REFERENCE, now=WEDNESDAY + timedelta(days=n)) for n in (5, 6)
    )

    assert {notification.event_id for notification in first} == {
        notification.event_id for notification in second
    }
    assert {notification.role for notification in first} == {
        "unit_head",
        "supervisor",
        "office",
        "leader",
    }


@pytest.mark.parametrize(
    ("baseline", "total", "stored", "notifies"),
    [
        (None, 80, 80, False),
        (80, 90, 90, False),
        (90, "85.01", 90, False),
        (90, 85, 85, True),
        (85, 84, 85, False),
    ],
)
def test_office_is_notified_of_a_score_that_falls_five_points(baseline, total, stored, notifies):
    old = baseline and Decimal(baseline)

    assert next_baseline(old, Decimal(total)) == (Decimal(stored), notifies)


def test_retry_delays_grow_and_end():
    delays = [retry_delay(n) for n in range(1, ATTEMPTS_MAX + 1)]

    assert delays[:-1] == sorted(delays[:-1])
    assert delays[-1] is None


@pytest.mark.parametrize(
    ("address", "channel"),
    [
        ("mailto:a@x.cn", "mail"),
        ("https://x.cn/a", "webhook"),
        ("HTTP://x", "webhook"),
        ("wecombot://k", "apprise"),
    ],
)
def test_scheme_of_an_address_decides_its_channel(address, channel):
    assert channel_of(address) == channel


def test_link_leads_to_the_page_where_the_recipient_can_act():
    assert {
        notification.link
        for notification in notifications_for(*CaseEvents().lapsed("assign"), REFERENCE)
    } == {"/casework/cases/ZF2026-004507"}
    assert (
        link_to("score_fell", NotificationSubject("市税务局", "j-2026:tax"))
        == "/scoring/j-2026/units/tax/changes"
    )


def test_unknown_unit_has_a_general_name():
    reference = ReferenceData(CHINA)

    assert reference.unit_name("x") == reference.unit_name(None) == "承办单位"


def test_day_ends_at_midnight_in_china():
    assert end_of_day(datetime(2026, 11, 25, 15, 59, tzinfo=UTC)) == datetime(
        2026, 11, 25, 16, tzinfo=UTC
    )
