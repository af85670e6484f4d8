"""A world for the crawls: two campaigns, two bodies and their people, and a matter of every kind.

It is made over the public interface of all four services on real servers, in two parts. What
belongs to the crawler's own body comes first, then what its people must never learn of.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2

from services.cli.demo_accounts import seed_accounts
from services.intake.store import accounts
from services.simulate import texts
from services.simulate.accounts import (
    ADMIN,
    INSPECTOR,
    LEADER,
    OFFICE,
    OPERATOR,
    REVIEWER,
    DemoAccount,
    handler_of,
)
from services.simulate.client import Client
from services.simulate.releases import release_summary, waiting_summaries
from services.simulate.requests import complaint_body, visit_body
from services.simulate.rounds import plan_covert_round
from services.simulate.timeline import demo_rules
from services.simulate.units import UNITS_BY_CODE, DemoUnit
from shared.appraisal.labels import ComplaintKind, Role
from shared.appraisal.schemes import Scheme
from shared.security.policies import Account
from shared.storage.connections import Database
from shared.storage.schema import SERVICES
from tests.conftest import VirtualClock
from tests.crawls.canaries import RELEASED_SUMMARY, Canaries
from tests.faults.rig import topics_consumed_by
from tests.intake.test_imports import MAPPING
from tests.intake.test_visits import picture, sha
from tests.journeys.conftest import BEGINS, PASSWORD, System, eventually, shanghai

OWN = UNITS_BY_CODE["G02"]
"""The body whose people crawl: a 举报 accuses it."""
OTHER = UNITS_BY_CODE["D05"]
CAMPAIGN, OTHER_CAMPAIGN = "J-2026", "J-2026-2"
"""Both bodies take part in the first, only the other one in the second."""
SECOND_OPERATOR = Account(UUID(int=71), "zuoxi2", "周梅", Role.OPERATOR)
SECOND_INSPECTOR = Account(UUID(int=72), "xuncha2", "巡查员08", Role.INSPECTOR)
REPORTED_AT = shanghai(3, 10, 23, 47)
"""When the crawler's own body was reported: its people may know the day, never the minute."""
VISITED_AT = shanghai(3, 8, 37, 41)
WORKED_AT = shanghai(3, 11, 5)
ORDINARY_KINDS = sorted(set(ComplaintKind) - {ComplaintKind.FINDING, ComplaintKind.REPORT})
UNUSABLE_PASSWORD = "$argon2id$nobody-signs-in-with-a-password"
FORM_HEADERS = {"sec-fetch-site": "same-origin"}


@dataclass
class World:
    """The running services, their people and what these entrusted to them."""

    system: System
    owner_url: str
    """The database, for somebody who may read every table."""
    log_file: Path
    """What the services wrote to standard output and error."""
    people: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """The session of each person."""
    canaries: Canaries = field(default_factory=Canaries)
    codes: list[str] = field(default_factory=list)
    """Questionnaire codes that are still good."""
    scheme: Scheme | None = None
    spans: list[str] = field(default_factory=list)
    cache: bytes = b""
    pages_before: Any = None
    pages_after: Any = None
    """What outsiders read before and after the hidden part."""
    tickets: dict[str, str] = field(default_factory=dict)
    """Query code by number of a complaint."""

    async def as_(self, person: DemoAccount) -> Client:
        return await self.system.as_(person)

    @asynccontextmanager
    async def browser(self, person: DemoAccount | None = None) -> AsyncIterator[httpx2.AsyncClient]:
        """A browser, anonymous or with the session of this person."""
        headers = dict(FORM_HEADERS)
        if person:
            headers["authorization"] = f"Bearer {(await self.as_(person)).session_token}"
        base_url = f"http://127.0.0.1:{self.system.settings.port}"
        async with httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=30) as client:
            yield client


async def make_accounts(world: World) -> None:
    """Create the accounts of the demo for both bodies, a second operator and inspector."""
    database = Database(world.system.settings.database_url, "intake", pool_size=1)
    units = [(unit.unit_id, unit.name) for unit in (OWN, OTHER)]
    async with database.transaction() as tx:
        _, made = await seed_accounts(tx, password=PASSWORD, units=units)
        for second in (SECOND_OPERATOR, SECOND_INSPECTOR):
            await accounts.add(tx, second, UNUSABLE_PASSWORD)
            tx.audit("account.created", second.id, "tests")
    await database.close()
    everybody = (*made, SECOND_OPERATOR, SECOND_INSPECTOR)
    world.people = {account.name: account for account in everybody}


