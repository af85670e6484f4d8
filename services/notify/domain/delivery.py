"""The states of a delivery, and the schedule of its attempts."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final


class DeliveryState(StrEnum):
    """State of a delivery.

    It is withdrawn (已撤回) if its notification is resolved or its subscription stopped before the
    first attempt.
    """

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"

    @property
    def label(self) -> str:
        """The state's name on pages."""
        return _LABELS[self]

    @property
    def badge(self) -> str:
        """The look of the state's badge."""
        return _BADGES[self]


_LABELS: Final[Mapping[DeliveryState, str]] = {
    DeliveryState.WAITING: "待发送",
    DeliveryState.DELIVERED: "已送达",
    DeliveryState.FAILED: "失败",
    DeliveryState.WITHDRAWN: "已撤回",
}
_BADGES: Final[Mapping[DeliveryState, str]] = {
    DeliveryState.WAITING: "hold",
    DeliveryState.DELIVERED: "ok",
    DeliveryState.FAILED: "over",
    DeliveryState.WITHDRAWN: "hold",
}

RETRY_DELAYS_SECONDS: Final = (30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0)
"""Delay after each failed attempt; a delivery fails when no delay is left."""
ATTEMPTS_MAX: Final = len(RETRY_DELAYS_SECONDS) + 1


def retry_delay(attempts: int, delays: Sequence[float] = RETRY_DELAYS_SECONDS) -> float | None:
    """Return the seconds until the next attempt, or None if `attempts` included the last one."""
    return delays[attempts - 1] if attempts <= len(delays) else None
