"""Searches everything an installation keeps or says for values that must not be there.

A value is found in any form in which a program might write it: raw, UTF-16, GB 18030, hexadecimal,
base64, percent-encoded, as JSON escapes, hashed without a key, or compressed.
"""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import asyncpg
import redis.asyncio
from aiokafka import AIOKafkaConsumer

from shared.foundation.settings import Settings
from shared.messaging.kafka_access import ADMIN
from shared.messaging.topics import client_options

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "gb18030")
HASHES = ("md5", "sha1", "sha256", "sha512")
SILENT_READS_MAX = 3


def forms(value: str) -> dict[str, bytes]:
    """Return the bytes of a value by the name of the form in which they hold it."""
    found = {encoding: value.encode(encoding) for encoding in ENCODINGS}
    raw = found["utf-8"]
    found["hexadecimal"] = raw.hex().encode()
    found["percent-encoded"] = quote(value).encode()
    found["JSON escapes"] = json.dumps(value).strip('"').encode()
    found |= {f"base64 at {shift}": base64_core(raw, shift) for shift in range(3)}
    for name in HASHES:
        digest = hashlib.new(name, raw).digest()
        found |= {name: digest, f"{name} as text": digest.hex().encode()}
    return found


def base64_core(raw: bytes, shift: int) -> bytes:
    """Return what base64 makes of `raw` after `shift` other bytes, whatever surrounds it."""
    skipped = -(-shift * 8 // 6)
    written = base64.b64encode(b"\0" * shift + raw)
    whole = (shift + len(raw)) * 8 // 6
    return written[skipped:whole]


def unpacked(content: bytes) -> bytes:
    """Return the content and what it decompresses to."""
    for unpack in (zlib.decompress, gzip.decompress):
        try:
            return content + b"\n" + unpack(content)
        except (zlib.error, OSError, EOFError):
            continue
    return content


def find(places: Mapping[str, bytes], values: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (place, value, form) for every value that a place holds."""
    needles = [(value, form, raw) for value in values for form, raw in forms(value).items()]
    for place, content in places.items():
        for value, form, raw in needles:
            if raw in content:
                yield place, value, form


# ── where to look ─────────────────────────────────────────────────────────────────────────────────


def cell_bytes(cell: Any) -> bytes:
    """Return a value of a table as the bytes that it holds."""
    if isinstance(cell, bytes):
        return unpacked(cell)
    return str(cell).encode()


async def tables(
    connection: asyncpg.Connection, schemas: Collection[str]
) -> AsyncIterator[tuple[str, bytes]]:
    """Yield every table of these schemas with all its values."""
    names = await connection.fetch(
        "select schemaname || '.' || quote_ident(tablename) as name from pg_tables "
        "where schemaname = any($1) order by 1",
        list(schemas),
    )
    for row in names:
        records = await connection.fetch(f"select * from {row['name']}")
        yield row["name"], b"\n".join(cell_bytes(cell) for each in records for cell in each)


async def topics(settings: Settings) -> dict[str, bytes]:
    """Return every topic of this installation with its records: keys, values and headers."""
    consumer = AIOKafkaConsumer(
        **client_options(settings, ADMIN), auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        names = {name for name in await consumer.topics() if name.startswith(settings.topic_prefix)}
        consumer.subscribe(list(names))
        return await _read(consumer)
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    silent = 0
    while silent < SILENT_READS_MAX:
        batches = await consumer.getmany(timeout_ms=500)
        silent = silent + 1 if found and not batches else 0
        for partition, records in batches.items():
            parts = [found.get(partition.topic, b"")]
            for record in records:
                headers = [value for _, value in record.headers]
                parts += [record.key or b"", unpacked(record.value or b""), *headers]
            found[partition.topic] = b"\n".join(parts)
    return found


async def cache(url: str) -> bytes:
    """Return every key of a cache with its value, never in the compressed form of a dump."""
    client = redis.asyncio.Redis.from_url(url)
    readers: dict[bytes, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    parts: list[bytes] = []
    try:
        async for key in client.scan_iter():
            value = await readers[await client.type(key)](key)
            parts += [key, b" ".join(_flat(value))]
    finally:
        await client.aclose()
    return b"\n".join(parts)


def _flat(value: Any) -> Iterator[bytes]:
    """Yield every part of a value of the cache as bytes."""
    if isinstance(value, dict):
        value = value.items()
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for part in value:
            yield from _flat(part)
    elif value is not None:
        yield str(value).encode()
