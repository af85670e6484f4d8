"""People, facts and listeners for the stories of notify."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from services.notify import actions
from services.notify.app import context_of
from services.notify.settings import NotifySettings
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.events import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseOpened,
    CaseReturned,
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
"""10:00 in China, a workday."""
LIU = Account(UUID(int=1), "liu", "刘敏", Role.HANDLER, "tax")
QIAN = Account(UUID(int=2), "qian", "钱伟", Role.HANDLER, "health")
SUN = Account(UUID(int=3), "sun", "孙丽", Role.UNIT_HEAD, "tax")
ZHOU = Account(UUID(int=4), "zhou", "周强", Role.SUPERVISOR)
WU = Account(UUID(int=5), "wu", "吴静", Role.OFFICE)
ZHENG = Account(UUID(int=6), "zheng", "郑洁", Role.ADMIN)
WANG = Account(UUID(int=7), "wang", "王芳", Role.REVIEWER)


class Case:
    """A case that says its facts, one version after the other."""

    def __init__(
        self,
        number: str = "ZF2026-004507",
        unit: str = "tax",
        kind: ComplaintKind = ComplaintKind.COMPLAINT,
        urgency: Urgency = Urgency.NORMAL,
    ):
        self.id, self.number, self.unit, self.kind, self.urgency, self.version = (
            uuid4(),
            number,
            unit,
            kind,
            urgency,
            0,
        )

    def says(self, cls: type[Event], **facts) -> tuple[Event, Meta]:
        self.version += 1
        told = {
            "occurred_at": WEDNESDAY,
            "case_id": self.id,
            "number": self.number,
            "campaign_id": "j-2026",
            "unit_id": self.unit,
            **facts,
        }
        event = cls(**told)
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
        facts = {
            "kind": self.kind,
            "urgency": self.urgency,
            "problem_item": None,
            "deadlines": (due,),
        }
        return self.says(CaseOpened, unit_id=None, source="complaint", source_id=uuid4(), **facts)

    def assigned(self):
        due = DeadlineSet(kind="accept", due_at=WEDNESDAY + timedelta(hours=7.5), warn_at=WEDNESDAY)
        return self.says(CaseAssigned, deadlines=(due,))

    def accepted(self):
        return self.says(CaseAccepted, late=False, deadlines=())

    def returned(self):
        return self.says(
            CaseReturned, unit_id=None, from_unit_id=self.unit, reason="not_ours", returns=1
        )

    def warned(self, deadline="handle", due_at=WEDNESDAY + timedelta(hours=7.5)):
        return self.says(DeadlineWarned, deadline=deadline, due_at=due_at)

    def lapsed(self, deadline="handle", due_at=WEDNESDAY):
        return self.says(DeadlineLapsed, deadline=deadline, due_at=due_at)

    def closed(self):
        return self.says(
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
    """No mail server, no waiting between attempts."""
    return NotifySettings(pauses_seconds=(0.0, 0.0), rest_seconds=0, timeout_seconds=5)


@pytest.fixture
async def notify(
    settings, database: Callable[[str], Database], clock, own
) -> AsyncIterator[SimpleNamespace]:
    """The service's schema on a Wednesday at ten, with two units known.

    `await notify.tell(fact, …)`, `.inbox(person)`, `.ask(sql)`, `.send()`: what may leave now
    leaves.
    """
    await clock.set(WEDNESDAY, rate=0)
    schema, context = database("notify"), context_of(settings, own)

    async def tell(*facts: tuple[Event, Meta]) -> None:
        async with schema.transaction(context) as tx:
            await actions.tell(tx, list(facts))

    async def inbox(who: Account):
        from services.notify import store

        async with schema.transaction(context) as tx:
            return await store.notifications(tx, who, number=None, after=None, limit=1000)

    async def ask(sql: str, *arguments):
        async with schema.transaction(context) as tx:
            return await tx.fetch(sql, *arguments)

    async def send() -> None:
        while await actions.send_pending(schema, context):
            pass

    await ask("insert into units values ('tax', '市税务局'), ('health', '市卫生健康委员会')")
    yield SimpleNamespace(
        database=schema,
        context=context,
        tell=tell,
        inbox=inbox,
        ask=ask,
        send=send,
        clock=clock,
        calendar=china(),
    )
    failpoint.armed.clear()
