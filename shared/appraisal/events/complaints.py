"""Events of topic `complaints`, published by intake."""

from typing import ClassVar
from uuid import UUID

from shared.appraisal.events.base import Event, Instant
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency


class ComplaintEvent(Event, frozen=True, kw_only=True):
    """Base of the events of a complaint."""

    topic: ClassVar[str] = "complaints"
    complaint_id: UUID

    @property
    def key(self) -> str:
        return str(self.complaint_id)


class ComplaintRegistered(ComplaintEvent, frozen=True, kw_only=True):
    """受理登记. It carries no text: a person releases the redacted summary (转办摘要) first."""

    name: ClassVar[str] = "complaint.registered.v1"
    number: str
    campaign_id: str
    channel: ComplaintChannel
    kind: ComplaintKind
    urgency: Urgency
    unit_id: str | None
    problem_item: str | None
    real_name: bool
    received_at: Instant


class ComplaintSummaryReleased(ComplaintEvent, frozen=True, kw_only=True):
    """转办摘要放行: a person released the text that a unit may read.

    `release` counts from 1; a later release corrects the earlier ones.
    """

    name: ClassVar[str] = "complaint.summary_released.v1"
    campaign_id: str
    release: int
    redacted_summary: str


class ComplaintUrgencyRaised(ComplaintEvent, frozen=True, kw_only=True):
    """提高紧急程度: the complaint is handled with at least this urgency from now on."""

    name: ClassVar[str] = "complaint.urgency_raised.v1"
    campaign_id: str
    urgency: Urgency


class ComplaintAccusedRecorded(ComplaintEvent, frozen=True, kw_only=True):
    """被举报单位登记: a person recorded which bodies a 举报 accuses, or that none can be named.

    `record` counts from 1; a later record replaces the earlier ones. `unit_ids` is empty if no body
    of the register can be named.
    """

    name: ClassVar[str] = "complaint.accused_recorded.v1"
    campaign_id: str
    record: int
    unit_ids: tuple[str, ...]


class ComplaintMerged(ComplaintEvent, frozen=True, kw_only=True):
    """并入: a reviewer found that the complaint repeats `into_id`; its own case ends."""

    name: ClassVar[str] = "complaint.merged.v1"
    campaign_id: str
    into_id: UUID


class ComplaintUnmerged(ComplaintEvent, frozen=True, kw_only=True):
    """撤销并入: the complaint is a matter of its own again; its case goes on as it was."""

    name: ClassVar[str] = "complaint.unmerged.v1"
    campaign_id: str


class ComplaintRepeated(ComplaintEvent, frozen=True, kw_only=True):
    """重复来电: how many other reports repeat this complaint, after a merger or its undoing."""

    name: ClassVar[str] = "complaint.repeated.v1"
    campaign_id: str
    repeats: int


class ComplaintRated(ComplaintEvent, frozen=True, kw_only=True):
    """来件人评价 after closing. `option` is the number of a scheme option (1 满意 … 9 不了解)."""

    name: ClassVar[str] = "complaint.rated.v1"
    campaign_id: str
    option: int
