"""The virtual clock of a demo installation, as the database keeps it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from services.simulate.demo_clock import DemoClock
from shared.foundation.clock import SET_VIRTUAL_CLOCK, real_now
from shared.storage.schema import SERVICES


def _greatest(*columns: str) -> str:
    maxima = (
        f"(select max({column}) from {service}.{table})"
        for service in SERVICES
        for table, column in (name.split(".") for name in columns)
    )
    return f"greatest({', '.join(maxima)})"


LAST_WRITE: Final = f"""
select {_greatest("outbox.occurred_at", "audit.at")} as legal,
       {_greatest("outbox.created_at")} as written
"""
CLOCK: Final = "select anchor_virtual, anchor_real, rate from public.virtual_clock"
SET_RATE: Final = """
update public.virtual_clock
set anchor_virtual = public.app_now(), anchor_real = statement_timestamp(), rate = $1
where anchor_virtual + (statement_timestamp() - anchor_real) * rate < statement_timestamp()
"""


@dataclass(slots=True)
class VirtualClock:
    """The legal time of an installation; its rate can be changed until it meets the real time."""

    url: str
    clock: DemoClock

    @staticmethod
    async def started(url: str) -> "VirtualClock":
        """Return the running clock.

        The first start sets it four weeks back. A later start leaves it alone, unless the demo was
        killed before it caught up: then it continues from the last write.
        """
        async with _connected(url) as connection:
            current = await _read(connection)
            wanted = await _wanted(connection, current)
            if wanted != current:
                await connection.execute(SET_VIRTUAL_CLOCK, wanted.anchor, wanted.rate, True)
                current = await _read(connection)
        assert current, "the clock was set"
        return VirtualClock(url, current)

    async def set_rate(self, rate: float) -> None:
        """Run at this rate from now on; has no effect after the clock has met the real time."""
        async with _connected(self.url) as connection:
            await connection.execute(SET_RATE, rate)
            self.clock = await _read(connection) or self.clock


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _read(connection: Any) -> DemoClock | None:
    record = await connection.fetchrow(CLOCK)
    return DemoClock(*record) if record else None


async def _wanted(connection: Any, current: DemoClock | None) -> DemoClock:
    if current is None:
        return DemoClock.starting(real_now())
    last = await connection.fetchrow(LAST_WRITE)
    return current.restarted(real_now(), last_written_at=last["written"], last_legal=last["legal"])
