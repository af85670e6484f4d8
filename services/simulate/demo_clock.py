"""The legal time of a demo: four weeks pass in about a minute, then it follows the real time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

DAYS: Final = 28
CATCH_UP_SECONDS: Final = 70.0
FULL_RATE: Final = DAYS * 86_400 / CATCH_UP_SECONDS + 1
SLOWEST_RATE: Final = 1_000.0
RATE_FACTOR: Final = 1.6
LAG_HOURS_MIN: Final = 6.0
LAG_HOURS_MAX: Final = 14.0
"""Legal time may run faster while the demo lags behind it by less than the minimum, and must run
slower above the maximum. On a slow machine the demo takes longer instead of missing deadlines.
"""


@dataclass(frozen=True, slots=True)
class DemoClock:
    """Legal time runs from `anchor` at real time `started_at`, `rate` seconds a second, until it
    meets the real time.
    """

    anchor: datetime
    started_at: datetime
    rate: float

    @staticmethod
    def starting(now: datetime) -> "DemoClock":
        """Return a clock that starts four weeks ago, slowly until the demo's staff is signed in."""
        return DemoClock(now - timedelta(days=DAYS), now, SLOWEST_RATE)

    def at(self, real: datetime) -> datetime:
        """Return the legal time at a real instant."""
        return min(self.anchor + (real - self.started_at) * self.rate, real)

    def seconds_until(self, legal: datetime, real: datetime) -> float:
        """Return the real seconds from `real` until the legal time is `legal`; 0 if it is past."""
        return max(0.0, (self._real(legal) - real).total_seconds())

    def _real(self, legal: datetime) -> datetime:
        if legal >= self.meets_at:
            return legal
        return min(self.started_at + (legal - self.anchor) / self.rate, self.meets_at)

    @property
    def meets_at(self) -> datetime:
        """The real instant at which legal time has caught up."""
        return self.started_at + (self.started_at - self.anchor) / (self.rate - 1)

    def restarted(
        self,
        now: datetime,
        *,
        last_written_at: datetime | None,
        last_legal: datetime | None,
    ) -> "DemoClock":
        """Return the clock of a second start.

        A demo that was killed before it caught up continues from the last legal instant at which
        something was written.
        """
        if last_written_at is not None and last_written_at >= self.meets_at:
            return self
        return DemoClock(last_legal or now - timedelta(days=DAYS), now, SLOWEST_RATE)


class AdjustableClock(Protocol):
    """The clock of an installation, whose rate can be changed."""

    @property
    def clock(self) -> DemoClock:
        """The clock as it runs now."""

    async def set_rate(self, rate: float) -> None:
        """Run at this rate from now on."""


def adjusted_rate(rate: float, lag_hours: float) -> float:
    """Return the rate of a clock for a demo that lags behind its legal time."""
    if lag_hours > LAG_HOURS_MAX:
        return max(rate / RATE_FACTOR, SLOWEST_RATE)
    if lag_hours < LAG_HOURS_MIN:
        return min(rate * RATE_FACTOR, FULL_RATE)
    return rate