def rules() -> str:
    """Return the rules of the demo; the first questionnaire asks for words, too."""
    last = "- {no: 5, kind: single_choice, label: 问题整改成效}\n"
    before, found, after = demo_rules(BEGINS).partition(last)
    assert found, "the first questionnaire ends with this question"
    return f"{before}{found}      - {{no: 6, kind: free_text, label: 其他意见}}\n{after}"


async def publish(world: World, campaign_id: str, *units: DemoUnit) -> None:
    office = await world.as_(OFFICE)
    wanted = [{"unit_id": u.unit_id, "name": u.name, "category": u.category} for u in units]
    request = {"rules": rules(), "year": 2026, "units": wanted, "campaign_id": campaign_id}
    await office.publish_campaign(request, key=uuid4())

    async def known() -> bool:
        return campaign_id in {each["id"] for each in await office.campaigns()}

    await eventually(known)
    world.scheme = Scheme.from_json((await office.campaign(campaign_id))[1])


# ── intake ────────────────────────────────────────────────────────────────────────────────────────


async def complain(world: World, campaign_id: str, unit: DemoUnit, kind: str) -> str:
    """Register a complaint over the API; return its number."""
    operator = await world.as_(OPERATOR)
    person = world.canaries.person(f"api {kind} {campaign_id} {unit.code}")
    drawn = texts.complaint(Random(person.path), unit, BEGINS, "08")
    body = complaint_body(drawn, campaign_id, "hotline", drafted=True) | {
        "kind": kind,
        "urgency": "normal",
        "urgency_reason": "",
        "identity": "confidential",
        "name": person.name,
        "phone": person.phone,
        "address": person.address,
        "complaint_text": person.text,
    }
    registered = (await operator.register_complaint(body, key=uuid4())).body
    world.tickets[registered["number"]] = registered["query_code"]
    return str(registered["number"])


async def write_at_the_desk(world: World, unit: DemoUnit) -> None:
    """Register a ticket at the desk, and leave a draft of another behind."""
    ticket = world.canaries.person("desk")
    fields = {
        "draft_id": str(uuid4()),
        "campaign_id": CAMPAIGN,
        "phone": ticket.phone,
        "name": ticket.name,
        "identity": "confidential",
        "kind": "complaint",
        "urgency": "normal",
        "unit": unit.name,
        "unit_id": unit.unit_id,
        "problem_id": "08",
        "place": ticket.address,
        "complaint_text": ticket.text,
        "redacted_summary": RELEASED_SUMMARY,
        "idempotency_key": str(uuid4()),
    }
    draft = world.canaries.person("draft at the desk")
    unfinished = fields | {
        "draft_id": str(uuid4()),
        "phone": draft.phone,
        "name": draft.name,
        "place": draft.address,
        "complaint_text": draft.text,
    }
    async with world.browser(OPERATOR) as desk:
        registered = await desk.post("/intake/desk", data=fields)
        assert registered.status_code == 303, registered.text
        assert (await desk.post("/intake/desk/drafts", data=unfinished)).status_code == 200


async def report_online(world: World, unit: DemoUnit) -> None:
    """Send a 举报 with a photo through the public form, and leave another one unfinished."""
    person = world.canaries.person("public form")
    file_name = world.canaries.text("file name") + ".jpg"
    wish = world.canaries.text("withheld wish")
    steps: list[dict[str, Any]] = [
        {"data": {"chosen": unit.unit_id}},
        {"data": {"kind": "report", "head": "unsure"}},
        {"data": {"complaint_text": person.text, "place": person.address}},
        {"files": {"files": (file_name, picture(3), "image/jpeg")}},
        {"data": {"identity": "real_name", "name": person.name, "phone": person.phone}},
    ]
    async with world.browser() as browser:
        for number, step in enumerate(steps, 1):
            answer = await browser.post(f"/p/report/{number}", **step)
            assert answer.status_code == 303, answer.text
        last = {"idempotency_key": str(uuid4()), "withhold": wish}
        assert (await browser.post("/p/report", data=last)).status_code == 303
    unfinished = world.canaries.person("unfinished public form")
    async with world.browser() as browser:
        await browser.post("/p/report/1", **steps[0])
        await browser.post("/p/report/2", **steps[1])
        await browser.post("/p/report/3", data={"complaint_text": unfinished.text})


