"""Facts become notifications: to whom, in which words, once, and in which order."""

from datetime import timedelta

import pytest

from services.notify import actions
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.storage.migrations import drift
from tests.notify.conftest import LIU, QIAN, SUN, WANG, WEDNESDAY, WU, ZHOU, Case

pytestmark = pytest.mark.stack


async def texts(notify, who):
    return [row["text"] for row in await notify.inbox(who)]


async def test_the_migrated_schema_is_the_one_in_tables(settings):
    assert await drift(settings.database_url, "notify") == []


async def test_an_assigned_case_is_told_to_the_handlers_of_its_unit_only(notify):
    case = Case()

    await notify.tell(case.opened(), case.assigned())

    assert await texts(notify, LIU) == [
        "工单ZF2026-004507已分办到本单位，请于11-25 17:30 周三前签收。"
    ]
    assert await texts(notify, WANG) == ["来件ZF2026-004507待受理分办，期限11-25 14:00 周三。"]
    assert await texts(notify, QIAN) == await texts(notify, SUN) == await texts(notify, ZHOU) == []


async def test_a_lapse_goes_to_handler_head_supervisor_and_office(notify):
    await notify.tell(Case().lapsed())

    told = "工单ZF2026-004507办理期限已过（11-25 10:00 周三），责任单位：市税务局。"
    assert [await texts(notify, who) for who in (LIU, SUN, ZHOU, WU)] == [[told]] * 4
    assert await texts(notify, QIAN) == []


async def test_the_same_event_twice_is_one_notification(notify):
    fact = Case().lapsed()

    await notify.tell(fact)
    await notify.tell(fact)

    assert len(await notify.inbox(LIU)) == 1
    assert len(await notify.ask("select from outbox where type = 'notification.issued.v1'")) == 4


async def test_lapses_heard_together_are_written_in_the_order_of_their_due_times(notify):
    late = [
        Case(f"ZF2026-{n:06}").lapsed(due_at=WEDNESDAY - timedelta(minutes=(n * 37) % 100))
        for n in range(100)
    ]

    await notify.tell(*late)

    due = [row["due_at"] for row in await notify.inbox(LIU)]
    assert len(due) == 100
    assert due == sorted(due)


async def test_what_was_asked_for_is_settled_by_the_fact_that_answers_it(notify):
    case = Case()
    await notify.tell(case.opened(), case.assigned(), case.warned("accept"))

    await notify.tell(case.accepted(), case.warned("handle"))

    states = {(row["kind"], row["settled_at"] is not None) for row in await notify.inbox(LIU)}
    assert states == {
        ("case_assigned", True),
        ("deadline_warned", True),
        ("deadline_warned", False),
    }
    assert (await notify.inbox(WANG))[0]["settled_at"] is not None


async def test_a_report_about_a_unit_reaches_only_the_unit_that_handles_it(notify):
    case = Case(unit="health", kind=ComplaintKind.REPORT)

    await notify.tell(case.opened(), case.assigned(), case.lapsed("accept"))

    assert len(await notify.inbox(QIAN)) == 2
    assert await notify.inbox(LIU) == await notify.inbox(SUN) == []


async def test_a_returned_case_goes_back_to_the_reviewer(notify):
    case = Case()
    await notify.tell(case.opened(), case.assigned())

    await notify.tell(case.returned())

    assert (await texts(notify, WANG))[-1] == "市税务局退回工单ZF2026-004507，请重新分办。"
    assert (await notify.inbox(LIU))[0]["settled_at"] is not None


async def test_a_lapse_nobody_answers_for_three_working_days_goes_higher_up_once(notify):
    await notify.tell(
        Case("ZF2026-000001").lapsed(),
        Case("ZF2026-000002").lapsed(),
        (answered := Case("ZF2026-000003")).lapsed(),
    )
    await notify.tell(answered.closed())

    await notify.clock.advance(days=5, hours=7)
    assert not await escalate(notify)
    assert [row["kind"] for row in await notify.inbox(WU)] == ["deadline_lapsed"] * 3
    await notify.clock.advance(hours=1)
    await escalate(notify)
    await escalate(notify)

    assert (await texts(notify, WU))[3:] == [
        f"市税务局承办的工单ZF2026-00000{n}办理期限已过 3 个工作日仍未办理，请督办。"
        for n in (1, 2)
    ]
    assert len(await notify.inbox(LIU)) == 4  # three lapses, one closing: the ladder leads upwards


async def escalate(notify):
    async with notify.database.transaction(notify.context) as tx:
        return await actions.escalate(tx)


async def test_a_critical_case_is_urgent_in_all_its_notifications(notify):
    case = Case(urgency=Urgency.CRITICAL)
    await notify.tell(case.opened())

    await notify.tell(case.warned())

    assert [row["urgent"] for row in await notify.ask("select urgent from notifications")] == [
        True,
        True,
    ]
