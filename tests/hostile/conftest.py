"""The four services on one database, with a campaign, as an attacker with every role finds them."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from services.casework.actions import campaigns as casework_campaigns
from services.intake.store import accounts as intake_accounts
from services.intake.store import campaigns as intake_campaigns
from shared.appraisal.labels import Role
from shared.runtime.service import Service
from shared.security import passwords
from shared.security.policies import Account
from shared.security.rate_limits import RateLimit, RateLimiter
from shared.web.routing import PolicyRoute, list_routes
from tests.intake.conftest import published


class NoLimits(RateLimiter):
    """A limiter that lets every request through: the checks behind it are the subject."""

    async def hit(self, *limits: RateLimit) -> None:
        return None


def account_of(role: Role) -> Account:
    number = list(Role).index(role) + 1
    return Account(UUID(int=number), role.value, role.label, role, "tcm")


@dataclass
class Target:
    """One service, and a token of each role."""

    service: Service
    tokens: dict[Role, str] = field(default_factory=dict)
    clients: dict[Role | None, httpx2.AsyncClient] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.service.name

    def routes(self) -> list[tuple[str, PolicyRoute]]:
        """Return the routes with a policy and their full paths."""
        found = list_routes(self.service.app)
        return [(path, route) for path, route in found if isinstance(route, PolicyRoute)]

    def role_for(self, route: PolicyRoute) -> Role | None:
        """Return a role that the route admits, None for a public one."""
        assert route.policy is not None
        return next((role for role in Role if role in route.policy.roles), None)

    def client(self, role: Role | None = None) -> httpx2.AsyncClient:
        address = str(IPv4Address("10.0.0.1") + random.randrange(2**20))
        transport = httpx2.ASGITransport(
            app=self.service.app, raise_app_exceptions=False, client=(address, 40_000)
        )
        headers = {"authorization": f"Bearer {self.tokens[role]}"} if role else {}
        return httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers)

    async def send(
        self,
        route: PolicyRoute,
        path: str,
        **request: Any,
    ) -> httpx2.Response:
        """Send a request to a route as a role that it admits."""
        role = self.role_for(route)
        answer = await self._send(role, route, path, **request)
        if answer.status_code == 401 and role:
            # A request before this one signed out.
            await self.sign_in(role)
            answer = await self._send(role, route, path, **request)
        return answer

    async def _send(
        self,
        role: Role | None,
        route: PolicyRoute,
        path: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        **request: Any,
    ) -> httpx2.Response:
        sent = {"idempotency-key": str(uuid4()), **headers}
        method = next(iter(route.methods))
        if role not in self.clients:
            self.clients[role] = self.client(role)
        client = self.clients[role]
        client.cookies.clear()
        return await client.request(method, path, headers=sent, **request)

    async def sign_in(self, role: Role) -> None:
        self.tokens[role] = await self.service.sessions.create(account_of(role))
        self.clients.pop(role, None)


async def seed(target: Target) -> None:
    """Give the service the campaign `j-2026`, and intake the accounts that sign in."""
    database, context = target.service.database, target.service.context
    async with database.transaction(context) as tx:
        event = published(tx.now)
        if target.name == "intake":
            await intake_campaigns.save(tx, event, 1)
            for role in Role:
                await intake_accounts.add(tx, account_of(role), FastHasher.HASH)
                tx.audit("account.created", account_of(role).id, "system")
        if target.name == "casework":
            await casework_campaigns.store_campaign(tx, event)


class FastHasher:
    """No password is right, and hashing costs nothing: other tests measure it."""

    HASH = "$argon2id$test"

    def hash(self, password: str) -> str:
        return self.HASH

    def verify(self, password: str, stored: str) -> bool:
        return False


@pytest.fixture
async def target(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], Any]]:
    """`await target("intake")` starts a service without its jobs."""
    monkeypatch.setattr(passwords, "_HASHER", FastHasher())
    # The real one is cached: it must not keep a test hash for the tests after this.
    monkeypatch.setattr(passwords, "_dummy_hash", lambda: FastHasher.HASH)
    opened: list[Target] = []

    async def start(name: str) -> Target:
        service: Service = import_module(f"services.{name}.app").build(settings)
        service.app.state.limiter = NoLimits(service.redis, secret=b"hostile")
        started = Target(service)
        opened.append(started)
        for role in Role:
            await started.sign_in(role)
        await seed(started)
        return started

    yield start
    for each in opened:
        await each.service.redis.aclose()
        await each.service.database.close()
