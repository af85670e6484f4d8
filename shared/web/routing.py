"""Routers whose every route declares a policy.

A route without a policy stops the program at startup. The policy, the CSRF check, the rate limits
and the size limit apply before the body is read, so a client without permission uploads nothing.
What no field accepts never reaches an endpoint (`input_checks`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI, params
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive

from shared.security.policies import Policy
from shared.security.rate_limits import RateLimit
from shared.security.sessions import find_account, read_credential
from shared.web.app_state import app_state
from shared.web.csrf import SAFE_METHODS, check_csrf, is_form
from shared.web.dependencies import enforce_rate_limit
from shared.web.errors import BodyTooLarge, Forbidden, NotAuthenticated
from shared.web.input_checks import (
    CheckedRequest,
    UnsupportedBody,
    check_url_and_headers,
    checked,
)

BODY_MAX_BYTES: Final = 1024 * 1024
"""Default limit of a request body. Routes that accept files declare their own (`body_max=`)."""
BACKGROUND_HEADER: Final = "x-background"
"""Sent with requests that a page makes without its user (polling): they do not extend the session.
"""

Endpoint = Callable[..., Any]
Decorator = Callable[[Endpoint], Endpoint]
RateLimits = Callable[[Request], Sequence[RateLimit]]


class MissingPolicy(RuntimeError):
    """A route declares no policy. This is a programming error: the program must not start."""


class PolicyRoute(APIRoute):
    """A route that applies its policy before anything else."""

    policy: Policy | None = None
    body_max: int = BODY_MAX_BYTES
    rate_limits: RateLimits | None = None

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            checked_request = limit_body(request, self.body_max)
            check_url_and_headers(checked_request)
            await _authorize(checked_request, self)
            await self._read_body(checked_request)
            return await handler(checked_request)

        return guarded

    async def _read_body(self, request: CheckedRequest) -> None:
        """Read a body that FastAPI does not read before the endpoint opens its transaction.

        A slow client holds no connection.
        """
        if self.body_field or request.method in SAFE_METHODS:
            return
        if is_form(request):
            await request.raw_form()
        else:
            await request.body()

    def takes(self, request: Request) -> bool:
        """Return whether the body is of the kind that the route reads: a form is no JSON."""
        reads_json = self.body_field and not isinstance(self.body_field.field_info, params.Form)
        return not (reads_json and is_form(request))


class Router(APIRouter):
    """A router whose routes require `policy=`: `allow(Role.HANDLER, …)`, `SIGNED_IN` or `PUBLIC`.

    `body_max` limits the body in bytes. `rate_limits` returns the limits that a request counts
    against. Raises MissingPolicy for a route without a policy.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=PolicyRoute, **options)

    def add_api_route(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        policy: Policy | None = None,
        body_max: int = BODY_MAX_BYTES,
        rate_limits: RateLimits | None = None,
        **options: Any,
    ) -> None:
        if policy is None:
            raise MissingPolicy(f"{self.prefix}{path} declares no policy: pass policy=")
        super().add_api_route(path, checked(endpoint), **options)
        route = self.routes[-1]
        assert isinstance(route, PolicyRoute), "a Router creates PolicyRoutes only"
        route.policy = policy
        route.body_max = body_max
        route.rate_limits = rate_limits

    def api_route(self, path: str, **options: Any) -> Decorator:  # type: ignore[override]
        def register(endpoint: Endpoint) -> Endpoint:
            # Endpoints return a Response: FastAPI must not derive a model from the annotation.
            options.setdefault("response_model", None)
            self.add_api_route(path, endpoint, **options)
            return endpoint

        return register

    def get(self, path: str, **options: Any) -> Decorator:  # type: ignore[override]
        return self.api_route(path, methods=["GET"], **options)

    def post(self, path: str, **options: Any) -> Decorator:  # type: ignore[override]
        return self.api_route(path, methods=["POST"], **options)

    def put(self, path: str, **options: Any) -> Decorator:  # type: ignore[override]
        return self.api_route(path, methods=["PUT"], **options)

    def delete(self, path: str, **options: Any) -> Decorator:  # type: ignore[override]
        return self.api_route(path, methods=["DELETE"], **options)


def check_policies(app: FastAPI, *, open_paths: frozenset[str] = frozenset()) -> None:
    """Raise MissingPolicy if a route of `app` has no policy and is not in `open_paths`."""
    for path, route in list_routes(app):
        has_policy = getattr(route, "policy", None) is not None
        if isinstance(route, APIRoute) and not has_policy and path not in open_paths:
            raise MissingPolicy(f"{path} declares no policy: register it on a Router")


def list_routes(app: FastAPI) -> list[tuple[str, BaseRoute]]:
    """Return every route of `app` with its full path, including those of included routers."""
    contexts = iter_route_contexts(app.routes)
    return [(context.path or "", context.original_route) for context in contexts]


async def _authorize(request: Request, route: PolicyRoute) -> None:
    """Set `request.state.account` and apply the route's policy.

    Raises NotAuthenticated, Forbidden, CsrfFailed or TooManyRequests.
    """
    policy = route.policy
    if policy is None:
        raise MissingPolicy(f"{request.url.path} has no policy")
    sessions = app_state(request).sessions
    credential = read_credential(request, sessions.cookie)
    touch = BACKGROUND_HEADER not in request.headers
    account = await find_account(sessions, credential, touch=touch)
    request.state.account = account
    if not policy.allows(account):
        raise NotAuthenticated if account is None else Forbidden(policy)
    if not route.takes(request):
        raise UnsupportedBody
    if request.method not in SAFE_METHODS:
        await check_csrf(request, credential)
    if route.rate_limits:
        await enforce_rate_limit(request, *route.rate_limits(request))


def limit_body(request: Request, body_max: int) -> CheckedRequest:
    """Return a checked request whose body raises BodyTooLarge beyond `body_max` bytes.

    Raises BodyTooLarge at once if Content-Length announces more.
    """
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > body_max:
        raise BodyTooLarge(body_max)
    return CheckedRequest(request.scope, _count_bytes(request.receive, body_max))


def _count_bytes(receive: Receive, body_max: int) -> Receive:
    received_bytes = 0

    async def count_bytes() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > body_max:
            raise BodyTooLarge(body_max)
        return message

    return count_bytes
