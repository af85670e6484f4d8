"""Events of topic `visits`, published by intake."""

from datetime import date
from typing import ClassVar
from uuid import UUID

import msgspec

from shared.appraisal.events.base import Event
from shared.appraisal.labels import Severity, VisitMode


class VisitFinding(msgspec.Struct, frozen=True, kw_only=True):
    """巡查发现的问题. `item_id` is the checklist item; the summary contains no personal data."""

    finding_id: UUID
    item_id: str
    severity: Severity
    redacted_summary: str


class VisitSubmitted(Event, frozen=True, kw_only=True):
    """明察暗访. Carries the day of the visit, never the inspector or the hour.

    `passed` holds the ids of the checklist items that were found in order.
    """

    topic: ClassVar[str] = "visits"
    name: ClassVar[str] = "visit.submitted.v1"
    visit_id: UUID
    number: str
    campaign_id: str
    unit_id: str
    mode: VisitMode
    visited_on: date
    passed: tuple[str, ...]
    findings: tuple[VisitFinding, ...]
    photos: int = 0

    @property
    def key(self) -> str:
        return str(self.visit_id)
