"""Time: every lapse is published once, in order, never early; obligations of units; the calendar."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from services.casework.actions import calendar, handling, sweeps
from services.casework.actions.obligations import fulfil_obligation
from services.casework.domain.calendar import Amendment
from services.casework.domain.deadlines import DeadlineFields
from services.casework.store import CaseworkContext
from shared.appraisal.calendar.deadlines import TimeLimit
from shared.appraisal.calendar.working_days import SHANGHAI
from shared.appraisal.errors import Rejected
from shared.appraisal.events import (
    CaseRescheduled,
    DeadlineLapsed,
    DeadlineWarned,
    Event,
    ObligationFulfilled,
    ObligationLapsed,
    ObligationWarned,
)
from shared.storage.connections import Database
from shared.storage.transaction import new_id
from tests.casework.conftest import ADMIN, CHEN, LI, ZHANG
from tests.casework.test_domain import NOTICE_2027
from tests.conftest import on_server

pytestmark = pytest.mark.stack


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


async def test_a_lapse_is_published_at_its_time_and_not_before(world):
    number = await world.open()
    case_deadlines = await world.case_deadlines(number)
    await world.clock.set(case_deadlines["accept"]["due_at"] - timedelta(seconds=2), rate=0)
    await world.sweep()
    assert await world.events(DeadlineLapsed) == []

    await world.clock.set(case_deadlines["accept"]["due_at"], rate=0)
    await world.sweep()

    (lapsed,) = await world.events(DeadlineLapsed)
    assert (lapsed.deadline, lapsed.due_at, lapsed.number, lapsed.unit_id) == (
        "accept",
        case_deadlines["accept"]["due_at"],
        number,
        "health",
    )
    assert lapsed.occurred_at >= lapsed.due_at


async def test_a_deadline_completed_in_time_never_lapses(world):
    number = await world.open()
    await world.do(handling.accept_case, number=number, by=LI)
    await world.clock.advance(days=30)

    await world.sweep()

    assert [event.deadline for event in await world.events(DeadlineLapsed)] == ["handle"]


async def test_a_warning_is_published_once_and_not_after_the_lapse(world):
    number = await world.open()
    accept = (await world.case_deadlines(number))["accept"]
    await world.clock.set(accept["warn_at"] + timedelta(seconds=1))
    for _ in range(3):
        await world.sweep()
    assert [event.deadline for event in await world.events(DeadlineWarned)] == ["accept"]

    await world.clock.advance(days=30)
    await world.sweep()

    assert len(await world.events(DeadlineWarned)) == 1
    assert len(await world.events(DeadlineLapsed)) == 2


async def test_two_workers_publish_each_lapse_exactly_once(world, settings):
    for _ in range(40):
        await world.open()
    await world.clock.advance(days=40)
    other = Database(settings.database_url, "casework", pool_size=3)
    contexts = [CaseworkContext(sweep_batch=7), CaseworkContext(sweep_batch=7)]

    async def work(database: Database, context: CaseworkContext) -> None:
        while True:
            async with database.transaction(context) as tx:
                if not await sweeps.publish_lapses(tx):
                    return

    await asyncio.gather(work(world.database, contexts[0]), work(other, contexts[1]))
    await other.close()
    await world.sweep()

    lapses = [(event.case_id, event.deadline) for event in await world.events(DeadlineLapsed)]
    assert len(lapses) == len(set(lapses)) == 80
    assert (
        await world.value(
            "select count(*) from deadlines where case_id is not null and state = 'lapsed'"
        )
        == 80
    )


async def test_a_worker_that_dies_releases_its_claim(world):
    await world.open()
    await world.clock.advance(days=40)

    async def dying(tx):
        await sweeps.publish_lapses(tx)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await world.do(dying)
    assert await world.events(DeadlineLapsed) == []

    await world.sweep()
    assert len(await world.events(DeadlineLapsed)) == 2


async def test_an_action_and_a_sweep_at_once_publish_the_lapse_once(world):
    numbers = [await world.open() for _ in range(12)]
    await world.clock.set(
        (await world.case_deadlines(numbers[0]))["accept"]["due_at"] + timedelta(seconds=1)
    )

    await asyncio.gather(
        world.sweep(),
        *(world.do(handling.accept_case, number=number, by=LI) for number in numbers[:4]),
    )
    await world.sweep()

    lapses = [event.number for event in await world.events(DeadlineLapsed)]
    assert sorted(lapses) == sorted(numbers)


async def test_a_sweep_does_not_read_deadlines_that_are_far_away(world, settings):
    number = await world.open()
    row = dict((await world.case_deadlines(number))["handle"])
    case_id, far = row["case_id"], row["due_at"] + timedelta(days=3000)
    await on_server(settings.database_url, "drop index casework.uq_deadlines_active")
    async with world.database.transaction(world.context) as tx:
        base = row | {
            "due_at": far,
            "warn_at": far,
            "next_warn_at": far,
            "severe_at": far,
            "case_id": case_id,
        }
        rows = [
            tuple((base | {"id": new_id()})[name] for name in DeadlineFields.__struct_fields__)
            for _ in range(100_000)
        ]
        await tx.copy("deadlines", DeadlineFields.__struct_fields__, rows)
    await world.value("analyze deadlines")

    plan = await world.value(
        "explain (analyze, buffers, format json) select id from deadlines where state = 'running' and due_at <= public.app_now() "
        "order by due_at limit 500 for update skip locked"
    )

    assert "ix_deadlines_due" in str(plan)
    assert plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"] < 50


# ── calendar vectors through a real case ──────────────────────────────────────────────────────────

VECTORS = [
    ("2025-01-20", "5wd", "2025-01-26"),
    ("2025-04-25", "5wd", "2025-05-06"),
    ("2025-09-22", "5wd", "2025-09-28"),
    ("2025-09-26", "5wd", "2025-10-10"),
    ("2025-09-30", "1wd", "2025-10-09"),
    ("2025-10-10", "1wd", "2025-10-11"),
    ("2026-02-10", "5wd", "2026-02-24"),
    ("2026-02-13", "15wd", "2026-03-12"),
    ("2026-09-18", "5wd", "2026-09-24"),
    ("2026-09-30", "3wd", "2026-10-10"),
    ("2025-08-03", "60d", "2025-10-09"),
    ("2025-09-18", "15d", "2025-10-09"),
    ("2025-12-18", "15d", "2026-01-04"),
    ("2026-01-18", "30d", "2026-02-24"),
    ("2026-08-04", "60d", "2026-10-08"),
    ("2026-12-25", "10wd", None),
]


async def test_calendar_vectors_hold_for_real_cases(world):
    rules = world.scheme.case_rules
    for start, limit, due in VECTORS:
        await world.clock.set(at(f"{start} 10:00"))
        limits = tuple(
            replace(one, limit=TimeLimit.parse(limit)) if one.stage == "handle" else one
            for one in rules.limits
        )
        await world.publish(replace(world.scheme, case_rules=replace(rules, limits=limits)))

        handle = (await world.case_deadlines(await world.open()))["handle"]

        if due is None:
            assert handle["provisional"]
        else:
            assert (handle["due_at"], handle["provisional"]) == (at(f"{due} 17:30"), False), start


# ── a new notice ──────────────────────────────────────────────────────────────────────────────────


async def test_a_notice_reschedules_each_affected_case_once_and_no_other(world):
    before = await world.open()
    await world.clock.set(at("2026-12-25 10:00"))
    await world.sweep()
    concerned = await world.open()
    assert (await world.case_deadlines(concerned))["handle"]["provisional"]

    preview = await world.do(
        calendar.preview_amendment, amendment=Amendment.from_notice(NOTICE_2027)
    )
    assert {each.row.number for each in preview.affected} == {concerned}
    assert await world.events(CaseRescheduled) == []
    await world.do(calendar.amend_calendar, amendment=Amendment.from_notice(NOTICE_2027), by=ADMIN)

    (event,) = await world.events(CaseRescheduled)
    handle = (await world.case_deadlines(concerned))["handle"]
    assert (event.number, event.calendar_version, handle["calendar_version"]) == (
        concerned,
        preview.new.version,
        preview.new.version,
    )
    assert not handle["provisional"]
    assert handle["due_at"] == at("2027-01-04 17:30")
    assert (await world.case_deadlines(before))["handle"]["state"] == "lapsed"
    with pytest.raises(Rejected, match="没有需要保存"):
        await world.do(
            calendar.amend_calendar, amendment=Amendment.from_notice(NOTICE_2027), by=ADMIN
        )


@pytest.mark.parametrize(
    ("shorten", "due"), [(False, "2026-11-30 17:30"), (True, "2026-11-27 17:30")]
)
async def test_a_deadline_becomes_shorter_only_on_request(world, shorten, due):
    free = Amendment.for_day(at("2026-11-24 12:00").date(), worked=False, name="省政府通知放假")
    await world.do(calendar.amend_calendar, amendment=free, by=ADMIN)
    number = await world.open()
    assert (await world.case_deadlines(number))["handle"]["due_at"] == at("2026-11-30 17:30")
    back = Amendment.for_day(at("2026-11-24 12:00").date(), worked=True, name="取消放假")

    await world.do(calendar.amend_calendar, amendment=back, by=ADMIN, shorten=shorten)

    assert (await world.case_deadlines(number))["handle"]["due_at"] == at(due)
    assert len(await world.events(CaseRescheduled)) == shorten


async def test_a_notice_with_mistakes_is_rejected(world):
    with pytest.raises(Rejected, match="缺少法定节假日"):
        Amendment.from_notice("# 通知\n日期,类型,节日\n2027-01-01,休,元旦\n")


# ── obligations of units ───────────────────────────────────────────────────────────────────────────────


async def test_a_campaign_imposes_its_obligations_on_every_unit_once(world):
    await world.publish()

    rows = await world.rows(
        "select y.unit_id, y.obligation_rule_id, d.due_at from obligations y join deadlines d on d.obligation_id = y.id order by 1, 2"
    )
    assert [(row["unit_id"], row["obligation_rule_id"]) for row in rows] == [
        (unit, rule) for unit in ("health", "roads", "schools") for rule in ("J2.plan", "J2.report")
    ]
    assert {row["due_at"] for row in rows if row["obligation_rule_id"] == "J2.report"} == {
        at("2026-11-30 17:30")
    }


async def test_an_obligation_is_reminded_twice_then_lapses(world):
    await world.sweep()
    start = {ObligationWarned: 0, ObligationLapsed: len(await world.events(ObligationLapsed))}
    story = (
        ("2026-11-23 09:01", 3, 0),
        ("2026-11-27 09:01", 6, 0),
        ("2026-11-30 17:29", 6, 0),
        ("2026-11-30 17:31", 6, 3),
    )
    for moment, warned, lapsed in story:
        await world.clock.set(at(moment))
        await world.sweep()
        await world.sweep()
        assert len(await world.events(ObligationWarned)) - start[ObligationWarned] == warned, moment
        assert len(await world.events(ObligationLapsed)) - start[ObligationLapsed] == lapsed, moment


async def test_an_obligation_is_fulfilled_once_by_its_own_unit(world):
    obligation = await world.value(
        "select id from obligations where unit_id = 'health' and obligation_rule_id = 'J2.report'"
    )

    with pytest.raises(Rejected) as refused:
        await world.do(
            fulfil_obligation,
            obligation_id=obligation,
            document="自评报告（卫字 12 号）",
            by=CHEN,
        )
    assert refused.value.status == 404
    for _ in range(2):
        await world.do(
            fulfil_obligation,
            obligation_id=obligation,
            document="自评报告（卫字 12 号）",
            by=ZHANG,
        )
    await world.clock.advance(days=60)
    await world.sweep()

    (fulfilled,) = await world.events(ObligationFulfilled)
    assert (fulfilled.unit_id, fulfilled.obligation_rule_id, fulfilled.late) == (
        "health",
        "J2.report",
        False,
    )
    assert obligation not in {event.obligation_id for event in await world.events(ObligationLapsed)}


async def test_a_new_version_of_the_rules_moves_an_open_obligation(world):
    obligation = world.scheme.obligations[1]
    later = replace(
        world.scheme,
        version="R2",
        obligations=(
            world.scheme.obligations[0],
            replace(obligation, due=obligation.due + timedelta(days=2)),
        ),
    )

    await world.publish(later)

    rows = await world.rows(
        "select d.due_at, d.scheme_version from deadlines d where d.rule_id = 'J2.report'"
    )
    assert {(row["due_at"], row["scheme_version"]) for row in rows} == {
        (at("2026-12-02 17:30"), "R2")
    }


async def test_an_obligation_that_the_rules_drop_is_cancelled(world):
    await world.publish(
        replace(world.scheme, version="R2", obligations=world.scheme.obligations[:1])
    )
    await world.clock.advance(days=60)

    await world.sweep()

    late: list[Event] = await world.events(ObligationLapsed)
    assert {event.obligation_rule_id for event in late} == {"J2.plan"}
