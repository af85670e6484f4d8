"""Accounts, events and the fixture `notify`."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.notify.actions import delivery, publishing, subscriptions
from services.notify.app import build_context
from services.notify.domain.audience import Audience
from services.notify.settings import NotifyContext, NotifySettings
from services.notify.store import inbox
from services.notify.store.inbox import InboxItem
from shared.appraisal.events import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseMerged,
    CaseOpened,
    CasePaused,
    CaseReturned,
    CaseUnmerged,
    CaseWithdrawn,
    DeadlineLapsed,
    DeadlineSet,
    DeadlineWarned,
    Event,
    Meta,
)
from shared.appraisal.labels import ComplaintKind, Role, Urgency
from shared.foundation.failpoints import failpoint
from shared.security.policies import Account
from shared.storage.connections import Database

WEDNESDAY = datetime(2026, 11, 25, 2, tzinfo=UTC)
"""10:00 in China, a working day."""
LIU = Account(UUID(int=1), "liu", "刘敏", Role.HANDLER, "tax")
QIAN = Account(UUID(int=2), "qian", "钱伟", Role.HANDLER, "health")
SUN = Account(UUID(int=3), "sun", "孙丽", Role.UNIT_HEAD, "tax")
ZHOU = Account(UUID(int=4), "zhou", "周强", Role.SUPERVISOR)
WU = Account(UUID(int=5), "wu", "吴静", Role.OFFICE)
ZHENG = Account(UUID(int=6), "zheng", "郑洁", Role.ADMIN)
WANG = Account(UUID(int=7), "wang", "王芳", Role.REVIEWER)

ConsumedEvent = tuple[Event, Meta]


class CaseEvents:
    """Builds the events of one case, each with the next version."""

    def __init__(
        self,
        number: str = "ZF2026-004507",
        unit: str | None = "tax",
        kind: ComplaintKind = ComplaintKind.COMPLAINT,
        urgency: Urgency = Urgency.NORMAL,
    ):
        self.id = uuid4()
        self.number = number
        self.unit = unit
        self.kind = kind
        self.urgency = urgency
        self.version = 0

    def event(self, cls: type[Event], **fields) -> ConsumedEvent:
        self.version += 1
        common = {
            "occurred_at": WEDNESDAY,
            "case_id": self.id,
            "number": self.number,
            "campaign_id": "j-2026",
            "unit_id": self.unit,
        }
        event = cls(**common | fields)
        meta = Meta(
            uuid4(),
            cls.name,
            event.key,
            self.version,
            event.occurred_at,
            cls.topic,
            0,
            self.version,
        )
        return event, meta

    def opened(self):
        due = DeadlineSet(kind="assign", due_at=WEDNESDAY + timedelta(hours=4), warn_at=WEDNESDAY)
        return self.event(
            CaseOpened,
            unit_id=None,
            source="complaint",
            source_id=uuid4(),
            kind=self.kind,
            urgency=self.urgency,
            problem_item=None,
            deadlines=(due,),
        )

    def assigned(self):
        due = DeadlineSet(kind="accept", due_at=WEDNESDAY + timedelta(hours=7.5), warn_at=WEDNESDAY)
        return self.event(CaseAssigned, deadlines=(due,))

    def accepted(self):
        return self.event(CaseAccepted, late=False, deadlines=())

    def returned(self):
        return self.event(
            CaseReturned, unit_id=None, from_unit_id=self.unit, reason="not_ours", returns=1
        )

    def withdrawn(self):
        due = DeadlineSet(kind="assign", due_at=WEDNESDAY + timedelta(hours=4), warn_at=WEDNESDAY)
        return self.event(CaseWithdrawn, unit_id=None, from_unit_id=self.unit, deadlines=(due,))

    def merged(self):
        return self.event(CaseMerged)

    def unmerged(self):
        return self.event(CaseUnmerged, deadlines=())

    def warned(self, deadline="handle", due_at=WEDNESDAY + timedelta(hours=7.5)):
        return self.event(DeadlineWarned, deadline=deadline, due_at=due_at)

    def lapsed(self, deadline="handle", due_at=WEDNESDAY):
        return self.event(DeadlineLapsed, deadline=deadline, due_at=due_at)

    def paused(self, until=WEDNESDAY + timedelta(days=14)):
        return self.event(CasePaused, reason="supplement", until=until)

    def closed(self):
        return self.event(
            CaseClosed,
            source="complaint",
            source_id=uuid4(),
            late=True,
            finding="substantiated",
            working_days=5,
            reply="已整改",
        )


@pytest.fixture
def own() -> NotifySettings:
    """No mail server, no delay between attempts."""
    return NotifySettings(
        retry_delays_seconds=(0.0, 0.0), failure_cooldown_seconds=0, timeout_seconds=5
    )


@dataclass
class NotifyFixture:
    """The migrated schema of notify, with two units, on a Wednesday at ten."""

    database: Database
    context: NotifyContext
    clock: Any

    def transaction(self):
        return self.database.transaction(self.context)

    async def consume(self, *events: ConsumedEvent) -> None:
        async with self.transaction() as tx:
            await publishing.notify_of_events(tx, list(events))

    async def inbox(self, user: Account) -> list[InboxItem]:
        """The user's notifications, oldest first."""
        async with self.transaction() as tx:
            return await inbox.list_by_age(tx, user, number=None, after=None, limit=1000)

    async def texts(self, user: Account) -> list[str]:
        return [item.text for item in await self.inbox(user)]

    async def fetch(self, sql: str, *arguments):
        async with self.transaction() as tx:
            return await tx.fetch(sql, *arguments)

    async def subscribe(
        self, address, *, role=Audience.SUPERVISOR, unit_id=None, kinds=(), id_=None
    ) -> UUID:
        async with self.transaction() as tx:
            row = await subscriptions.subscribe(
                tx,
                subscription_id=id_ or uuid4(),
                role=role,
                unit_id=unit_id,
                kinds=kinds,
                address=address,
                by=ZHENG,
            )
        return row.id

    async def send(self) -> None:
        """Send every delivery that is due."""
        while await delivery.send_pending(self.database, self.context):
            pass


@pytest.fixture
async def notify(
    settings, database: Callable[[str], Database], clock, own
) -> AsyncIterator[NotifyFixture]:
    await clock.set(WEDNESDAY, rate=0)
    fixture = NotifyFixture(database("notify"), build_context(settings, own), clock)
    await fixture.fetch(
        "insert into units (id, name, state) values "
        "('tax', '市税务局', 'active'), ('health', '市卫生健康委员会', 'active')"
    )
    yield fixture
    failpoint.armed.clear()
