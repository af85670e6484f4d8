"""The facts that travel: one class per fact, with its topic, its name on the wire and its key.

A fact is past tense and immutable. Adding an optional field is fine; changing a meaning is a new
class with the next version in its name. Nothing here may carry a person's name, contact or the
complainant's own words (诉求原文): only the redacted summary (转办摘要) leaves intake. Bodies are
JSON; the envelope is CloudEvents 1.0 in binary mode (`shared.bus`).
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec

from shared.appraisal.labels import (
    CaseFinding,
    CaseSource,
    ComplaintChannel,
    ComplaintKind,
    Severity,
    Urgency,
    VisitMode,
)


class Rejected(Exception):
    """The domain says no, with a sentence (Chinese) that the person at the door can read.

    Pages and APIs answer `status`; a handler parks the event with the sentence as its reason.
    """

    def __init__(self, sentence: str, *, status: int = 409, field: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence, self.status, self.field = sentence, status, field


class DependencyMissing(Exception):
    """What another topic brings is not here yet: try again shortly, park after the last attempt."""


Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""An aware instant; one without a time zone is refused when it is read."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact. `occurred_at` is the legal time at which it became true (`app_now()`), aware UTC."""

    topic: ClassVar[str] = ""
    name: ClassVar[str] = ""
    single_event: ClassVar[bool] = False
    """An aggregate that ever has this one event only: its version is 1 and no order has to be kept.
    """

    occurred_at: Instant

    @property
    def key(self) -> str:
        """Aggregate id; also the Kafka key, so that one aggregate stays in one partition."""
        raise NotImplementedError


# ── complaints (intake) ───────────────────────────────────────────────────────────────────────────


