"""Events become notifications: for whom, with which text, once, and in which order."""

from datetime import timedelta

import pytest

from services.notify.actions import escalation
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.storage.migrations import drift
from tests.notify.conftest import LIU, QIAN, SUN, WANG, WEDNESDAY, WU, ZHOU, CaseEvents

pytestmark = pytest.mark.stack


async def test_migrated_schema_matches_the_tables(settings):
    assert await drift(settings.database_url, "notify") == []


async def test_assigned_case_notifies_only_the_handlers_of_its_unit(notify):
    case = CaseEvents()

    await notify.consume(case.opened(), case.assigned())

    assert await notify.texts(LIU) == [
        "工单ZF2026-004507已分办到本单位，请于11-25 17:30 周三前签收。"
    ]
    assert await notify.texts(WANG) == ["来件ZF2026-004507待受理审核，分办期限11-25 14:00 周三。"]
    assert await notify.texts(QIAN) == await notify.texts(SUN) == await notify.texts(ZHOU) == []


async def test_lapse_notifies_handler_unit_head_supervisor_and_office(notify):
    await notify.consume(CaseEvents().lapsed())

    text = "工单ZF2026-004507办理期限已过（11-25 10:00 周三），责任单位：市税务局。"
    assert [await notify.texts(user) for user in (LIU, SUN, ZHOU, WU)] == [[text]] * 4
    assert await notify.texts(QIAN) == []


async def test_same_event_twice_creates_one_notification_per_role(notify):
    event = CaseEvents().lapsed()

    await notify.consume(event)
    await notify.consume(event)

    assert len(await notify.inbox(LIU)) == 1
    assert len(await notify.fetch("select from outbox where type = 'notification.issued.v1'")) == 4


async def test_lapses_of_one_batch_are_inserted_in_due_order(notify):
    late = [
        CaseEvents(f"ZF2026-{n:06}").lapsed(due_at=WEDNESDAY - timedelta(minutes=(n * 37) % 100))
        for n in range(100)
    ]

    await notify.consume(*late)

    due = [row.due_at for row in await notify.inbox(LIU)]
    assert len(due) == 100
    assert due == sorted(due)


async def test_later_event_resolves_the_stages_it_completes(notify):
    case = CaseEvents()
    await notify.consume(case.opened(), case.assigned(), case.warned("accept"))

    await notify.consume(case.accepted(), case.warned("handle"))

    states = {(item.kind, item.resolved_at is not None) for item in await notify.inbox(LIU)}
    assert states == {
        ("case_assigned", True),
        ("deadline_warned", True),
        ("deadline_warned", False),
    }
    assert (await notify.inbox(WANG))[0].resolved_at is not None


async def test_report_about_a_unit_notifies_only_the_handling_unit(notify):
    case = CaseEvents(unit="health", kind=ComplaintKind.REPORT)

    await notify.consume(case.opened(), case.assigned(), case.lapsed("accept"))

    assert len(await notify.inbox(QIAN)) == 2
    assert await notify.inbox(LIU) == await notify.inbox(SUN) == []


async def test_returned_case_notifies_the_reviewer(notify):
    case = CaseEvents()
    await notify.consume(case.opened(), case.assigned())

    await notify.consume(case.returned())

    assert (await notify.texts(WANG))[-1] == "市税务局退回工单ZF2026-004507，请重新分办。"
    assert (await notify.inbox(LIU))[0].resolved_at is not None


async def test_lapse_unresolved_for_three_working_days_is_escalated_once(notify):
    closed_case = CaseEvents("ZF2026-000003")
    await notify.consume(
        CaseEvents("ZF2026-000001").lapsed(),
        CaseEvents("ZF2026-000002").lapsed(),
        closed_case.lapsed(),
    )
    await notify.consume(closed_case.closed())

    await notify.clock.advance(days=5, hours=7)
    assert not await escalate(notify)
    assert [row.kind for row in await notify.inbox(WU)] == ["deadline_lapsed"] * 3
    await notify.clock.advance(hours=1)
    await escalate(notify)
    await escalate(notify)

    assert (await notify.texts(WU))[3:] == [
        f"市税务局承办的工单ZF2026-00000{n}办理期限已过 3 个工作日仍未办理，请督办。"
        for n in (1, 2)
    ]
    assert len(await notify.inbox(LIU)) == 4  # three lapses and one closure, no escalation


async def escalate(notify):
    async with notify.transaction() as tx:
        return await escalation.escalate(tx)


async def test_all_notifications_of_a_critical_case_are_urgent(notify):
    case = CaseEvents(urgency=Urgency.CRITICAL)
    await notify.consume(case.opened())

    await notify.consume(case.warned())

    assert [row["urgent"] for row in await notify.fetch("select urgent from notifications")] == [
        True,
        True,
    ]


async def test_undoing_a_merger_opens_what_it_resolved_and_its_escalation_follows(notify):
    case = CaseEvents()
    lapse = case.lapsed()
    await notify.consume(case.opened(), case.assigned(), case.accepted(), lapse)
    await notify.consume(case.merged())
    [resolved] = [item for item in await notify.inbox(ZHOU) if item.kind == "deadline_lapsed"]
    assert resolved.resolved_at is not None
    await notify.clock.advance(days=10)
    async with notify.transaction() as tx:
        await escalation.escalate(tx)
    assert not any("仍未办理" in text for text in await notify.texts(ZHOU))

    await notify.consume(case.unmerged())
    async with notify.transaction() as tx:
        await escalation.escalate(tx)

    [open_again] = [item for item in await notify.inbox(ZHOU) if item.kind == "deadline_lapsed"]
    assert open_again.resolved_at is None
    assert any("仍未办理" in text for text in await notify.texts(ZHOU))
    assert "case_unmerged" in [item.kind for item in await notify.inbox(LIU)]
    accepted = [item for item in await notify.inbox(LIU) if item.stage == "accept"]
    assert all(item.resolved_at for item in accepted), "what was done stays done"
