"""The events that services exchange: one class each, with its topic, wire name and key.

An event is an immutable, past-tense fact. To add one, define its class in the module of its topic
and export it here. Adding an optional field is compatible; a changed meaning is a new class with
the next version in its name. No event carries a person's name, contact data or the complaint text
(诉求原文): only the redacted summary (转办摘要) leaves intake. Bodies are JSON; the envelope is
CloudEvents 1.0 in binary mode (`shared.messaging.envelope`).
"""

from shared.appraisal.events.ballots import (
    BallotsHeld,
    BallotsHoldEnded,
    BallotsReleased,
    BallotsVoided,
    ReleasedBallot,
)
from shared.appraisal.events.base import Event, Instant, Meta
from shared.appraisal.events.campaigns import CampaignPublished, UnitEntry
from shared.appraisal.events.cases import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseEvent,
    CaseExtended,
    CaseMerged,
    CaseNotAccepted,
    CaseOpened,
    CasePaused,
    CaseReleased,
    CaseRescheduled,
    CaseReturned,
    CaseSentBack,
    CaseStruckOff,
    CaseSubmitted,
    CaseSummaryCorrected,
    CaseUnitsExcluded,
    CaseUnmerged,
    CaseUrged,
    CaseWithdrawn,
    DeadlineLapsed,
    DeadlineSet,
    DeadlineWarned,
)
from shared.appraisal.events.checkpoints import CheckpointPublished
from shared.appraisal.events.complaints import (
    ComplaintAccusedRecorded,
    ComplaintEvent,
    ComplaintMerged,
    ComplaintRated,
    ComplaintRegistered,
    ComplaintRepeated,
    ComplaintSummaryReleased,
    ComplaintUnmerged,
    ComplaintUrgencyRaised,
)
from shared.appraisal.events.notifications import (
    NotificationDelivered,
    NotificationEvent,
    NotificationFailed,
    NotificationIssued,
)
from shared.appraisal.events.obligations import (
    ObligationEvent,
    ObligationFulfilled,
    ObligationLapsed,
    ObligationWarned,
)
from shared.appraisal.events.organisations import OrganisationPublished
from shared.appraisal.events.registry import (
    CONSUMERS,
    EVENTS,
    OWNERS,
    SHARED_TOPICS,
    TOPICS,
    consumed_topics,
    decode,
    encode,
    owned_topics,
    schemas,
)
from shared.appraisal.events.resends import ResendRequested
from shared.appraisal.events.scores import ScoreChanged
from shared.appraisal.events.visits import (
    FindingRegistered,
    FindingSummaryReleased,
    VisitEvent,
    VisitFinding,
    VisitHandedOver,
)

__all__ = [
    "CONSUMERS",
    "EVENTS",
    "OWNERS",
    "SHARED_TOPICS",
    "TOPICS",
    "BallotsHeld",
    "BallotsHoldEnded",
    "BallotsReleased",
    "BallotsVoided",
    "CampaignPublished",
    "CaseAccepted",
    "CaseAssigned",
    "CaseClosed",
    "CaseEvent",
    "CaseExtended",
    "CaseMerged",
    "CaseNotAccepted",
    "CaseOpened",
    "CasePaused",
    "CaseReleased",
    "CaseRescheduled",
    "CaseReturned",
    "CaseSentBack",
    "CaseStruckOff",
    "CaseSubmitted",
    "CaseSummaryCorrected",
    "CaseUnitsExcluded",
    "CaseUnmerged",
    "CaseUrged",
    "CaseWithdrawn",
    "CheckpointPublished",
    "ComplaintAccusedRecorded",
    "ComplaintEvent",
    "ComplaintMerged",
    "ComplaintRated",
    "ComplaintRegistered",
    "ComplaintRepeated",
    "ComplaintSummaryReleased",
    "ComplaintUnmerged",
    "ComplaintUrgencyRaised",
    "DeadlineLapsed",
    "DeadlineSet",
    "DeadlineWarned",
    "Event",
    "FindingRegistered",
    "FindingSummaryReleased",
    "Instant",
    "Meta",
    "NotificationDelivered",
    "NotificationEvent",
    "NotificationFailed",
    "NotificationIssued",
    "ObligationEvent",
    "ObligationFulfilled",
    "ObligationLapsed",
    "ObligationWarned",
    "OrganisationPublished",
    "ReleasedBallot",
    "ResendRequested",
    "ScoreChanged",
    "UnitEntry",
    "VisitEvent",
    "VisitFinding",
    "VisitHandedOver",
    "consumed_topics",
    "decode",
    "encode",
    "owned_topics",
    "schemas",
]
