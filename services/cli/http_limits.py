"""The HTTP protocol of the server, with limits on what a client may hold open.

uvicorn waits for ever for the rest of a request. Here a connection ends when its header is too
large or not complete in time, when a body or the reading of a response makes no progress, and when
one address opens too many. The addresses of trusted proxies carry many clients and are exempt from
the last.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEADER_MAX_BYTES: Final = 32 * 1024
CHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may take, and how many connections one address may have."""

    header_seconds: float = 10.0
    """From the first byte of a request, or from the connection, to the end of its header."""
    body_idle_seconds: float = 15.0
    body_bytes_per_second: int = 1_000
    """A body that is slower for `body_grace_seconds` ends the connection."""
    body_grace_seconds: float = 30.0
    write_idle_seconds: float = 30.0
    per_address: int = 200
    in_total: int = 900
    """Below the usual limit of 1,024 open files."""


@dataclass(slots=True)
class _Progress:
    """Times and bytes of the request that a connection is receiving."""

    started_at: float
    header_bytes: int = 0
    begun: bool = False
    in_header: bool = True
    receives_body: bool = False
    body_started_at: float = 0.0
    body_bytes: int = 0
    received_at: float = 0.0
    write_paused_at: float | None = None


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits. `for_addresses` makes the class that a server uses."""

    limits = ConnectionLimits()
    exempt: frozenset[str] = frozenset()
    counts: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: Any) -> None:
        """Accept a connection, or close it if there are too many."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self.counts[self.address] += 1
        self.progress = _Progress(self.loop.time())
        self.closing_since: float | None = None
        self.timer = self.loop.call_later(CHECK_SECONDS, self._check)
        if self._are_too_many():
            self._refuse(503)

    def _are_too_many(self) -> bool:
        is_exempt = self.address in self.exempt or "*" in self.exempt
        from_address = 0 if is_exempt else self.counts[self.address]
        limits = self.limits
        return from_address > limits.per_address or self.counts.total() > limits.in_total

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.timer.cancel()
        self.counts[self.address] -= 1
        if self.counts[self.address] <= 0:
            del self.counts[self.address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on while the header is within its limit."""
        if self.transport.is_closing():
            return
        self.progress.received_at = self.loop.time()
        super().data_received(data)
        if self.progress.in_header:
            self._count_header(len(data))

    def on_message_begin(self) -> None:
        """Start the clock of the header."""
        self.progress = _Progress(
            self.loop.time(), write_paused_at=self.progress.write_paused_at, begun=True
        )
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. One beyond the limit ends the connection before the request begins."""
        self.fields_bytes = getattr(self, "fields_bytes", 0) + len(name) + len(value)
        if self.fields_bytes > HEADER_MAX_BYTES:
            self._refuse(431)
            raise ValueError("header too large")
        super().on_header(name, value)

    def _count_header(self, received_bytes: int) -> None:
        self.progress.header_bytes += received_bytes
        if self.progress.header_bytes > HEADER_MAX_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        """Start the clock of the body."""
        progress = self.progress
        self.fields_bytes = 0
        progress.in_header = False
        progress.receives_body = True
        progress.body_started_at = progress.received_at = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count the body's bytes."""
        self.progress.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self.progress.receives_body = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Start the clock of a client that does not read its response."""
        self.progress.write_paused_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Stop that clock."""
        self.progress.write_paused_at = None
        super().resume_writing()

    def _check(self) -> None:
        """End the connection if it makes no progress; look again in a second."""
        now = self.loop.time()
        if self._writes_stalled(now):
            self.transport.abort()
            return
        if not self.transport.is_closing() and (
            self._header_is_late(now) or self._body_is_late(now)
        ):
            self._refuse(408)
        self.timer = self.loop.call_later(CHECK_SECONDS, self._check)

    def _writes_stalled(self, now: float) -> bool:
        """Return whether the client does not read what it asked for."""
        if self.transport.is_closing():
            self.closing_since = self.closing_since or now
        waits = [self.progress.write_paused_at, self.closing_since]
        longest = max((now - since for since in waits if since is not None), default=0.0)
        return longest > self.limits.write_idle_seconds

    def _header_is_late(self, now: float) -> bool:
        progress = self.progress
        # After a response uvicorn itself closes the idle connection, sooner.
        waits = progress.in_header and (progress.begun or self.cycle is None)
        return waits and now - progress.started_at > self.limits.header_seconds

    def _body_is_late(self, now: float) -> bool:
        progress, limits = self.progress, self.limits
        # A server that has paused reading waits for itself.
        if not progress.receives_body or self.flow.read_paused:
            return False
        if now - progress.received_at > limits.body_idle_seconds:
            return True
        seconds = now - progress.body_started_at
        is_slow = progress.body_bytes < seconds * limits.body_bytes_per_second
        return seconds > limits.body_grace_seconds and is_slow

    def _refuse(self, status: int) -> None:
        """Answer with a status and no body, and close."""
        started = self.cycle is not None and self.cycle.response_started
        if not started:
            head = STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head)
        self.transport.close()


def limited_protocol(
    *,
    limits: ConnectionLimits | None = None,
    trusted_proxies: str = "",
) -> type[LimitedHttpProtocol]:
    """Return the protocol class of one server, which counts its own connections."""
    proxies = [address.strip() for address in trusted_proxies.split(",")]
    members = {
        "limits": limits or ConnectionLimits(),
        "exempt": frozenset(filter(None, proxies)),
        "counts": Counter[str](),
    }
    return type("ServerProtocol", (LimitedHttpProtocol,), members)