async def import_table(world: World) -> None:
    person = world.canaries.person("import")
    table = f"no,text,unit,type,day\n1,{person.text},{OTHER.name},投诉,2026-11-02\n2,太短,?,投诉,x"
    async with world.browser(OFFICE) as office:
        files = {
            "file": (f"{world.canaries.text('imported file')}.csv", table.encode()),
            "mapping": ("mapping.yaml", MAPPING.encode()),
        }
        form = {"campaign_id": CAMPAIGN}
        started = await office.post("/intake/api/imports", data=form, files=files)
        assert started.status_code == 202, started.text
        url = f"/intake/api/imports/{started.json()['id']}"

        async def finished() -> bool:
            return (await office.get(url)).json()["state"] == "finished"

        await eventually(finished)


async def add_supplement(world: World, number: str) -> None:
    person = world.canaries.person("supplement")
    operator = await world.as_(OPERATOR)
    url = f"/intake/api/complaints/{number}/supplements"
    await operator.write(url, {"text": person.text}, key=uuid4())


async def request_identity(world: World, number: str) -> None:
    """Let the reviewer ask the custodian to open an identity; the request stays open."""
    form = {
        "purpose": "call_back",
        "reason": "需要电话核实办理结果，请予打开。",
        "idempotency_key": str(uuid4()),
    }
    async with world.browser(REVIEWER) as reviewer:
        url = f"/intake/tickets/{number}/identity-openings"
        asked = await reviewer.post(url, data=form)
        assert asked.status_code == 303, asked.text


async def inspect(world: World, unit: DemoUnit) -> None:
    """Submit an announced visit with a finding and a photo."""
    assert world.scheme
    visit = visit_body(
        Random(5),
        CAMPAIGN,
        world.scheme.checklists[0],
        unit,
        visited_at=VISITED_AT,
        faults=1,
    )
    remarks = world.canaries.text(f"remarks about {unit.code}")
    visit |= {"mode": "announced", "remarks": remarks}
    photo, visit_id = picture(4), uuid4()
    async with world.browser(INSPECTOR) as phone:
        url = f"/intake/api/visits/{visit_id}"
        put = await phone.put(f"{url}/photos/{sha(photo)}", content=photo)
        assert put.status_code == 201, put.text
        sent = await phone.post(f"{url}/commit", json=visit | {"photos": [sha(photo)]})
        assert sent.status_code == 201, sent.text


async def plan_round(world: World) -> None:
    """Plan a covert round that has not begun."""
    begins_on = BEGINS + timedelta(days=200)
    await plan_covert_round(
        await world.as_(OFFICE),
        CAMPAIGN,
        await world.as_(INSPECTOR),
        begins_on=begins_on,
        ends_on=begins_on + timedelta(days=3),
        key=uuid4(),
    )


async def vote(world: World, campaign_id: str) -> None:
    """Cast a ballot with words of the respondent's own; keep the other codes."""
    office, opener = await world.as_(OFFICE), await world.as_(REVIEWER)
    batch = await office.request_codes(campaign_id, "deputies", "npc", 10)
    code, *world.codes = await opener.open_codes(batch)
    opinion = world.canaries.text("opinion on a ballot")
    async with world.browser() as browser:
        place = 1
        while place <= 20:
            answer = {"option": "1", "text": opinion}
            answered = await browser.post(f"/s/{code}/{place}", data=answer)
            if answered.status_code != 303:
                break
            place += 1
        assert answered.status_code == 200, answered.text


# ── the other services ────────────────────────────────────────────────────────────────────────────


async def release_all(world: World, *, but: int = 0) -> None:
    """Let the reviewer release every summary that waits but the newest, which keep their drafts."""
    reviewer = await world.as_(REVIEWER)
    waiting = await waiting_summaries(reviewer)
    for each in waiting[: len(waiting) - but]:
        await release_summary(reviewer, each["number"], key=uuid4(), text=RELEASED_SUMMARY)


async def assign_reports(world: World) -> None:
    """Let the reviewer assign every released 举报 to the other body."""
    reviewer = await world.as_(REVIEWER)
    pending, _ = await reviewer.cases(state=["pending"])
    for case in pending:
        if case["kind"] == "report" and case["redacted_summary"]:
            await reviewer.act(
                case["number"], "assignment", {"unit_id": OTHER.unit_id}, key=uuid4()
            )


