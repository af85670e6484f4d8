"""Complaints, ballots and visits through all four services, over the public API on real servers."""

import asyncio
import json
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer

from services.simulate import texts
from services.simulate.accounts import (
    INSPECTOR,
    OFFICE,
    OPERATOR,
    REVIEWER,
    SUPERVISOR,
    handler_of,
    head_of,
)
from services.simulate.client import id_of
from services.simulate.releases import finding_number, release_summary, waiting_summaries
from services.simulate.requests import complaint_body, visit_body
from services.simulate.rounds import plan_covert_round
from services.simulate.units import UNITS_BY_CODE
from shared.appraisal.schemes import Scheme
from shared.messaging.kafka_access import ADMIN as KAFKA_ADMIN
from shared.messaging.topics import client_options
from shared.storage.connections import Database
from shared.storage.schema import SERVICES
from tests.journeys.conftest import BEGINS, System, eventually, shanghai

pytestmark = pytest.mark.stack
SETTLED_SECONDS = 4
"""Longer than the job that hands visits over waits, and than its events travel."""
G01 = UNITS_BY_CODE["G01"]
G02 = UNITS_BY_CODE["G02"]
D05 = UNITS_BY_CODE["D05"]
Z03 = UNITS_BY_CODE["Z03"]


def new_complaint(campaign_id: str, seed: int = 1, **changed):
    """Return a complaint about the department of education, as the hotline desk sends it."""
    body = complaint_body(texts.complaint(Random(seed), G02, BEGINS, "08"), campaign_id, "hotline")
    return body | {"urgency": "normal", "urgency_reason": ""} | changed


async def released(system: System, receipt: dict) -> None:
    """Let the reviewer release the redacted summary of a registered complaint."""
    reviewer = await system.as_(REVIEWER)
    number = receipt["number"]
    await release_summary(reviewer, number, key=id_of(number, "release"))


async def case_of(system: System, redacted_summary: str) -> dict:
    """Return the case opened from a complaint, as the supervisor sees it."""
    supervisor = await system.as_(SUPERVISOR)

    async def look():
        found, _ = await supervisor.cases(unit=G02.unit_id)
        return next((row for row in found if row["redacted_summary"] == redacted_summary), None)

    return await supervisor.case((await eventually(look))["number"])


async def ranked_unit(system: System, campaign_id: str, unit_id: str) -> dict:
    office = await system.as_(OFFICE)
    return next(
        unit
        for category in await office.board(campaign_id)
        for unit in category["units"]
        if unit["unit_id"] == unit_id
    )


async def test_late_complaint_lowers_the_score_and_is_closed(system: System, clock):
    campaign = await system.publish()
    operator, supervisor = await system.as_(OPERATOR), await system.as_(SUPERVISOR)
    handler = await system.as_(handler_of(G02.unit_id))
    head = await system.as_(head_of(G02.unit_id))
    complaint = new_complaint(campaign)
    receipt = (await operator.register_complaint(complaint, key=id_of("complaint"))).body
    await released(system, receipt)
    case = await case_of(system, complaint["redacted_summary"])
    number = case["number"]
    assert (case["state"], case["unit_id"]) == ("assigned", G02.unit_id)
    accept = next(one for one in case["deadlines"] if one["kind"] == "accept")
    assert accept["due_at"].startswith("2026-11-04T09:30:00"), (
        "one working day, until 17:30 in Shanghai"
    )

    await clock.set(shanghai(4, 17, 25))

    async def warned():
        return [
            notification
            for notification in await handler.notifications(number=number)
            if notification["kind"] == "deadline_warned"
        ]

    await eventually(warned)
    assert not [
        notification
        for notification in await handler.notifications(number=number)
        if notification["kind"] == "deadline_lapsed"
    ], "five minutes remain"

    await clock.set(shanghai(4, 17, 30, 1))

    async def lapsed():
        return [
            notification
            for notification in await supervisor.notifications(number=number)
            if notification["kind"] == "deadline_lapsed"
        ]

    await eventually(lapsed)
    assert [notification["kind"] for notification in await head.notifications(number=number)].count(
        "deadline_lapsed"
    ) == 1

    async def lowered():
        return Decimal(
            (await ranked_unit(system, campaign, G02.unit_id))["adjusted"] or 0
        ) == Decimal("-0.5")

    await eventually(lowered)
    assert Decimal((await ranked_unit(system, campaign, G01.unit_id))["adjusted"] or 0) == 0

    result = texts.outcome(Random(2))
    await handler.accept_case(number, key=id_of("accept"))
    sent = {
        "account": result.account,
        "finding": result.finding,
        "measures": result.measures,
        "reply": result.reply,
    }
    await handler.submit_result(number, sent, key=id_of("submit"))
    await supervisor.review_case(
        number, approve=True, opinion=texts.APPROVED[0], key=id_of("approve")
    )

    async def closed():
        return (await supervisor.case(number))["state"] == "closed"

    await eventually(closed)

    async def progress_page():
        status, page = await system.client.ask_progress(receipt["number"], receipt["query_code"])
        return page if status == 200 and result.reply in page else None

    # The public page answers a number five times in 15 minutes: wait for the events first.
    await asyncio.sleep(2)
    page = await progress_page()
    assert page, "the progress page shows the reply"
    assert all(word in page for word in ("已收到", "已受理", "已转办", "办理中", "办结"))
    assert complaint["redacted_summary"] not in page, "the progress page never shows the complaint"
    assert (await system.client.ask_progress(receipt["number"], "00000000"))[0] == 404

    assert (
        await system.client.rate_handling(receipt["number"], receipt["query_code"], option=1) == 200
    )

    async def platform_points_are_70():
        return (
            Decimal(
                (await ranked_unit(system, campaign, G02.unit_id))["components"].get("platform")
                or 0
            )
            == 70
        )

    # Accepted late (0 of 30), handled in time (40 of 40), rated satisfied (30 of 30).
    await eventually(platform_points_are_70)


