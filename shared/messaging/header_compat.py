"""Compatibility: reads records whose header names are not UTF-8.

Context: Kafka accepts any bytes as a header name. aiokafka requires UTF-8 and raises for the whole
fetch: the partition never advances, and records that were fetched from other partitions are lost
although their positions have moved.
Decision: aiokafka reads; where it raises within a batch, its slower pure-Python reader continues,
with each invalid byte of a name as `\\xff`. The envelope decides whether the record is an event.
Alternatives: the slower reader for everything (ten times slower); skipping the record (its bytes
could not be dead-lettered).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

LENGTH_AT = 8
"""Position of a batch's length, which does not count the first OVERHEAD bytes."""
MAGIC_AT = 16
"""Position of a batch's format version."""
OVERHEAD = 12


class CompatMemoryRecords:
    """The batches of one fetch, as `aiokafka.record.memory_records.MemoryRecords`."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        self._records = MemoryRecords(raw)
        self.size_in_bytes = self._records.size_in_bytes
        self.has_next = self._records.has_next

    def next_batch(self) -> Any:
        """Return the next batch of records; None at the end."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        start = self._at
        length = int.from_bytes(self._raw[start + LENGTH_AT : start + OVERHEAD], "big")
        self._at = start + OVERHEAD + length
        if self._raw[start + MAGIC_AT] < 2:
            return batch  # an old format without headers
        return _Batch(batch, memoryview(self._raw)[start : self._at])


class _Batch:
    """A batch that continues with the compatible reader where aiokafka's raises."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

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
    """Bytes that always decode, with escapes for invalid UTF-8."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _CompatBytes(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, "backslashreplace")


def install() -> None:
    """Make every consumer of this process use the compatible reader."""
    fetcher.MemoryRecords = CompatMemoryRecords
