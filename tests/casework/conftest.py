"""The casework of one campaign with three units, and the people who work there."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from services.casework.actions import campaigns, exclusions, opening, releases, sweeps
from services.casework.store import CaseworkContext
from services.casework.tables import Case
from shared.appraisal.events import (
    EVENTS,
    CampaignPublished,
    ComplaintAccusedRecorded,
    ComplaintRegistered,
    ComplaintSummaryReleased,
    Event,
    FindingRegistered,
    FindingSummaryReleased,
    UnitEntry,
    decode,
)
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Severity, Urgency
from shared.appraisal.schemes import Scheme, load_scheme
from shared.security.policies import Account
from shared.storage.connections import Database

CAMPAIGN = "j-2026"
UNITS = {"health": "省卫生健康委", "schools": "省教育厅", "roads": "省交通运输厅"}
FRIDAY = datetime(2026, 11, 20, 2, tzinfo=UTC)
"""2026-11-20 10:00 in Shanghai, a working day."""


def person(
    number: int,
    name: str,
    role: Role,
    unit: str | None = None,
) -> Account:
    return Account(UUID(int=number), f"{role}-{number}", name, role, unit)


LI = person(1, "李明", Role.HANDLER, "health")
WANG = person(2, "王芳", Role.HANDLER, "health")
ZHANG = person(3, "张建国", Role.UNIT_HEAD, "health")
CHEN = person(4, "陈静", Role.HANDLER, "schools")
SUN = person(5, "孙审核", Role.REVIEWER)
ZHAO = person(6, "赵督办", Role.SUPERVISOR)
ZHOU = person(7, "周评议", Role.OFFICE)
ADMIN = person(8, "管理员", Role.ADMIN)

ACCOUNT = "经调取监控并询问当日值班人员，反映的脱岗情况属实，脱岗约四十分钟，期间没有安排替岗人员，窗口没有告示。"
REPLY = "您反映的窗口脱岗问题属实，我委已实行替岗制度，感谢监督。"
BASIS = "该窗口由省政务服务中心管理，不属于本单位职责范围，请另行分派。"


class World:
    """Casework on a real database, with virtual time."""

    def __init__(self, database: Database, clock: Any) -> None:
        self.database = database
        self.clock = clock
        self.context = CaseworkContext()
        self.scheme: Scheme = load_scheme("J", 2026)

    async def do(self, action: Callable[..., Awaitable[Any]], **fields: Any) -> Any:
        """Run one action or view in its own transaction."""
        async with self.database.transaction(self.context) as tx:
            return await action(tx, **fields)

    async def publish(self, scheme: Scheme | None = None, **changes: Any) -> None:
        scheme = scheme or self.scheme
        units = tuple(
            UnitEntry(
                unit_id=id,
                unit_no=n,
                name=name,
                category="gov",
            )
            for n, (id, name) in enumerate(UNITS.items(), 1)
        )
        fields = {
            "campaign_id": CAMPAIGN,
            "title": "2026 年评议",
            "year": 2026,
            "scheme": scheme.to_json(),
            "units": units,
        }
        event = CampaignPublished(
            occurred_at=await self.clock.now(), scheme_version=scheme.version, **(fields | changes)
        )
        await self.do(campaigns.store_campaign, event=event)

    async def complaint(self, **changes: Any) -> ComplaintRegistered:
        now = await self.clock.now()
        fields = {
            "complaint_id": uuid4(),
            "number": "TS2026-000001",
            "campaign_id": CAMPAIGN,
            "channel": ComplaintChannel.HOTLINE,
            "kind": ComplaintKind.COMPLAINT,
            "urgency": Urgency.NORMAL,
            "unit_id": "health",
            "problem_item": "08",
            "real_name": True,
            "received_at": now,
        }
        return ComplaintRegistered(occurred_at=now, **(fields | changes))

    async def finding(self, severity: Severity = Severity.ORDINARY) -> FindingRegistered:
        return FindingRegistered(
            occurred_at=await self.clock.now(),
            visit_id=uuid4(),
            campaign_id=CAMPAIGN,
            finding_id=uuid4(),
            number="XC2026-48120573-1",
            unit_id="roads",
            item_id=self.scheme.checklists[0].items[0].id,
            severity=severity,
        )

    async def released_finding(
        self, finding: FindingRegistered, text: str = "三号窗口无人在岗", *, release: int = 1
    ) -> FindingSummaryReleased:
        return FindingSummaryReleased(
            occurred_at=await self.clock.now(),
            visit_id=finding.visit_id,
            campaign_id=CAMPAIGN,
            finding_id=finding.finding_id,
            release=release,
            redacted_summary=text,
            received_on=date(2026, 11, 19),
        )

    async def open(
        self,
        *,
        redacted_summary: str | None = "工作时间窗口无人在岗",
        records_accused: bool = True,
        **changes: Any,
    ) -> str:
        """Open a case and return its number. With None, its summary awaits the release.

        Of a 举报 the named unit is recorded as the accused.
        """
        event = await self.complaint(**changes)
        released = {} if redacted_summary is None else {event.complaint_id: redacted_summary}
        await self.do(opening.open_for_complaints, events=[event], summaries=released)
        number = str(
            await self.value("select number from cases where source_id = $1", event.complaint_id)
        )
        if event.kind is ComplaintKind.REPORT and records_accused:
            await self.accuse(number, *([event.unit_id] if event.unit_id else []))
        return number

    async def accuse(
        self,
        number: str,
        *unit_ids: str,
        record: int = 1,
    ) -> None:
        """Let a record of whom the case accuses arrive."""
        event = ComplaintAccusedRecorded(
            occurred_at=await self.clock.now(),
            complaint_id=(await self.case(number)).source_id,
            campaign_id=CAMPAIGN,
            record=record,
            unit_ids=unit_ids,
        )
        await self.do(exclusions.record_accused, event=event)

    async def release(
        self,
        number: str,
        redacted_summary: str = "工作时间窗口无人在岗",
        *,
        release: int = 1,
    ) -> None:
        """Let a reviewer's release of the redacted summary arrive."""
        event = ComplaintSummaryReleased(
            occurred_at=await self.clock.now(),
            complaint_id=(await self.case(number)).source_id,
            campaign_id=CAMPAIGN,
            release=release,
            redacted_summary=redacted_summary,
        )
        await self.do(releases.apply_releases, texts=[releases.text_of_complaint(event)])

    async def sweep(self) -> None:
        """Run the sweeps until nothing is due."""
        while await self.do(sweeps.publish_lapses) or await self.do(sweeps.publish_warnings):
            pass

    async def value(self, sql: str, *arguments: Any) -> Any:
        async with self.database.transaction(self.context) as tx:
            return await tx.fetchval(sql, *arguments)

    async def rows(self, sql: str, *arguments: Any) -> list[Any]:
        async with self.database.transaction(self.context) as tx:
            return await tx.fetch(sql, *arguments)

    async def case(self, number: str) -> Case:
        async with self.database.transaction(self.context) as tx:
            found = await tx.scalar(select(Case).where(col(Case.number) == number))
            assert found is not None
            return found

    async def case_deadlines(self, number: str) -> dict[str, Any]:
        """The newest deadline of each kind of a case."""
        sql = "select d.* from deadlines d join cases c on c.id = d.case_id where c.number = $1 order by d.starts_at, d.id"
        rows = await self.rows(sql, number)
        return {row["kind"]: row for row in rows}

    async def events(self, *kinds: type[Event]) -> list[Event]:
        """The events of these kinds in the outbox, in order."""
        names = [kind.name for kind in kinds] or list(EVENTS)
        rows = await self.rows(
            "select type, body from outbox where type = any($1) order by id", names
        )
        return [decode(row["type"], row["body"]) for row in rows]


async def build_world(database: Database, clock: Any) -> World:
    """A world on a Friday morning, with its campaign published."""
    await clock.set(FRIDAY)
    world = World(database, clock)
    await world.publish()
    return world


@pytest.fixture
async def world(database: Callable[[str], Database], clock: Any) -> World:
    return await build_world(database("casework"), clock)
