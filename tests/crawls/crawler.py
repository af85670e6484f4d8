"""Sends a request to any route as anybody, and compares what two answers say."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2

from shared.runtime.service import Service
from shared.security.policies import Account
from shared.storage.schema import SERVICES
from shared.web.routing import PolicyRoute, list_routes
from tests.crawls.canaries import RELEASED_SUMMARY
from tests.crawls.things import PHOTO, SOURCES, Source, Thing
from tests.crawls.world import OTHER, World
from tests.hostile.conftest import NoLimits
from tests.hostile.examples import body_example, body_model, form_example, path_parameters

ANONYMOUS = "anonymous"
VOLATILE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"(nonce|csrf|key)([^A-Za-z0-9]{1,12}(?:value|content)?=?\"?)[\w.\-]{16,}"), r"\1"),
    (re.compile(r"[A-Za-z0-9_\-]{32,}"), "TOKEN"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "TRACE"),
    (re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"), "TIME"),
)
"""What differs between two answers to the same request."""
QUERY_VALUES = {"category": OTHER.category, "redacted_summary": RELEASED_SUMMARY}
"""Values of required query parameters that name no thing."""
TRIED = 5
"""Things of one kind that a crawl tries."""
READ_TABLES = ("audit", "audit_", "idempotency", "logins", "form_drafts")
"""Tables that a request may write without changing anything: who read what, answers to repeat."""


@dataclass(frozen=True)
class Route:
    """A route of one service."""

    service: str
    path: str
    route: PolicyRoute

    @property
    def method(self) -> str:
        return next(iter(sorted(self.route.methods)))

    @property
    def reads(self) -> bool:
        return self.method == "GET"

    @property
    def parameters(self) -> list[str]:
        return path_parameters(self.path)

    @property
    def required_query(self) -> list[str]:
        """Return the query parameters without which the route does not answer."""
        fields = self.route.dependant.query_params
        return [field.alias for field in fields if field.field_info.is_required()]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def allows(self, account: Account | None) -> bool:
        assert self.route.policy is not None
        return self.route.policy.allows(account)


class UnderivableExpectation(AssertionError):
    """The world has no value for a parameter of a route: `things.SOURCES` lacks it."""


def source(service: str, name: str) -> Source:
    found = SOURCES[service].get(name)
    if found is None:
        raise UnderivableExpectation(f"{service}: what is {{{name}}}, and to whom does it belong?")
    return found


def fill(path: str, values: Mapping[str, str]) -> str:
    """Return the path with a value for each parameter."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: values[match[1]], path)


@dataclass
class Crawler:
    """All routes, all people and all things of a world."""

    world: World
    routes: list[Route]
    things: dict[tuple[str, str], list[Thing]]
    clients: dict[tuple[str, str], httpx2.AsyncClient] = field(default_factory=dict)

    @property
    def viewers(self) -> dict[str, Account | None]:
        return {ANONYMOUS: None, **self.world.people}

    def client(self, service: str, viewer: str) -> httpx2.AsyncClient:
        if (service, viewer) not in self.clients:
            app = self.world.system.services[service].app
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            made = httpx2.AsyncClient(transport=transport, base_url="http://crawl.test")
            self.clients[service, viewer] = made
        return self.clients[service, viewer]

    async def send(
        self, route: Route, viewer: str, values: Mapping[str, str], **request: Any
    ) -> httpx2.Response:
        """Send a request as this person; one whose session a request ended signs in again."""
        client = self.client(route.service, viewer)
        client.cookies.clear()
        query = {name: self._query_value(route, name) for name in route.required_query}
        request = {"params": query} | request
        headers = {"idempotency-key": str(uuid4()), **request.pop("headers", {})}
        account = self.viewers[viewer]
        for _ in range(2):
            if account:
                headers["authorization"] = f"Bearer {await self._token(account)}"
            answer = await client.request(
                route.method, fill(route.path, values), headers=headers, **request
            )
            if answer.status_code != 401 or account is None:
                break
            self.world.tokens.pop(account.name)
        return answer

    async def _token(self, account: Account) -> str:
        if account.name not in self.world.tokens:
            sessions = self.world.system.services["intake"].sessions
            self.world.tokens[account.name] = await sessions.create(account)
        return self.world.tokens[account.name]

    def _query_value(self, route: Route, name: str) -> str:
        known = self.things.get((route.service, name))
        return known[0].value if known else QUERY_VALUES[name]

    def any_values(self, route: Route) -> dict[str, str]:
        """Return one value for each parameter of a route."""
        return {name: self.things[route.service, name][0].value for name in route.parameters}

    def forbidden(self, route: Route, account: Account | None) -> Iterator[tuple[str, Thing]]:
        """Yield a parameter and a thing that this account may not find, one of each kind."""
        for name in route.parameters:
            seen = set()
            for thing in self.things[route.service, name]:
                if not thing.may_be_found_by(account) and thing.whose not in seen:
                    seen.add(thing.whose)
                    yield name, thing

    def permitted(self, route: Route, account: Account | None) -> Iterator[dict[str, str]]:
        """Yield values of the parameters that this account may find, a few of each."""
        found = {name: self._permitted_things(route, name, account) for name in route.parameters}
        if not all(found.values()):
            return
        first = {name: things[0].value for name, things in found.items()}
        yield first
        for name, things in found.items():
            for thing in things[:TRIED]:
                yield first | {name: thing.value} | dict(thing.along)

    def _permitted_things(self, route: Route, name: str, account: Account | None) -> list[Thing]:
        things = self.things[route.service, name]
        return [thing for thing in things if thing.may_be_found_by(account)]