async def test_ballots_change_only_the_scores_of_their_units(system: System):
    campaign = await system.publish()
    office = await system.as_(OFFICE)
    scheme = Scheme.from_json((await office.campaign(campaign))[1])
    form, rng = scheme.instrument("cities"), Random(11)
    points = {option.no: option.points for option in scheme.options}
    chosen = {unit.unit_no: unit.unit_id for unit in (G01, Z03)}
    ballots = [
        [
            (unit_no, item.no, rng.choice([1, 1, 2, 3, 9]))
            for unit_no in chosen
            for item in form.items
        ]
        for _ in range(12)
    ]
    batch = await office.request_codes(campaign, "cities", "city_units", len(ballots))
    codes = await (await system.as_(REVIEWER)).open_codes(batch)

    for n, (code, answers) in enumerate(zip(codes, ballots, strict=True)):
        await system.client.submit_ballot(code, answers, key=id_of("ballot", n))
        await system.client.submit_ballot(code, answers, key=id_of("ballot", n))

    def mean(unit_no: int) -> Fraction:
        """Compute the scheme's rule by hand: mean points by question, then by question weight."""
        by_item = {}
        for item in form.items:
            counted = [
                points[o]
                for ballot in ballots
                for u, i, o in ballot
                if (u, i) == (unit_no, item.no) and points[o] is not None
            ]
            by_item[item] = Fraction(sum(map(Fraction, counted)), len(counted))
        return sum(Fraction(item.weight) * value for item, value in by_item.items()) / sum(
            Fraction(item.weight) for item in by_item
        )

    expected = {unit_id: mean(unit_no) for unit_no, unit_id in chosen.items()}

    async def counted():
        marks = {
            unit_id: (await ranked_unit(system, campaign, unit_id))["components"].get("cities")
            for unit_id in chosen.values()
        }
        return all(
            mark is not None and abs(Fraction(mark) - expected[unit_id]) <= Fraction(1, 100)
            for unit_id, mark in marks.items()
        )

    await eventually(counted)
    for category in await office.board(campaign):
        for unit in category["units"]:
            assert unit["unit_id"] in expected or not any(unit["components"].values()), (
                "no other unit has a score"
            )
            assert unit["sample"] <= len(ballots)


async def test_visit_with_two_problems_opens_two_cases(system: System):
    campaign = await system.publish()
    inspector, office = await system.as_(INSPECTOR), await system.as_(OFFICE)
    checklist = Scheme.from_json((await office.campaign(campaign))[1]).checklists[0]
    visit = visit_body(Random(5), campaign, checklist, G02, visited_at=shanghai(3, 8, 30), faults=2)

    first = await inspector.submit_visit(id_of("visit"), visit)
    again = await inspector.submit_visit(id_of("visit"), visit)

    assert (first.status, again.status, again.body["number"]) == (201, 200, first.body["number"])
    await released_findings(system, first.body["number"], 2)
    supervisor = await system.as_(SUPERVISOR)

    async def opened():
        found, total = await supervisor.cases(source="visit", unit=G02.unit_id)
        return found if total >= 2 else None

    found = await eventually(opened)
    assert sorted(row["redacted_summary"] for row in found) == sorted(
        one["summary"] for one in visit["findings"]
    )
    assert {(row["unit_id"], row["kind"]) for row in found} == {(G02.unit_id, "finding")}
    assert Decimal(await eventually(lambda: visit_mark(system, campaign))) < 100


