"""Events of topic `cases` about cases, published by casework."""

from typing import ClassVar
from uuid import UUID

import msgspec

from shared.appraisal.events.base import Event, Instant
from shared.appraisal.labels import CaseFinding, CaseSource, ComplaintKind, Urgency


class DeadlineSet(msgspec.Struct, frozen=True, kw_only=True):
    """A deadline of a case. `kind` is a `CaseStage` value; instants are UTC."""

    kind: str
    due_at: Instant
    warn_at: Instant
    provisional: bool = False


class CaseEvent(Event, frozen=True, kw_only=True):
    """Base of the events of a case. `unit_id`: the responsible unit, None until assigned."""

    topic: ClassVar[str] = "cases"
    case_id: UUID
    number: str
    campaign_id: str
    unit_id: str | None

    @property
    def key(self) -> str:
        return str(self.case_id)


class CaseOpened(CaseEvent, frozen=True, kw_only=True):
    """立案 (待受理). `source_id` is the complaint or the finding that the case was opened from.

    A case whose redacted summary still awaits its release has a deadline of stage `release`.
    """

    name: ClassVar[str] = "case.opened.v1"
    source: CaseSource
    source_id: UUID
    kind: ComplaintKind
    urgency: Urgency
    problem_item: str | None
    deadlines: tuple[DeadlineSet, ...]


class CaseReleased(CaseEvent, frozen=True, kw_only=True):
    """放行: the redacted summary was released; the case waits for a reviewer to assign it."""

    name: ClassVar[str] = "case.released.v1"


class CaseSummaryCorrected(CaseEvent, frozen=True, kw_only=True):
    """更正摘要: a later release replaced the redacted summary of a case that has a unit."""

    name: ClassVar[str] = "case.summary_corrected.v1"


class CaseAssigned(CaseEvent, frozen=True, kw_only=True):
    """分办: the case was assigned to the responsible unit (已分办)."""

    name: ClassVar[str] = "case.assigned.v1"
    deadlines: tuple[DeadlineSet, ...]


class CaseUnitsExcluded(CaseEvent, frozen=True, kw_only=True):
    """回避: these bodies, and no others, may neither handle nor learn of the case from now on.

    Published with the opening if there are any, and whenever the accused or the register of
    organisations changes them.
    """

    name: ClassVar[str] = "case.units_excluded.v1"
    excluded_unit_ids: tuple[str, ...]


class CaseWithdrawn(CaseEvent, frozen=True, kw_only=True):
    """回避收回: the unit that had the case is excluded now; the case waits to be assigned again."""

    name: ClassVar[str] = "case.withdrawn.v1"
    from_unit_id: str
    deadlines: tuple[DeadlineSet, ...]


class CaseMerged(CaseEvent, frozen=True, kw_only=True):
    """并案: the case repeats another one, which goes on; this one ends without a result."""

    name: ClassVar[str] = "case.merged.v1"


class CaseUnmerged(CaseEvent, frozen=True, kw_only=True):
    """撤销并案: the case goes on with the unit and the deadlines that it had."""

    name: ClassVar[str] = "case.unmerged.v1"
    deadlines: tuple[DeadlineSet, ...]


class CaseNotAccepted(CaseEvent, frozen=True, kw_only=True):
    """不予受理, with the reason code of the rules and the explanation that the public reads."""

    name: ClassVar[str] = "case.not_accepted.v1"
    reason: str
    explanation: str


class CaseAccepted(CaseEvent, frozen=True, kw_only=True):
    """签收: the unit accepted the case (办理中)."""

    name: ClassVar[str] = "case.accepted.v1"
    late: bool
    deadlines: tuple[DeadlineSet, ...]


class CaseReturned(CaseEvent, frozen=True, kw_only=True):
    """退回: the unit is not responsible; the case waits to be assigned again."""

    name: ClassVar[str] = "case.returned.v1"
    from_unit_id: str
    reason: str
    returns: int


class CaseExtended(CaseEvent, frozen=True, kw_only=True):
    """延期: an extension was approved and the handling deadline moved."""

    name: ClassVar[str] = "case.extended.v1"
    deadlines: tuple[DeadlineSet, ...]


class CasePaused(CaseEvent, frozen=True, kw_only=True):
    """暂停计时: the supervisor stopped the handling deadline; it resumes by itself at `until`.

    `reason` is a code of the rules. When it resumes, `CaseRescheduled` brings the new deadline.
    """

    name: ClassVar[str] = "case.paused.v1"
    reason: str
    until: Instant


class CaseRescheduled(CaseEvent, frozen=True, kw_only=True):
    """期限重算: a new holiday notice or the end of a pause moved deadlines of this case."""

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
    """办结. `reply` is the public reply, checked for personal data."""

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
    """催办: the supervisor urged the unit for the `urges`-th time. No deadline moves."""

    name: ClassVar[str] = "case.urged.v1"
    urges: int


class DeadlineWarned(CaseEvent, frozen=True, kw_only=True):
    """临期: a deadline of this case is near."""

    name: ClassVar[str] = "case.deadline_warned.v1"
    deadline: str
    due_at: Instant


class DeadlineLapsed(CaseEvent, frozen=True, kw_only=True):
    """超期: a deadline passed by the database's clock. Published once for each deadline."""

    name: ClassVar[str] = "case.deadline_lapsed.v1"
    deadline: str
    due_at: Instant
