"""A small office: a campaign with four units, an account of every role, and a client for each."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from services.cli.demo_accounts import seed_accounts
from services.intake.actions.approval_kinds import APPROVAL_KINDS
from services.intake.actions.caller_history import look_up_caller
from services.intake.app import build
from services.intake.settings import IntakeContext
from services.intake.store import campaigns
from services.intake.store.complaint_lists import EarlierComplaint
from shared.appraisal.events import CampaignPublished, UnitEntry
from shared.appraisal.labels import Role
from shared.appraisal.schemes import load_scheme
from shared.runtime.service import Service
from shared.security.approvals import approve
from shared.security.policies import Account
from shared.storage.connections import Database
from tests.organisations import body, know

CAMPAIGN = "j-2026"
PASSWORD = "长亭外古道边芳草碧连天"
UNITS = (
    UnitEntry(unit_id="tax", unit_no=1, name="省税务局", category="central", aliases=("国税局",)),
    UnitEntry(unit_id="tcm", unit_no=2, name="省中医药管理局", category="government"),
    UnitEntry(unit_id="edu", unit_no=3, name="省教育厅", category="government"),
    UnitEntry(unit_id="grid", unit_no=4, name="省电力公司", category="enterprises"),
)
WORDS = "上午到三号窗口办理变更登记，工作人员一直在玩手机，问了三次都说等一会儿，最后让我明天再来。"


def published(now: Any, units: tuple[UnitEntry, ...] = UNITS) -> CampaignPublished:
    scheme = load_scheme("J", 2026)
    return CampaignPublished(
        occurred_at=now,
        campaign_id=CAMPAIGN,
        title="2026 年省直机关作风评议",
        year=2026,
        scheme=scheme.to_json(),
        scheme_version=scheme.version,
        units=units,
    )


@dataclass
class Office:
    """The service without Kafka: its events stay in the outbox."""

    service: Service
    people: dict[str, Account]

    @property
    def database(self) -> Database:
        return self.service.database

    @property
    def context(self) -> IntakeContext:
        return self.service.context  # type: ignore[no-any-return]

    def transaction(self) -> Any:
        return self.database.transaction(self.context)

    async def events(self, name: str = "%") -> list[tuple[str, dict[str, Any]]]:
        """Return (wire name, body) of the events in the outbox."""
        import json

        async with self.transaction() as tx:
            rows = await tx.fetch(
                "select type, body from outbox where type like $1 order by id", name
            )
        return [(row["type"], json.loads(row["body"])) for row in rows]

    def person(self, role: Role) -> Account:
        return next(account for account in self.people.values() if account.role is role)

    def client(self, **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.service.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(
            transport=transport, base_url="http://intake.test", headers=headers
        )

    async def signed_in(self, role: Role) -> httpx2.AsyncClient:
        token = await self.service.sessions.create(self.person(role))
        return self.client(authorization=f"Bearer {token}")

    async def approve(self, approval_id: UUID, by: Role) -> None:
        """Let the account of this role approve what somebody requested."""
        async with self.transaction() as tx:
            await approve(tx, APPROVAL_KINDS, approval_id, by=self.person(by))

    async def release(self, number: str, text: str = WORDS) -> None:
        """Let the reviewer release a text as the redacted summary of a complaint."""
        from services.intake.actions.summaries import release_summary
        from services.intake.domain.summaries import SummaryEdit
        from services.intake.views.releases import release_panel

        reviewer = self.person(Role.REVIEWER)
        async with self.transaction() as tx:
            panel = await release_panel(tx, number, reviewer)
            assert panel is not None
            edit = SummaryEdit(text=text, seen=panel.seen)
            await release_summary(tx, number=number, edit=edit, by=reviewer)


@pytest.fixture
async def office(settings: Any) -> AsyncIterator[Office]:
    service = build(settings)
    async with service.database.transaction(service.context) as tx:
        await campaigns.save(tx, published(tx.now), 1)
        await know(tx, body("tcm", "省中医药管理局"))
        _, people = await seed_accounts(tx, password=PASSWORD, units=[("tcm", "省中医药管理局")])
    yield Office(service, {account.name: account for account in people})
    await service.redis.aclose()
    await service.database.close()


async def new_codes(office: Office, **batch: Any) -> list[str]:
    """Return the codes of a batch that the office requested and the reviewer opened."""
    wanted = {"campaign_id": CAMPAIGN, "count": 10} | batch
    async with await office.signed_in(Role.OFFICE) as requester:
        requested = await requester.post("/intake/api/token-batches", json=wanted)
    assert requested.status_code == 201, requested.text
    async with await office.signed_in(Role.REVIEWER) as opener:
        url = f"/intake/api/token-batches/{requested.json()['id']}/codes"
        opened = await opener.post(url)
    assert opened.status_code == 201, opened.text
    return opened.json()["codes"]  # type: ignore[no-any-return]


async def look_up(office: Office, phone: str) -> list[EarlierComplaint]:
    """Return what an operator who writes a new ticket sees of a telephone number."""
    operator = office.person(Role.OPERATOR)
    async with office.transaction() as tx:
        found = await look_up_caller(
            tx, office.service.app.state.limiter, ticket_id=uuid4(), phone=phone, account=operator
        )
    return list(found)


@pytest.fixture
def key() -> Callable[[], dict[str, str]]:
    """Return the headers of a new write."""
    return lambda: {"idempotency-key": str(uuid4())}


def complaint(**changes: Any) -> dict[str, Any]:
    """Return a complaint as the hotline desk sends it."""
    given = {
        "campaign_id": CAMPAIGN,
        "channel": "hotline",
        "kind": "complaint",
        "urgency": "normal",
        "unit_id": "tcm",
        "problem_item": "08",
        "complaint_text": WORDS,
        "identity": "confidential",
        "name": "欧阳晓春",
        "phone": "13812345678",
        "address": "长春市人民大街 1 号 2 单元",
    }
    return given | changes


@pytest.fixture
def noon() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 11, 20, 4, tzinfo=UTC)
