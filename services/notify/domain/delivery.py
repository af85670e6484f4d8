"""The states of a delivery, and the schedule of its attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.appraisal.labels import LabelledEnum


class DeliveryState(LabelledEnum):
    """State of a delivery.

    It is withdrawn if its notification is resolved before the first attempt, or its subscription is
    stopped.
    """

    WAITING = "waiting", "待发送"
    DELIVERED = "delivered", "已送达"
    FAILED = "failed", "失败"
    WITHDRAWN = "withdrawn", "已撤回"

    @property
    def badge(self) -> str:
        """The look of the state's badge."""
        return _BADGES[self]


_BADGES: Final[Mapping[DeliveryState, str]] = {
    DeliveryState.WAITING: "hold",
    DeliveryState.DELIVERED: "ok",
    DeliveryState.FAILED: "over",
    DeliveryState.WITHDRAWN: "hold",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries the log shows. None means all."""

    role: str | None = None
    state: str | None = None
    channel: str | None = None
    number: str | None = None


RETRY_DELAYS_SECONDS: Final = (30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0)
"""Delay after each failed attempt; a delivery fails when no delay is left."""
ATTEMPTS_MAX: Final = len(RETRY_DELAYS_SECONDS) + 1


def retry_delay(attempts: int, delays: Sequence[float] = RETRY_DELAYS_SECONDS) -> float | None:
    """Return the seconds until the next attempt, or None if `attempts` included the last one."""
    return delays[attempts - 1] if attempts <= len(delays) else None
