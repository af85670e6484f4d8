"""The part of an evidence archive that every service has: its inputs, their seals, its key.

docs/export-format.md specifies the files. Each part is read in one snapshot, in bounded memory, and
the same data gives the same bytes.
"""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID
from zlib import crc32

import asyncpg

from shared.appraisal.sealed_inputs import NOT_EXPORTED
from shared.security.audit import Checkpoint, Verifier, canonical, entry_from_row
from shared.security.input_seals import SEAL_ACTION, SealedStream, StreamItem, content_of
from shared.security.merkle import leaf_hash, split_hashes
from shared.storage.transaction import Transaction

FETCH_SIZE: Final = 2_000
UNSEALED: Final = 0
"""The number that stands for no seal."""
Line = bytes
Lines = Callable[[Transaction], AsyncIterator[Line]]


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive: its name and its lines."""

    name: str
    lines: AsyncIterator[Line]


@dataclass(frozen=True, slots=True)
class _SealedItem:
    """An input that claims to be in a seal."""

    id: UUID
    part: int
    leaf_hash: bytes

    @property
    def name(self) -> str:
        return f"{self.id}/{self.part}"


@dataclass(frozen=True, slots=True)
class EvidenceSource:
    """What a service contributes: the streams that it seals and the public key of its log."""

    streams: Sequence[SealedStream]
    verifier: Verifier


def evidence_files(tx: Transaction, source: EvidenceSource, campaign_id: str) -> list[ArchiveFile]:
    """Return the files that the part of every service has."""
    return [
        ArchiveFile("keys.txt", _key_lines(source.verifier)),
        ArchiveFile("checkpoint.txt", _checkpoint_lines(tx, source.verifier)),
        ArchiveFile("seals.jsonl", _seal_lines(tx)),
        ArchiveFile("inputs.tsv", _input_lines(tx, source.streams, campaign_id)),
    ]


async def rows_of(
    tx: Transaction,
    query: str,
    **values: str,
) -> AsyncIterator[asyncpg.Record]:
    """Yield the rows of a query through a cursor; `{name}` stands for a quoted value."""
    # asyncpg prepares FETCH once for each name, so a name always stands for the same columns.
    cursor = f"exported_{crc32(query.encode()):08x}"
    quoted = {name: await tx.fetchval("select quote_literal($1)", values[name]) for name in values}
    await tx.run(f"declare {cursor} no scroll cursor for {query.format(**quoted)}")
    while rows := await tx.fetch(f"fetch {FETCH_SIZE} from {cursor}"):
        for row in rows:
            yield row
    await tx.run(f"close {cursor}")


def json_line(value: Any) -> Line:
    """Return a value as one line of canonical JSON."""
    return _ENCODER.encode(value).encode() + b"\n"


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not exported")


_ENCODER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain
)


async def _key_lines(verifier: Verifier) -> AsyncIterator[Line]:
    for line in verifier.key_lines():
        yield line.encode() + b"\n"


async def _checkpoint_lines(tx: Transaction, verifier: Verifier) -> AsyncIterator[Line]:
    for row in await tx.fetch(_LAST_CHECKPOINT):
        yield verifier.note(Checkpoint(verifier.origin, **row)).encode()


async def _seal_lines(tx: Transaction) -> AsyncIterator[Line]:
    for row in await tx.fetch(_SEAL_ENTRIES, SEAL_ACTION):
        entry = entry_from_row(row)
        content = canonical(entry).decode()
        proof = b64encode(entry.proof or b"").decode()
        yield json_line({"entry": content, "position": entry.position, "proof": proof})


# ── inputs ────────────────────────────────────────────────────────────────────────────────────────


async def _input_lines(
    tx: Transaction,
    streams: Sequence[SealedStream],
    campaign_id: str,
) -> AsyncIterator[Line]:
    for stream in streams:
        for sequence in await _sequences(tx, stream):
            for line in await _lines_of_seal(tx, stream, sequence, campaign_id):
                yield line
        async for line in _unsealed_lines(tx, stream, campaign_id):
            yield line
    for values in await tx.fetch(_WITHOUT_SEAL):
        name, sequence, leaf, id, part = values.values()
        yield _input_line(name, sequence, leaf, f"{id}/{part}", "foreign")


async def _sequences(tx: Transaction, stream: SealedStream) -> list[int]:
    return [next(values.values()) for values in await tx.fetch(_SEQUENCES, stream.name)]


async def _lines_of_seal(
    tx: Transaction,
    stream: SealedStream,
    sequence: int,
    campaign_id: str,
) -> list[Line]:
    """Return a line for each leaf of a seal, in its order, then for items that it does not have."""
    leaves = split_hashes(await tx.fetchval(_LEAVES, stream.name, sequence))
    items = await _sealed_items(tx, stream, sequence)
    contents = await _contents(tx, stream, [item.id for item in items.values()])
    lines = []
    for leaf in leaves:
        item = items[leaf].name if leaf in items else "-"
        status, content = _status(leaf, contents.get(item), campaign_id)
        lines.append(_input_line(stream.name, sequence, leaf, item, status, content))
    for leaf in sorted(items.keys() - set(leaves)):
        lines.append(_input_line(stream.name, sequence, leaf, items[leaf].name, "foreign"))
    return lines


async def _sealed_items(
    tx: Transaction,
    stream: SealedStream,
    sequence: int,
) -> dict[bytes, _SealedItem]:
    """Leaf hash → the input that claims to be sealed there."""
    rows = await tx.fetch(_ITEMS, stream.name, sequence)
    items = [_SealedItem(*values.values()) for values in rows]
    return {item.leaf_hash: item for item in items}


async def _contents(
    tx: Transaction,
    stream: SealedStream,
    ids: Sequence[UUID],
) -> dict[str, tuple[str, bytes]]:
    """Item → campaign, if its content may be exported, and the content."""
    items = [StreamItem(**values) for values in await tx.fetch(stream.by_id, ids)]
    return {f"{item.id}/{item.part}": (_campaign_of(item), content_of(item)) for item in items}


def _campaign_of(item: StreamItem) -> str:
    if item.type in NOT_EXPORTED:
        return ""
    return str(json.loads(item.body).get("campaign_id", ""))


def _status(
    leaf: bytes,
    found: tuple[str, bytes] | None,
    campaign_id: str,
) -> tuple[str, bytes]:
    if found is None:
        return "missing", b"-"
    campaign, content = found
    if leaf_hash(content) != leaf:
        return "changed", b"-"
    return ("shown", content) if campaign == campaign_id else ("hidden", b"-")


async def _unsealed_lines(
    tx: Transaction,
    stream: SealedStream,
    campaign_id: str,
) -> AsyncIterator[Line]:
    query = stream.unsealed.replace("$1", "0").replace("limit $2", "")
    async for values in rows_of(tx, query.replace("{", "{{").replace("}", "}}")):
        item = StreamItem(**values)
        content = content_of(item)
        if _campaign_of(item) == campaign_id:
            leaf = leaf_hash(content)
            name = f"{item.id}/{item.part}"
            yield _input_line(stream.name, UNSEALED, leaf, name, "unsealed", content)


def _input_line(
    stream: str,
    sequence: int,
    leaf: bytes,
    item: str,
    status: str,
    content: bytes = b"-",
) -> Line:
    fields = (stream, str(sequence), leaf.hex(), item, status)
    return "\t".join(fields).encode() + b"\t" + content + b"\n"


_LAST_CHECKPOINT: Final = """
select size, root, signature from checkpoints order by size desc limit 1
"""
_SEAL_ENTRIES: Final = """
select at, actor, action, subject, details::text as details, position, leaf_hash, proof
from audit where action = $1 and position is not null order by position
"""
_SEQUENCES: Final = "select sequence from input_seals where stream = $1 order by sequence"
_LEAVES: Final = "select leaves from input_seals where stream = $1 and sequence = $2"
_ITEMS: Final = """
select item, part, leaf_hash from sealed_inputs where stream = $1 and sequence = $2
"""
_WITHOUT_SEAL: Final = """
select s.stream, s.sequence, s.leaf_hash, s.item, s.part from sealed_inputs s
where not exists (
  select from input_seals i where i.stream = s.stream and i.sequence = s.sequence)
order by s.stream, s.sequence, s.leaf_hash
"""
