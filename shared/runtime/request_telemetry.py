"""Metrics and a trace span for every HTTP request."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode
from prometheus_client import Counter, Histogram

from shared.foundation import telemetry, tracing

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestTelemetry:
    """ASGI middleware that counts, times and traces each request by its route template.

    Paths are never recorded: they may contain tokens and ids.
    """

    def __init__(self, app: Asgi, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        with tracing.span(
            scope["method"],
            parent=_header(scope, b"traceparent"),
            kind=tracing.SpanKind.SERVER,
            attributes={"fengping.service": self._service},
        ) as span:
            await self._respond(scope, receive, send, span)

    async def _respond(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        span: Span,
    ) -> None:
        started = time.perf_counter()
        status = 500

        async def send_recording_status(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_recording_status)
        finally:
            self._record(scope, status, time.perf_counter() - started)
            _describe(span, scope, status)

    def _record(
        self,
        scope: Scope,
        status: int,
        seconds: float,
    ) -> None:
        counter, histogram = _metrics(self._service, _route(scope), scope["method"], status)
        counter.inc()
        histogram.observe(seconds)


def _describe(
    span: Span,
    scope: Scope,
    status: int,
) -> None:
    if not span.is_recording():
        return
    span.update_name(f"{scope['method']} {_route(scope)}")
    span.set_attribute("http.request.method", scope["method"])
    span.set_attribute("http.route", _route(scope))
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "none")


def _header(scope: Scope, name: bytes) -> str | None:
    values = (value.decode("latin-1") for key, value in scope["headers"] if key == name)
    return next(values, None)


@lru_cache(maxsize=4096)
def _metrics(
    service: str,
    route: str,
    method: str,
    status: int,
) -> tuple[Counter, Histogram]:
    """Return the label children of such requests, looked up once."""
    counter = telemetry.http_requests.labels(service, route, method, str(status))
    return counter, telemetry.http_seconds.labels(service, route, method)
