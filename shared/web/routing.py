"""Doors: routers whose every route says who may use it, and what a route may ask for (`Tx`, `CurrentUser`,
`OptionalUser`).

Context: a route that somebody forgot to protect is found by the wrong person first.
Decision: a route names its policy, or the program does not start. The check runs before the body is
read, so that nobody sends ten megabytes to a door that is closed to them. The same place refuses
forms that another site sent (CSRF) and bodies beyond the limit.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.params import Body
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from shared.security.policies import Account, Policy
from shared.security.rate_limits import RateLimit, RateLimiter
from shared.security.sessions import Credential, csrf_token_matches, find_account, read_credential
from shared.security.sign_in import normalize_network
from shared.storage.transaction import Transaction
from shared.web.errors import BodyTooLarge, CsrfFailed, Forbidden, NotAuthenticated, TooManyRequests

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_MAX_BYTES: Final = 1024 * 1024
"""Of a form or a JSON document. A door for files names its own limit (`body_max=`)."""
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "x-csrf-token"
BACKGROUND_HEADER: Final = "x-background"
"""Set by requests that a page makes by itself (polling): they do not keep an abandoned session
alive.
"""


RateLimits = Callable[[Request], Sequence[RateLimit]]


class MissingPolicy(RuntimeError):
    """A route does not say who may use it. A mistake of ours: the program must not start."""


class PolicyRoute(APIRoute):
    """A route that lets in only whom its policy admits."""

    policy: Policy | None = None
    body_max: int = BODY_MAX_BYTES
    rate_limits: RateLimits | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._fastapi_app, self._json_endpoint = (
            self.app,
            _JsonEndpoint.from_dependant(self.dependant),
        )
        if self._json_endpoint:
            self.app = self._serve_json

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request = limit_body(request.scope, request.receive, self.body_max)
            await _authorize(request, self)
            if not self.body_field and is_form(request):
                await request.form()  # Before the endpoint's transaction is opened: who sends slowly holds no connection.
            return await handler(request)

        return guarded

    @property
    def has_json_fast_path(self) -> bool:
        """Is the endpoint given its document straight?"""
        return self._json_endpoint is not None

    async def _serve_json(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one who sends a document. Whatever is wrong with it FastAPI finds out, and says."""
        request = limit_body(scope, receive, self.body_max)
        if request.headers.get("content-type") != "application/json":
            return await self._fastapi_app(scope, receive, send)
        await _authorize(request, self)
        assert self._json_endpoint is not None
        try:
            arguments = await self._json_endpoint.read(request)
        except ClientDisconnect:
            return  # nobody is left to be answered
        if arguments is None:
            return await self._fastapi_app(scope, _replay_body(await request.body()), send)
        response: Response = await self.endpoint(**arguments)
        await response(scope, receive, send)


@dataclass(frozen=True, slots=True)
class _JsonEndpoint:
    """What an endpoint asks for that takes one JSON document, who sent it, and nothing else.

    FastAPI looks anew for every request which arguments an endpoint has and where they may come
    from, a tenth of what such a request costs. Here that is known beforehand. Whatever cannot be
    read in this way FastAPI reads, and says what is wrong.
    """

    validate: Callable[[bytes], Any]
    name: str
    request: str | None
    account_parameters: dict[str, Callable[[Request], Awaitable[Account | None]]]

    @classmethod
    def from_dependant(cls, endpoint: Dependant) -> "_JsonEndpoint | None":
        """None when the endpoint asks for anything else: then FastAPI alone knows how to find it."""
        account_parameters = {
            each.name: each.call
            for each in endpoint.dependencies
            if each.name and each.call in (_current_user, _optional_user)
        }
        bodies = [field for field in endpoint.body_params if type(field.field_info) is Body]
        allowed = {
            name: getattr(endpoint, name)
            for name in ("call", "path", "scope", "request_param_name")
        }
        account_dependencies = [
            each for each in endpoint.dependencies if each.name in account_parameters
        ]
        if len(bodies) != 1 or endpoint != Dependant(
            **allowed, body_params=bodies, dependencies=account_dependencies
        ):
            return None
        [body] = bodies
        model = body.field_info.annotation
        if not (
            isinstance(model, type)
            and issubclass(model, BaseModel)
            and iscoroutinefunction(endpoint.call)
        ):
            return None
        return cls(
            model.__pydantic_validator__.validate_json,
            body.name,
            endpoint.request_param_name,
            account_parameters,
        )

    async def read(self, request: Request) -> dict[str, Any] | None:
        """The endpoint's arguments, or None when the document is not one that its model takes."""
        try:
            arguments = {self.name: self.validate(await request.body())}
        except ValidationError:
            return None
        for name, load_account in self.account_parameters.items():
            arguments[name] = await load_account(request)
        return arguments | {self.request: request} if self.request else arguments


