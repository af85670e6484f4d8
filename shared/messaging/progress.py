"""Progress of a consumer: its lag, and whether it stalled."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.foundation.telemetry import log

LAG_INTERVAL_SECONDS = 5.0
LAG_TIMEOUT_SECONDS = 10.0


class ProgressWatch:
    """Measures lag and notices when a consumer has lag but makes no progress.

    `kafka` returns the running client; `in_flight` returns the number of fetched records that are
    not processed yet (the client's position is past them already).
    """

    def __init__(
        self,
        kafka: Callable[[], AIOKafkaConsumer],
        *,
        in_flight: Callable[[], int],
        group: str,
        stall_seconds: float,
    ) -> None:
        self._kafka = kafka
        self._in_flight = in_flight
        self._group = group
        self._stall_seconds = stall_seconds
        self._progress_at = monotonic_seconds()
        self.lag = 0
        """Events in the log that are not processed, as last measured."""
        self.stalled = False

    def note_progress(self) -> None:
        """Note that a batch was processed now."""
        self._progress_at = monotonic_seconds()
        self.stalled = False

    def restart(self) -> None:
        """Count from now; `stalled` stays until the new client processes a batch."""
        self._progress_at = monotonic_seconds()

    async def watch(self, check: Callable[[], None]) -> None:
        """Return when the consumer made no progress for twice the stall time.

        `check` is called before every measurement and may raise.
        """
        while True:
            await asyncio.sleep(min(LAG_INTERVAL_SECONDS, self._stall_seconds / 3))
            check()
            self.lag = await self._measure_lag() + self._in_flight()
            if not self.lag:
                self._progress_at = monotonic_seconds()
            idle_seconds = monotonic_seconds() - self._progress_at
            self.stalled = idle_seconds > self._stall_seconds
            if idle_seconds > 2 * self._stall_seconds:
                self._report_stall(idle_seconds)
                return

    def _report_stall(self, idle_seconds: float) -> None:
        telemetry.consumer_restarts.labels(self._group).inc()
        log.error(
            "consumer stalled, restarting",
            group=self._group,
            seconds=round(idle_seconds),
            lag=self.lag,
        )

    async def _measure_lag(self) -> int:
        consumer = self._kafka()
        partitions = sorted(consumer.assignment())
        if not partitions:
            return 0
        async with asyncio.timeout(LAG_TIMEOUT_SECONDS):
            ends = await consumer.end_offsets(partitions)
            positions = {tp: await consumer.position(tp) for tp in partitions}
        lags = {tp: max(0, end - positions[tp]) for tp, end in ends.items()}
        for tp, lag in lags.items():
            self._set_gauges(tp, lag, positions[tp])
        return sum(lags.values())

    def _set_gauges(
        self,
        tp: TopicPartition,
        lag: int,
        position: int,
    ) -> None:
        labels = (self._group, tp.topic, tp.partition)
        telemetry.consumer_lag.labels(*labels).set(lag)
        telemetry.consumer_offset.labels(*labels).set(position)

    def forget_partitions(self, revoked: Iterable[TopicPartition]) -> None:
        """Remove the gauges of partitions that another replica reports from now on."""
        for tp in revoked:
            for gauge in (telemetry.consumer_lag, telemetry.consumer_offset):
                with suppress(KeyError):
                    gauge.remove(self._group, tp.topic, tp.partition)