async def released_findings(system: System, visit_number: str, count: int) -> None:
    reviewer = await system.as_(REVIEWER)
    for position in range(count):
        number = finding_number(visit_number, position)
        await release_summary(reviewer, number, key=id_of(number, "release"))


async def visit_mark(system: System, campaign: str) -> str | None:
    return (await ranked_unit(system, campaign, G02.unit_id))["components"].get("visits")


async def test_a_covert_visit_shows_nowhere_before_its_round_has_ended_and_its_text_is_released(
    system: System, clock
):
    campaign = await system.publish()
    inspector, office = await system.as_(INSPECTOR), await system.as_(OFFICE)
    handler, reviewer = await system.as_(handler_of(G02.unit_id)), await system.as_(REVIEWER)
    checklist = Scheme.from_json((await office.campaign(campaign))[1]).checklists[0]
    round_id = await plan_covert_round(
        office,
        campaign,
        inspector,
        begins_on=shanghai(3, 12).date(),
        ends_on=shanghai(4, 12).date(),
        key=id_of("round"),
    )
    visit = visit_body(
        Random(6),
        campaign,
        checklist,
        G02,
        visited_at=shanghai(3, 8, 37),
        faults=1,
        covert_round=round_id,
    )

    async def seen_by_unit():
        cases, total = await handler.cases()
        return total, cases, await handler.notifications(), await visit_mark(system, campaign)

    async def waiting():
        return [each["number"] for each in await waiting_summaries(reviewer)]

    before = await seen_by_unit()
    number = (await inspector.submit_visit(id_of("covert"), visit)).body["number"]
    await asyncio.sleep(SETTLED_SECONDS)
    assert await waiting() == []
    assert (await reviewer.cases(source="visit"))[1] == 0
    assert await seen_by_unit() == before

    await clock.set(shanghai(5, 0, 1))
    assert await eventually(waiting) == [f"{number}-1"]

    async def case_waits():
        found, _ = await reviewer.cases(source="visit")
        return next((row for row in found if not row["released"]), None)

    case = await eventually(case_waits)
    assert await seen_by_unit() == before

    await released_findings(system, number, 1)

    async def arrived():
        found, _ = await handler.cases()
        return next((row for row in found if row["number"] == case["number"]), None)

    row = await eventually(arrived)
    assert row["redacted_summary"] == visit["findings"][0]["summary"]
    details = await handler.case(case["number"])
    assert "2026-11-03" not in json.dumps(details), "the unit learns no day of the visit"
    assert "08:37" not in json.dumps(details)
    assert INSPECTOR.display_name not in json.dumps(details, ensure_ascii=False)
    assert Decimal(await eventually(lambda: visit_mark(system, campaign))) < 100


async def test_accused_unit_cannot_find_a_report(system: System):
    campaign = await system.publish()
    operator, reviewer = await system.as_(OPERATOR), await system.as_(REVIEWER)
    complaint = new_complaint(campaign, kind="report")
    receipt = (await operator.register_complaint(complaint, key=id_of("report"))).body
    await released(system, receipt)

    async def waiting():
        return next(
            (
                row
                for row in (await reviewer.cases(state=["pending"]))[0]
                if row["redacted_summary"] == complaint["redacted_summary"]
            ),
            None,
        )

    number = (await eventually(waiting))["number"]
    accused = await system.as_(handler_of(G02.unit_id))
    assert await accused.cases() == ([], 0)
    assert await accused.notifications() == []

    await reviewer.act(number, "assignment", {"unit_id": D05.unit_id}, key=id_of("assign"))
    assert (await (await system.as_(handler_of(D05.unit_id))).case(number))["origin"] is None
    assert await accused.cases() == ([], 0)


async def test_restarted_services_lose_and_duplicate_nothing(system: System):
    campaign = await system.publish()
    operator = await system.as_(OPERATOR)
    bodies = [new_complaint(campaign, seed) for seed in range(30)]

    async def register(n: int):
        return (await operator.register_complaint(bodies[n], key=id_of("flow", n))).body["number"]

    sending = [asyncio.create_task(register(n)) for n in range(len(bodies))]
    await asyncio.sleep(0.3)
    await asyncio.gather(*sending, return_exceptions=True)
    await system.restart()
    operator = await system.as_(OPERATOR)
    numbers = [await register(n) for n in range(len(bodies))]

    assert len(set(numbers)) == len(bodies)
    supervisor = await system.as_(SUPERVISOR)

    async def all_there():
        return (await supervisor.cases())[1] >= len(bodies)

    await eventually(all_there)
    await asyncio.sleep(1)
    assert (await supervisor.cases())[1] == len(bodies)