async def work_on_cases(world: World, unit: DemoUnit) -> None:
    """Let a body accept its cases and write a note."""
    handler = await world.as_(handler_of(unit.unit_id))
    for case in (await handler.cases())[0]:
        await handler.accept_case(case["number"], key=uuid4())
        await handler.act(case["number"], "notes", {"text": "已与窗口核实。"}, key=uuid4())


async def subscribe(world: World) -> None:
    admin = await world.as_(ADMIN)
    wanted = {"role": "reviewer", "address": "http://127.0.0.1:9/hook", "kinds": []}
    await admin.write(f"/notify/api/subscriptions/{uuid4()}", wanted, key=uuid4(), method="PUT")


# ── the whole story ───────────────────────────────────────────────────────────────────────────────


async def decide(world: World) -> None:
    """Let office and leader decide on a rule that only people apply; another request waits."""
    office, leader = await world.as_(OFFICE), await world.as_(LEADER)
    decision = {
        "unit_id": OTHER.unit_id,
        "rule_id": "J10",
        "grounds": "经核实，窗口多次无人在岗，群众反映强烈。",
        "document": "评议办〔2026〕7 号",
    }
    url = f"/scoring/api/campaigns/{CAMPAIGN}/decisions"
    requested = await office.write(url, decision, key=uuid4())
    approval = f"/scoring/api/dual-approvals/{requested.body['approval_id']}/approval"
    await leader.write(approval, {}, key=uuid4())
    again = decision | {"grounds": "复查时窗口仍然无人在岗，没有整改。"}
    await office.write(url, again, key=uuid4())


async def settled(world: World) -> None:
    """Wait until every published event was consumed."""
    connection = await asyncpg.connect(world.owner_url)
    try:

        async def quiet() -> bool:
            return not await connection.fetchval(UNCONSUMED)

        await eventually(quiet)
    finally:
        await connection.close()


def _unconsumed() -> str:
    """Return SQL that tells whether an event has not arrived at a service that consumes it."""
    outboxes = " union all ".join(f"select event_id, topic from {name}.outbox" for name in SERVICES)
    tests = [
        f"(topic = any(array{sorted(topics_consumed_by(name))}) "
        f"and not exists (select from {name}.inbox i where i.event_id = o.event_id))"
        for name in SERVICES
    ]
    return f"select exists (select from ({outboxes}) o where {' or '.join(tests)})"


UNCONSUMED = _unconsumed()


async def own_part(world: World, clock: VirtualClock) -> None:
    """Make what the crawler's own body may know: a case from each source, worked on later."""
    await publish(world, OTHER_CAMPAIGN, OTHER)
    await publish(world, CAMPAIGN, OWN, OTHER)
    office = await world.as_(OFFICE)
    shown = f"/scoring/api/campaigns/{CAMPAIGN}/shown"
    await office.write(shown, {"shown": True}, key=uuid4())
    await subscribe(world)
    await settled(world)
    await clock.set(REPORTED_AT, rate=0)
    await complain(world, CAMPAIGN, OWN, ComplaintKind.COMPLAINT)
    await write_at_the_desk(world, OWN)
    await inspect(world, OWN)
    await settled(world)
    await clock.set(WORKED_AT, rate=0)
    await release_all(world)
    await settled(world)
    await work_on_cases(world, OWN)
    await settled(world)


async def hidden_part(world: World) -> None:
    """Make what the crawler's own body must never learn of."""
    for kind in ORDINARY_KINDS:
        await complain(world, CAMPAIGN, OTHER, kind)
    await complain(world, OTHER_CAMPAIGN, OTHER, ComplaintKind.COMPLAINT)
    number = await complain(world, CAMPAIGN, OWN, ComplaintKind.REPORT)
    await add_supplement(world, number)
    await request_identity(world, number)
    await report_online(world, OWN)
    await import_table(world)
    await inspect(world, OTHER)
    await vote(world, OTHER_CAMPAIGN)
    await decide(world)
    await plan_round(world)
    await release_all(world, but=1)
    await settled(world)
    await assign_reports(world)
    await settled(world)
    await work_on_cases(world, OTHER)
    await settled(world)