class Router(APIRouter):
    """A router whose every route requires `policy=`: `allow(Role.HANDLER, …)`, `SIGNED_IN` or
    `PUBLIC`.

    `body_max`: bytes of a request's body, 1 MiB unless the route says otherwise. `rate_limits`: the
    limits that a request counts against before its body is read. Raises MissingPolicy on a route
    without policy.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=PolicyRoute, **options)

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        policy: Policy | None = None,
        body_max: int = BODY_MAX_BYTES,
        rate_limits: RateLimits | None = None,
        **options: Any,
    ) -> None:
        if policy is None:
            raise MissingPolicy(f"{self.prefix}{path} does not say who may use it: give it policy=")
        super().add_api_route(path, endpoint, **options)
        route = self.routes[-1]
        assert isinstance(route, PolicyRoute), "a Router creates PolicyRoutes only"
        route.policy, route.body_max, route.rate_limits = policy, body_max, rate_limits

    def api_route(  # type: ignore[override]
        self, path: str, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(endpoint: Callable[..., Any]) -> Callable[..., Any]:
            # Pages answer with a Response and need no model made from their annotation.
            options.setdefault("response_model", None)
            self.add_api_route(path, endpoint, **options)
            return endpoint

        return register

    def get(self, path: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # type: ignore[override]
        return self.api_route(path, methods=["GET"], **options)

    def post(self, path: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # type: ignore[override]
        return self.api_route(path, methods=["POST"], **options)

    def put(self, path: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # type: ignore[override]
        return self.api_route(path, methods=["PUT"], **options)

    def delete(  # type: ignore[override]
        self, path: str, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        return self.api_route(path, methods=["DELETE"], **options)


def check_policies(app: FastAPI, *, open_paths: frozenset[str] = frozenset()) -> None:
    """Raise MissingPolicy when a route of `app` has no policy. `open_paths`: health and metrics of the
    service core.
    """
    for path, route in list_routes(app):
        if (
            path not in open_paths
            and isinstance(route, APIRoute)
            and getattr(route, "policy", None) is None
        ):
            raise MissingPolicy(
                f"{path} does not say who may use it: register it on a Router with policy="
            )


def list_routes(app: FastAPI) -> list[tuple[str, BaseRoute]]:
    """Every route of an application with its full path, included routers unfolded."""
    return [
        (context.path or "", context.original_route) for context in iter_route_contexts(app.routes)
    ]


async def _authorize(request: Request, route: PolicyRoute) -> None:
    """Let the request in, or raise NotAuthenticated, Forbidden, CsrfFailed or TooManyRequests; nothing of a
    stranger's body is read.
    """
    policy = route.policy
    if policy is None:
        raise MissingPolicy(f"{request.url.path} has no policy")
    touch = BACKGROUND_HEADER not in request.headers
    sessions = request.app.state.sessions
    credential = read_credential(request, sessions.cookie)
    account = request.state.account = await find_account(sessions, credential, touch=touch)
    if not policy.allows(account):
        raise NotAuthenticated if account is None else Forbidden(policy)
    if request.method not in SAFE_METHODS:
        await check_csrf(request, credential)
    if route.rate_limits:
        await enforce_rate_limit(request, *route.rate_limits(request))


async def check_csrf(request: Request, credential: Credential | None) -> None:
    """Refuse a write that another site made this person's browser send. Raises CsrfFailed.

    A bearer token cannot be sent by another site; anything else must come from our own pages, and
    with a cookie session it must also carry the session's token, as header or as hidden field.
    """
    if credential and not credential.from_cookie:
        return
    if not _is_same_origin(request):
        raise CsrfFailed
    if (
        credential
        and request.state.account
        and not csrf_token_matches(credential.token, await _submitted_csrf_token(request))
    ):
        raise CsrfFailed


def _is_same_origin(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    # Neither header: a program, or an old in-app browser. SameSite and the form's token are what
    # remains.
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _submitted_csrf_token(request: Request) -> str:
    header = request.headers.get(CSRF_HEADER)
    if header is not None or not is_form(request):
        return header or ""
    token = (await request.form()).get(CSRF_FIELD)
    return token if isinstance(token, str) else ""


def is_form(request: Request) -> bool:
    """Did a form send this body, rather than a program?"""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("application/x-www-form-urlencoded", "multipart/form-data")


def limit_body(scope: Scope, receive: Receive, body_max: int) -> Request:
    """A request whose body stops with BodyTooLarge beyond `body_max` bytes, announced or not."""
    request = Request(scope, _count_bytes(receive, body_max))
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > body_max:
        raise BodyTooLarge(body_max)
    return request


def _replay_body(body: bytes) -> Receive:
    """A body that was read already, for who comes next."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _count_bytes(receive: Receive, body_max: int) -> Receive:
    total = 0

    async def count_bytes() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > body_max:
            raise BodyTooLarge(body_max)
        return message

    return count_bytes


def client_network(request: Request) -> str:
    """Where a request comes from, as the server in front of us tells it: an address, or its
    network. Only ever hashed into a rate limit.
    """
    return normalize_network(request.client.host) if request.client else "unknown"


async def enforce_rate_limit(request: Request, *limits: RateLimit) -> None:
    """Count one use against every limit, or raise TooManyRequests."""
    limiter: RateLimiter = request.app.state.limiter
    if wait := await limiter.hit(*limits):
        raise TooManyRequests(wait)


async def _transaction(request: Request) -> AsyncIterator[Transaction]:
    state = request.app.state
    async with state.database.transaction(state.context) as tx:
        yield tx


async def _current_user(request: Request) -> Account:  # FastAPI sends what is not async to a thread
    account: Account | None = request.state.account
    if account is None:
        raise NotAuthenticated
    return account


async def _optional_user(request: Request) -> Account | None:
    account: Account | None = request.state.account
    return account


Tx = Annotated[Transaction, Depends(_transaction, scope="function")]
"""Transaction of one request; committed before the response is sent."""
CurrentUser = Annotated[Account, Depends(_current_user)]
"""The person signed in."""
OptionalUser = Annotated[Account | None, Depends(_optional_user)]
"""The person signed in, or None on a public page."""