@dataclass(frozen=True)
class Reading:
    """What one person read at one address."""

    route: Route
    viewer: str
    account: Account | None
    values: Mapping[str, str]
    answer: httpx2.Response

    def __str__(self) -> str:
        return f"{self.answer.status_code} {fill(self.route.path, self.values)} as {self.viewer}"


async def read_everything(crawler: Crawler) -> list[Reading]:
    """Read every page, list, file and API that answers a GET, as everybody who may."""
    found = []
    for route in crawler.routes:
        for viewer, account in crawler.viewers.items():
            if not route.reads or not route.allows(account):
                continue
            for values in crawler.permitted(route, account):
                answer = await crawler.send(route, viewer, values)
                found.append(Reading(route, viewer, account, values, answer))
    return found


def routes_of(services: Mapping[str, Service]) -> Iterator[Route]:
    """Yield every route with a policy of every service."""
    for name, service in services.items():
        for path, route in list_routes(service.app):
            if isinstance(route, PolicyRoute):
                yield Route(name, path, route)


async def make_crawler(world: World, connection: asyncpg.Connection) -> Crawler:
    """Return a crawler that knows what is in the world now."""
    routes = list(routes_of(world.system.services))
    things = {}
    for route in routes:
        for name in route.parameters:
            if (route.service, name) not in things:
                found = await source(route.service, name).things(connection)
                things[route.service, name] = found
    things["intake", "code"] = [Thing(code) for code in world.codes[:1]]
    for service in world.system.services.values():
        service.app.state.limiter = NoLimits(service.redis, secret=b"crawl")
    return Crawler(world, routes, things)


def comparable(answer: httpx2.Response, *hidden: str) -> tuple[int, str]:
    """Return what an answer says, without what differs from one request to the next.

    `hidden` are the values that were asked for.
    """
    text = answer.text
    for value in hidden:
        text = text.replace(value, "ID")
    for pattern, sign in VOLATILE:
        text = pattern.sub(sign, text)
    return answer.status_code, text


def plausible_body(route: Route, **changes: Any) -> dict[str, Any]:
    """Return the arguments of a request that carry a plausible body, with these fields changed."""
    if route.reads:
        return {}
    model = body_model(route.route)
    if model:
        return {"json": body_example(model) | changes}
    if route.route.openapi_extra:
        return {"content": PHOTO}
    if route.route.body_field:
        return {}
    return {"data": form_example(route.route) | changes}


async def snapshot(connection: asyncpg.Connection) -> dict[str, str]:
    """Return a digest of every table that holds more than who read what."""
    tables = await connection.fetch(
        "select schemaname as s, tablename as t from pg_tables where schemaname = any($1)",
        list(SERVICES),
    )
    names = [f'"{row["s"]}"."{row["t"]}"' for row in tables if not row["t"].startswith(READ_TABLES)]
    digests = [
        f"select '{name}' as name, md5(string_agg(md5(x::text), '' order by md5(x::text))) as digest "
        f"from {name} x"
        for name in names
    ]
    rows = await connection.fetch(" union all ".join(digests))
    return {row["name"]: row["digest"] for row in rows}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the tables that differ."""
    return sorted(name for name in before if before[name] != after[name])
