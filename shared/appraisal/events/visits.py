"""Events of topic `visits`, published by intake.

None of them carries the inspector, the round or the minute of a visit. Nothing is published about
a covert round (暗访) before it has ended.
"""

from datetime import date
from typing import ClassVar
from uuid import UUID

import msgspec

from shared.appraisal.events.base import Event
from shared.appraisal.labels import Severity, VisitMode


class VisitEvent(Event, frozen=True, kw_only=True):
    """Base of the events of a visit."""

    topic: ClassVar[str] = "visits"
    visit_id: UUID
    campaign_id: str

    @property
    def key(self) -> str:
        return str(self.visit_id)


class FindingRegistered(VisitEvent, frozen=True, kw_only=True):
    """巡查发现的问题. It carries no text: a person releases the redacted summary first."""

    name: ClassVar[str] = "finding.registered.v1"
    finding_id: UUID
    number: str
    unit_id: str
    item_id: str
    severity: Severity


class FindingSummaryReleased(VisitEvent, frozen=True, kw_only=True):
    """移交: the text that the unit may read, published when its visit is handed over.

    `release` counts from 1; a later release corrects the earlier ones. `received_on` is the day
    that the unit is shown: of the hand-over, or of the visit if the scheme says so.
    """

    name: ClassVar[str] = "finding.summary_released.v1"
    finding_id: UUID
    release: int
    redacted_summary: str
    received_on: date


class VisitFinding(msgspec.Struct, frozen=True, kw_only=True):
    """巡查发现的问题 as it is scored. `item_id` is the checklist item."""

    finding_id: UUID
    item_id: str
    severity: Severity


class VisitHandedOver(VisitEvent, frozen=True, kw_only=True):
    """明察暗访移交: the visit counts from now on. The texts of its findings were released.

    `passed` holds the ids of the checklist items that were found in order.
    """

    name: ClassVar[str] = "visit.handed_over.v1"
    number: str
    unit_id: str
    mode: VisitMode
    passed: tuple[str, ...]
    findings: tuple[VisitFinding, ...]
    photos: int = 0
