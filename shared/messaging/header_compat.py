"""A record whose header names are not UTF-8 is read like any other, and its neighbours with it.

Context: Kafka takes any bytes as the name of a header. The client library insists on UTF-8 and
gives up a whole fetch for one such name: its partition never gets further, and what was fetched of
other partitions is dropped although their positions have moved on.
Decision: the library reads; where it gives up in a batch, its own slower reader goes on, in whose
names each byte that is no UTF-8 stands as `\\xff`. Whether the record is an event then decides the
envelope.
Alternatives: the slower reader for everything (ten times slower); stepping over the record (its
bytes could not be dead-lettered).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

LENGTH_AT, MAGIC_AT, OVERHEAD = 8, 16, 12
"""Where a batch says how long it is after its first twelve bytes, and of which format it is."""


class CompatMemoryRecords:
    """The batches of one fetch, as `aiokafka.record.memory_records.MemoryRecords`."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at, self._records = raw, 0, MemoryRecords(raw)
        self.size_in_bytes, self.has_next = self._records.size_in_bytes, self._records.has_next

    def next_batch(self) -> Any:
        batch, start = self._records.next_batch(), self._at
        if batch is None:
            return None
        self._at = (
            start
            + OVERHEAD
            + int.from_bytes(self._raw[start + LENGTH_AT : start + OVERHEAD], "big")
        )
        return (
            _Batch(batch, memoryview(self._raw)[start : self._at])
            if self._raw[start + MAGIC_AT] >= 2
            else batch
        )


class _Batch:
    """A batch that goes on where the library gives up."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch, self._raw = batch, raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except (ValueError, CorruptRecordException):
            yield from islice(_CompatBatch(self._raw), read, None)


class _CompatBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def __iter__(self) -> Any:
        batch = super().__iter__()  # which unpacks it
        self._buffer: bytearray = _CompatBytes(self._buffer)
        return batch


class _CompatBytes(bytearray):
    """Bytes whose parts become text whatever they are."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _CompatBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, "backslashreplace")


def install() -> None:
    """Have every consumer of this process read in this way."""
    fetcher.MemoryRecords = CompatMemoryRecords
