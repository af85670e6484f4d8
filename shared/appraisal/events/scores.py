"""Events of topic `scores`, published by scoring."""

from decimal import Decimal
from typing import ClassVar

from shared.appraisal.events.base import Event


class ScoreChanged(Event, frozen=True, kw_only=True):
    """试算得分 of a unit, at most once a second.

    Points are 0–100, None if the sample is too small to rank.
    """

    topic: ClassVar[str] = "scores"
    name: ClassVar[str] = "score.changed.v1"
    campaign_id: str
    unit_id: str
    total: Decimal | None
    components: dict[str, Decimal | None]
    scheme_version: str

    @property
    def key(self) -> str:
        return f"{self.campaign_id}:{self.unit_id}"