class _ComplaintEvent(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = "complaints"
    complaint_id: UUID

    @property
    def key(self) -> str:
        return str(self.complaint_id)


class ComplaintRegistered(_ComplaintEvent, frozen=True, kw_only=True):
    """受理登记. `redacted_summary` is the redacted summary (转办摘要), checked for personal data
    before it was emitted.
    """

    name: ClassVar[str] = "complaint.registered.v1"
    number: str
    campaign_id: str
    channel: ComplaintChannel
    kind: ComplaintKind
    urgency: Urgency
    unit_id: str | None
    problem_item: str | None
    redacted_summary: str
    real_name: bool
    received_at: Instant


class ComplaintRepeated(_ComplaintEvent, frozen=True, kw_only=True):
    """重复来电: somebody reported the same matter again; `repeats` counts them, the first report
    not included.
    """

    name: ClassVar[str] = "complaint.repeated.v1"
    campaign_id: str
    repeats: int


class ComplaintRated(_ComplaintEvent, frozen=True, kw_only=True):
    """来件人评价 after closing. `option` is the number of the scheme's satisfaction option (1 满意
    … 9 不了解).
    """

    name: ClassVar[str] = "complaint.rated.v1"
    campaign_id: str
    option: int


# ── ballots (intake) ──────────────────────────────────────────────────────────────────────────────


class BallotSubmitted(Event, frozen=True, kw_only=True):
    """测评票. `answers` are triples (unit_no, item_no, option_no) in the numbers of the campaign
    and its scheme.

    Neither a person, nor a token, nor an exact time goes with a ballot: `occurred_at` is cut to the
    hour.
    """

    topic: ClassVar[str] = "ballots"
    name: ClassVar[str] = "ballot.submitted.v1"
    single_event: ClassVar[bool] = True
    ballot_id: UUID
    campaign_id: str
    instrument: str
    group: str
    point: str | None
    answers: tuple[tuple[int, int, int], ...]

    @property
    def key(self) -> str:
        return str(self.ballot_id)


# ── visits (intake) ───────────────────────────────────────────────────────────────────────────────


class VisitFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A negative finding (巡查发现的问题). `item_id` is the checklist item, `redacted_summary` free of
    personal data.
    """

    finding_id: UUID
    item_id: str
    severity: Severity
    redacted_summary: str


class VisitSubmitted(Event, frozen=True, kw_only=True):
    """明察暗访. Only the day is told, never the inspector or the hour. `passed`: ids of checklist
    items found in order.
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


# ── cases and obligations (casework) ──────────────────────────────────────────────────────────────


class DeadlineSet(msgspec.Struct, frozen=True, kw_only=True):
    """A deadline of a case: `kind` as in the scheme's case rules (assign, accept, handle, review
    …), instants UTC.
    """

    kind: str
    due_at: Instant
    warn_at: Instant
    provisional: bool = False


class CaseEvent(Event, frozen=True, kw_only=True):
    """What every event of a case says. `unit_id` is the responsible unit (承办单位), None while
    nobody is.
    """

    topic: ClassVar[str] = "cases"
    case_id: UUID
    number: str
    campaign_id: str
    unit_id: str | None

    @property
    def key(self) -> str:
        return str(self.case_id)


class CaseOpened(CaseEvent, frozen=True, kw_only=True):
    """立案 (待受理). `source_id` is the complaint or the finding it came from."""

    name: ClassVar[str] = "case.opened.v1"
    source: CaseSource
    source_id: UUID
    kind: ComplaintKind
    urgency: Urgency
    problem_item: str | None
    deadlines: tuple[DeadlineSet, ...]


class CaseAssigned(CaseEvent, frozen=True, kw_only=True):
    """分办 to the responsible unit (已分办)."""

    name: ClassVar[str] = "case.assigned.v1"
    deadlines: tuple[DeadlineSet, ...]


class CaseNotAccepted(CaseEvent, frozen=True, kw_only=True):
    """不予受理, with the reason code of the rules and the sentence the public reads."""

    name: ClassVar[str] = "case.not_accepted.v1"
    reason: str
    explanation: str


class CaseAccepted(CaseEvent, frozen=True, kw_only=True):
    """签收 by the unit (办理中)."""

    name: ClassVar[str] = "case.accepted.v1"
    late: bool
    deadlines: tuple[DeadlineSet, ...]


class CaseReturned(CaseEvent, frozen=True, kw_only=True):
    """退回 by the unit that says it is not responsible; goes back to be assigned again."""

    name: ClassVar[str] = "case.returned.v1"
    from_unit_id: str
    reason: str
    returns: int


class CaseExtended(CaseEvent, frozen=True, kw_only=True):
    """延期 approved: the handling deadline moved."""

    name: ClassVar[str] = "case.extended.v1"
    deadlines: tuple[DeadlineSet, ...]


class CaseRescheduled(CaseEvent, frozen=True, kw_only=True):
    """期限重算: a new holiday notice moved deadlines of this case."""

    name: ClassVar[str] = "case.rescheduled.v1"
    calendar_version: str
    deadlines: tuple[DeadlineSet, ...]


class CaseSubmitted(CaseEvent, frozen=True, kw_only=True):
    """办理结果送审 (待审核)."""

    name: ClassVar[str] = "case.submitted.v1"
    late: bool


class CaseSentBack(CaseEvent, frozen=True, kw_only=True):
    """审核退回修改: back to 办理中."""

    name: ClassVar[str] = "case.sent_back.v1"
    reason: str


class CaseClosed(CaseEvent, frozen=True, kw_only=True):
    """办结. `finding`: 属实 / 部分属实 / 不属实; `reply` is the public reply, checked for personal
    data.
    """

    name: ClassVar[str] = "case.closed.v1"
    source: CaseSource
    source_id: UUID
    late: bool
    finding: CaseFinding
    working_days: int
    reply: str


class CaseStruckOff(CaseEvent, frozen=True, kw_only=True):
    """销号: the supervisor verified the rectification; the entry leaves the ledger."""

    name: ClassVar[str] = "case.struck_off.v1"


class CaseUrged(CaseEvent, frozen=True, kw_only=True):
    """催办: the supervisor urges the responsible unit; `urges` counts them. No deadline moves."""

    name: ClassVar[str] = "case.urged.v1"
    urges: int


class DeadlineWarned(CaseEvent, frozen=True, kw_only=True):
    """临期: a deadline of this case is near."""

    name: ClassVar[str] = "case.deadline_warned.v1"
    deadline: str
    due_at: Instant


class DeadlineLapsed(CaseEvent, frozen=True, kw_only=True):
    """超期: a deadline passed by the database's clock. Told exactly once for each deadline."""

    name: ClassVar[str] = "case.deadline_lapsed.v1"
    deadline: str
    due_at: Instant


class ObligationEvent(Event, frozen=True, kw_only=True):
    """An obligation of a unit with a due date (方案、自评报告 …). `obligation_rule_id` is the rule's id in the
    scheme.
    """

    topic: ClassVar[str] = "cases"
    obligation_id: UUID
    campaign_id: str
    unit_id: str
    obligation_rule_id: str
    due_at: Instant

    @property
    def key(self) -> str:
        return str(self.obligation_id)


class ObligationWarned(ObligationEvent, frozen=True, kw_only=True):
    """临期: the obligation falls due soon."""

    name: ClassVar[str] = "obligation.warned.v1"


class ObligationLapsed(ObligationEvent, frozen=True, kw_only=True):
    """逾期: the due date passed and nothing was handed in."""

    name: ClassVar[str] = "obligation.lapsed.v1"


class ObligationFulfilled(ObligationEvent, frozen=True, kw_only=True):
    """已报送: the unit handed in what it owed, in time or late."""

    name: ClassVar[str] = "obligation.fulfilled.v1"
    late: bool


# ── campaigns and scores (scoring) ────────────────────────────────────────────────────────────────


class UnitEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A unit in a campaign's register. `unit_no` is its small number on ballots; aliases are other
    names it is known by.
    """

    unit_id: str
    unit_no: int
    name: str
    category: str
    aliases: tuple[str, ...] = ()


class CampaignPublished(Event, frozen=True, kw_only=True):
    """评议活动 with its scheme and units, whole. A later version of the same campaign replaces what
    hearers keep.
    """

    topic: ClassVar[str] = "campaigns"
    name: ClassVar[str] = "campaign.published.v1"
    campaign_id: str
    title: str
    year: int
    scheme: str
    """JSON of `shared.schemes.Scheme`, byte-stable."""
    scheme_version: str
    units: tuple[UnitEntry, ...]

    @property
    def key(self) -> str:
        return self.campaign_id


class ScoreChanged(Event, frozen=True, kw_only=True):
    """试算得分 of a unit, at most once a second. Points 0–100; None where the sample is too small
    to rank.
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


# ── notifications (notify) ────────────────────────────────────────────────────────────────────────


class _NotificationEvent(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = "notifications"
    notification_id: UUID
    kind: str

    @property
    def key(self) -> str:
        return str(self.notification_id)


class NotificationIssued(_NotificationEvent, frozen=True, kw_only=True):
    """通知: for the people of these roles (in `unit_id`, when given), about a subject, without a
    word of content.
    """

    name: ClassVar[str] = "notification.issued.v1"
    roles: tuple[str, ...]
    unit_id: str | None
    subject_id: str


class NotificationDelivered(_NotificationEvent, frozen=True, kw_only=True):
    """已送达: a channel outside the house took the notification."""

    name: ClassVar[str] = "notification.delivered.v1"
    channel: str
    attempts: int


class NotificationFailed(_NotificationEvent, frozen=True, kw_only=True):
    """Given up after the last attempt."""

    name: ClassVar[str] = "notification.failed.v1"
    channel: str
    attempts: int


# ── the bus itself ────────────────────────────────────────────────────────────────────────────────


class ResendRequested(Event, frozen=True, kw_only=True):
    """A hearer misses versions of an aggregate; whoever owns the topic sends them again from its
    outbox.
    """

    topic: ClassVar[str] = "resends"
    name: ClassVar[str] = "resend.requested.v1"
    single_event: ClassVar[bool] = True
    request_id: UUID
    wanted_topic: str
    wanted_key: str
    from_version: int
    to_version: int

    @property
    def key(self) -> str:
        return str(self.request_id)


def _events_of(cls: type[Event]) -> list[type[Event]]:
    return [
        c
        for sub in cls.__subclasses__()
        for c in ([sub] if "name" in sub.__dict__ else []) + _events_of(sub)
    ]


EVENTS: dict[str, type[Event]] = {cls.name: cls for cls in _events_of(Event)}
"""Every fact by its name on the wire."""

TOPICS: tuple[str, ...] = tuple(sorted({cls.topic for cls in EVENTS.values()}))

OWNERS: dict[str, str] = {
    "complaints": "intake",
    "ballots": "intake",
    "visits": "intake",
    "cases": "casework",
    "campaigns": "scoring",
    "scores": "scoring",
    "notifications": "notify",
}
"""Which service says a topic; only its outbox may hold events of it. `resends` is said by all."""

assert len(EVENTS) == len(_events_of(Event)), "two facts share a name on the wire"
assert OWNERS.keys() | {"resends"} == set(TOPICS), "every topic has an owner"


class Meta(msgspec.Struct, frozen=True):
    """Where an event stands: its envelope and its place in the log."""

    event_id: UUID
    type: str
    key: str
    version: int
    occurred_at: datetime
    topic: str
    partition: int
    offset: int


_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(cls) for name, cls in EVENTS.items()}


def encode(event: Event) -> bytes:
    """JSON bytes of an event's body."""
    return _encoder.encode(event)


def decode(name: str, body: bytes) -> Event:
    """The event of that wire name. Unknown fields are ignored.

    Raises KeyError for an unknown name, msgspec.DecodeError (a ValueError) for bytes that do not
    fit the contract.
    """
    return _decoders[name].decode(body)


def schemas(names: Sequence[str] | None = None) -> dict[str, object]:
    """JSON Schema 2020-12 of every event body, by wire name, self-contained with `$defs`."""
    return {name: msgspec.json.schema(EVENTS[name]) for name in names or sorted(EVENTS)}
