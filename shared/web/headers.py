"""Middleware around every request: trace id, security headers, the response to a crash.

Scripts run only with the nonce of their page, so input cannot become a script even if a template
forgets to escape it. Responses are not cached (`no-store`) unless they declare otherwise, as static
files do.
"""

import secrets
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.foundation.tracing import ensure_trace
from shared.web.error_responses import handle_crash

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src{script}",
        "style-src 'self'{style}",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers would send `Origin: null` with our own forms, as with forged ones.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(self), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
RawHeader = tuple[bytes, bytes]
RAW_HEADERS: Final[list[RawHeader]] = [
    (name.lower().encode(), value.encode()) for name, value in HEADERS.items()
]
OWN_HEADER_NAMES: Final = {name for name, _ in RAW_HEADERS} | {
    b"content-security-policy",
    b"x-request-id",
    b"strict-transport-security",
}


def _local(header: RawHeader) -> RawHeader:
    """Return a redirect of the framework without scheme and host.

    Starlette redirects `/p` to `/p/` with the host that the request claims, which anybody can set.
    """
    name, value = header
    if name != b"location":
        return header
    parts = urlsplit(value.decode("latin-1"))
    return name, urlunsplit(("", "", parts.path, parts.query, "")).encode("latin-1")


class Nonce:
    """The nonce of the scripts and styles of one response, generated when a page uses it (`str`).

    The policy of a response that does not use it allows no scripts.
    """

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = ""

    def __str__(self) -> str:
        self._value = self._value or secrets.token_urlsafe(16)
        return self._value

    @property
    def policy(self) -> bytes:
        """The Content-Security-Policy of this response."""
        return _csp(f" 'nonce-{self._value}'") if self._value else _CSP_WITHOUT_NONCE


def _csp(source: str) -> bytes:
    return CONTENT_SECURITY_POLICY.format(script=source or " 'none'", style=source).encode()


_CSP_WITHOUT_NONCE: Final = _csp("")


class RequestMiddleware:
    """ASGI middleware around a whole service."""

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self.app = app
        self.https = https

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        nonce = scope["fengping.nonce"] = Nonce()
        with ensure_trace(Request(scope).headers.get("traceparent")) as trace_id:
            scope["fengping.request"] = trace_id
            await self._respond(scope, receive, send, nonce, trace_id)

    async def _respond(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        nonce: Nonce,
        number: str,
    ) -> None:
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = self._merge_headers(message["headers"], nonce, number)
                if message["status"] == 307:
                    message["headers"] = [_local(header) for header in message["headers"]]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise
            response = await handle_crash(Request(scope, receive), error)
            await response(scope, receive, send_with_headers)

    def _merge_headers(
        self,
        response_headers: Iterable[RawHeader],
        nonce: Nonce,
        number: str,
    ) -> list[RawHeader]:
        """Return the response's headers with ours, which replace those of the same name.

        `Cache-Control` is added only if the response has none.
        """
        kept = [pair for pair in response_headers if pair[0] not in OWN_HEADER_NAMES]
        own = [
            (b"content-security-policy", nonce.policy),
            (b"x-request-id", number.encode()),
            *RAW_HEADERS,
        ]
        if self.https:
            own.append((b"strict-transport-security", b"max-age=31536000"))
        if not any(name == b"cache-control" for name, _ in kept):
            own.append((b"cache-control", b"no-store"))
        return kept + own