# ── personal data ─────────────────────────────────────────────────────────────────────────────────

CANARIES = ("欧阳金丝雀", "14199887766", "黄羽毛小区七栋", "我亲眼看见金丝雀飞走了")


async def test_personal_data_appears_in_no_store_log_or_metric(system: System, capfd):
    campaign = await system.publish()
    name, phone, address, words = CANARIES
    complaint_text = f"{words}，窗口一直没有人，我叫{name}，住{address}，电话{phone}。"
    redacted_summary = "反映省教育厅窗口工作时间无人在岗，希望核查并答复。"
    body = new_complaint(
        campaign,
        name=name,
        phone=phone,
        address=address,
        complaint_text=complaint_text,
        redacted_summary=redacted_summary,
        identity="real_name",
    )
    operator = await system.as_(OPERATOR)

    await released(system, (await operator.register_complaint(body, key=id_of("canary"))).body)
    case = await case_of(system, redacted_summary)
    await (await system.as_(handler_of(G02.unit_id))).accept_case(
        case["number"], key=id_of("canary", "accept")
    )

    async def notified():
        return await (await system.as_(SUPERVISOR)).unread() or (
            await (await system.as_(handler_of(G02.unit_id))).notifications()
        )

    await eventually(notified)
    contents = {
        "database": await _whole_database(system.settings.database_url),
        "kafka": await _all_records(system),
        "redis": await _whole_cache(system.settings.redis_url),
        "metrics": await system.metrics(),
        "case": json.dumps(
            await (await system.as_(handler_of(G02.unit_id))).case(case["number"]),
            ensure_ascii=False,
        ).encode(),
        "logs": "".join(capfd.readouterr()).encode(),
    }
    assert all(contents[place] for place in ("database", "kafka", "redis", "metrics")), (
        "every place has content to search"
    )
    for place, content in contents.items():
        for canary in CANARIES:
            raw = canary.encode()
            forms = (raw, raw.hex().encode(), json.dumps(canary).strip('"').encode())
            assert not any(form in content for form in forms), f"{canary} in {place}"


async def _whole_database(url: str) -> bytes:
    """Return every row of every table as text (bytes as hexadecimal)."""
    parts = []
    for schema in SERVICES:
        database = Database(url, schema, pool_size=1)
        async with database.transaction() as tx:
            tables = await tx.fetch("select tablename from pg_tables where schemaname = $1", schema)
            for table in tables:
                parts += [
                    row["line"]
                    for row in await tx.fetch(
                        f'select t::text as line from "{schema}"."{table["tablename"]}" t'
                    )
                ]
        await database.close()
    return "\n".join(parts).encode()


async def _all_records(system: System) -> bytes:
    """Return every record of every topic of this installation, with its headers."""
    settings = system.settings
    consumer = AIOKafkaConsumer(
        **client_options(settings, KAFKA_ADMIN),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        topics = [
            topic for topic in await consumer.topics() if topic.startswith(settings.topic_prefix)
        ]
        consumer.subscribe(topics)
        parts: list[bytes] = []
        for _ in range(20):
            batches = await consumer.getmany(timeout_ms=500)
            records = [record for batch in batches.values() for record in batch]
            parts += [
                b" ".join([r.key or b"", r.value or b"", *(value for _, value in r.headers)])
                for r in records
            ]
            if parts and not records:
                break
        return b"\n".join(parts)
    finally:
        await consumer.stop()


async def _whole_cache(url: str) -> bytes:
    """Return every key of the cache with its dumped value."""
    cache = redis.asyncio.Redis.from_url(url)
    parts = []
    async for key in cache.scan_iter():
        parts += [key, await cache.dump(key) or b""]
    await cache.aclose()
    return b"\n".join(parts)


async def test_deadlines_count_working_days_from_the_legal_day(system: System, clock):
    """A complaint registered on a Saturday; the date of the machine does not matter."""
    campaign = await system.publish()
    await clock.set(shanghai(7, 10))
    operator = await system.as_(OPERATOR)
    complaint = new_complaint(campaign, 9)
    receipt = (await operator.register_complaint(complaint, key=id_of("saturday"))).body
    await released(system, receipt)
    case = await case_of(system, complaint["redacted_summary"])

    assert case["received_on"] == "2026-11-07"
    due = {one["kind"]: one["due_at"] for one in case["deadlines"]}
    assert due["accept"].startswith("2026-11-09T09:30:00"), (
        "the first working day after it is Monday the ninth"
    )
    assert due["handle"].startswith("2026-11-13T09:30:00"), "five working days"
