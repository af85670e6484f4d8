"""Connections that hold something open are ended; others are served meanwhile and afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from services.cli.http_limits import ConnectionLimits, LimitedHttpProtocol, limited_protocol

GET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
QUICK = ConnectionLimits(
    header_seconds=1,
    body_idle_seconds=1,
    body_bytes_per_second=1_000,
    body_grace_seconds=2,
    write_idle_seconds=1,
    per_address=20,
)
LARGE = 30 * 1024 * 1024


async def app(scope, receive, send) -> None:
    """Read the body, then answer `ok`; `/large` answers 30 MB."""
    message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = b"x" * LARGE if scope["path"] == "/large" else b"ok"
    for start in range(0, len(body), 65_536):
        part = body[start : start + 65_536]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(
    limits: ConnectionLimits = QUICK, **options: str
) -> AsyncIterator[tuple[int, type[LimitedHttpProtocol]]]:
    protocol = limited_protocol(limits=limits, **options)
    config = uvicorn.Config(app, port=0, http=protocol, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    server.capture_signals = asyncio.timeout  # type: ignore[method-assign]
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1], protocol
    finally:
        server.should_exit = True
        await server.shutdown()


async def exchange(port: int, *parts: bytes, pause: float = 0.0, seconds: float = 8.0) -> bytes:
    """Send the parts, with pauses, and return what comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(seconds):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


async def test_ordinary_requests_pass():
    body = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 200000\r\n\r\n"
    async with serving() as (port, _):
        assert (await exchange(port, GET)).endswith(b"0\r\n\r\n")
        assert b"200 OK" in await exchange(port, body, b"x" * 200_000)
        assert (await exchange(port, GET.replace(b"close", b"keep-alive"), GET)).count(
            b"200 OK"
        ) == 2


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nhost: a\r\nx-a: b",
    ],
)
async def test_half_open_request_is_ended(start):
    async with serving() as (port, protocol):
        answer = await exchange(port, start)
        assert answer.startswith(b"HTTP/1.1 408") or answer == b""
        assert protocol.counts.total() == 0


async def test_header_that_trickles_is_ended():
    async with serving() as (port, protocol):
        parts = [b"GET / HTTP/1.1\r\n", *(b"x-%d: a\r\n" % n for n in range(12))]
        assert b" 200 " not in await exchange(port, *parts, pause=0.25)
        assert protocol.counts.total() == 0


async def test_body_that_stops_or_trickles_is_ended():
    head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n"
    async with serving() as (port, protocol):
        assert b"408" in await exchange(port, head, b"x")
        trickled = await exchange(port, head, *[b"x"] * 20, pause=0.2)
        assert b" 200 " not in trickled
        assert protocol.counts.total() == 0


@pytest.mark.parametrize("chunk", [500, 70_000])
async def test_header_beyond_its_size_is_refused(chunk):
    header = b"GET / HTTP/1.1\r\n" + b"x-a: " + b"a" * 70_000 + b"\r\n\r\n"
    parts = [header[start : start + chunk] for start in range(0, len(header), chunk)]
    async with serving() as (port, _):
        assert b" 200 " not in await exchange(port, *parts)


async def test_client_that_reads_nothing_is_ended():
    async with serving() as (port, protocol):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(GET.replace(b"GET /", b"GET /large"))
        async with asyncio.timeout(8):
            await asyncio.sleep(0.5)
            assert protocol.counts.total() == 1
            while protocol.counts.total():
                await asyncio.sleep(0.1)
        writer.close()
        del reader


async def test_one_address_has_so_many_connections_and_others_are_served():
    async with serving() as (port, _):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(QUICK.per_address)]
        await asyncio.sleep(0.1)
        refused = await exchange(port, GET)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=("127.0.0.9", 0)
        )
        writer.write(GET)
        served = await reader.read()
        for _, each in [*held, (reader, writer)]:
            each.close()
        await asyncio.sleep(0.1)
        again = await exchange(port, GET)

    assert b"503" in refused or refused in (b"", b"reset")
    assert b"200 OK" in served
    assert b"200 OK" in again


async def test_trusted_proxy_may_have_more_connections():
    async with serving(trusted_proxies="127.0.0.1") as (port, _):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        assert b"200 OK" in await exchange(port, GET)
        for _, writer in held:
            writer.close()
