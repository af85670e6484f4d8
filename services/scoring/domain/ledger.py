"""Ledger entries: one for each fact of an event that can change a score.

An entry records what happened, not what it costs. The scheme sets the cost, so a later version of
the scheme can be applied to the same entries. Entries of a visit, rating, decision or score sheet
are superseded by those of a higher version of the same subject.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from shared.appraisal.errors import Rejected
from shared.appraisal.events import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseEvent,
    CaseOpened,
    CasePaused,
    CaseReturned,
    CaseSentBack,
    ComplaintRated,
    DeadlineLapsed,
    Event,
    Meta,
    ObligationLapsed,
    VisitHandedOver,
)
from shared.appraisal.labels import LabelledEnum
from shared.appraisal.schemes import Checklist, Scheme


class ScoreSource(LabelledEnum):
    """来源: what caused a score to change."""

    BALLOT = "ballot", "问卷"
    VISIT = "visit", "暗访"
    CASE = "case", "办理"
    RATING = "rating", "来件人评价"
    OBLIGATION = "obligation", "时限义务"
    SHEET = "sheet", "评分表"
    DECISION = "decision", "认定"
    RULES = "rules", "规则"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a ledger entry records.

    `label`: for people; a deadline, finding, obligation or decision adds its detail. `replaceable`:
    only the highest version of a subject counts.
    """

    source: ScoreSource
    label: str
    replaceable: bool = False


MEASURES: Final[Mapping[str, Measure]] = {
    "case_opened": Measure(ScoreSource.CASE, "立案"),
    "case_assigned": Measure(ScoreSource.CASE, "分办"),
    "case_accepted": Measure(ScoreSource.CASE, "签收"),
    "case_paused": Measure(ScoreSource.CASE, "暂停计时"),
    "case_returned": Measure(ScoreSource.CASE, "退回"),
    "case_sent_back": Measure(ScoreSource.CASE, "办理结果退回重办"),
    "case_closed": Measure(ScoreSource.CASE, "办结"),
    "deadline_lapsed": Measure(ScoreSource.CASE, "超期"),
    "rated": Measure(ScoreSource.RATING, "来件人评价", replaceable=True),
    "visit": Measure(ScoreSource.VISIT, "检查记录生效", replaceable=True),
    "finding": Measure(ScoreSource.VISIT, "检查发现", replaceable=True),
    "obligation_lapsed": Measure(ScoreSource.OBLIGATION, "逾期"),
    "sheet": Measure(ScoreSource.SHEET, "评分表登记", replaceable=True),
    "decision": Measure(ScoreSource.DECISION, "认定", replaceable=True),
    "revoked": Measure(ScoreSource.DECISION, "撤销认定", replaceable=True),
}
"""Every measure, and no other place lists them."""
REPLACEABLE: Final = tuple(name for name, measure in MEASURES.items() if measure.replaceable)
"""Measures of which only the highest version of a subject counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger, identified by (`event_id`, `part`).

    `subject_id`: the case, visit, complaint, obligation, sheet or decision. `detail` narrows the
    measure: kind of the deadline, severity of the finding, rule of the obligation, instrument of
    the visit or sheet, rule of the decision. `item`: checklist item, or number of a sheet's item.
    `kind`: kind of the case, known from its opening. `source_id`: the complaint or finding that a
    case came from.
    """

    event_id: UUID
    part: int = 0
    measure: str
    subject_id: UUID
    version: int
    occurred_at: datetime
    unit_no: int | None = None
    detail: str = ""
    item: str = ""
    late: bool | None = None
    option_no: int | None = None
    points: Decimal | None = None
    kind: str | None = None
    source_id: UUID | None = None
    number: str = ""
    text: str = ""

    @property
    def source(self) -> ScoreSource:
        """The source of the changes that this entry causes."""
        return MEASURES[self.measure].source

    @property
    def sort_key(self) -> tuple[datetime, UUID, int]:
        """The same order on every machine: time of the event, then its id."""
        return self.occurred_at, self.event_id, self.part


UnitNumbers = Mapping[str, int]
"""Unit id → unit_no in the campaign's register."""


@dataclass(frozen=True, slots=True)
class EntryContext:
    """What entries are built from besides their event."""

    meta: Meta
    scheme: Scheme
    units: UnitNumbers

    def entry(self, event: Event, **values: Any) -> LedgerEntry:
        """Return an entry with the fields that every event has."""
        return LedgerEntry(
            event_id=self.meta.event_id,
            version=self.meta.version,
            occurred_at=event.occurred_at,
            **values,
        )

    def case_entry(self, event: CaseEvent, measure: str, **values: Any) -> LedgerEntry:
        """Return an entry of a case, by default of the unit that handles it."""
        unit_id = values.pop("unit_id", event.unit_id)
        return self.entry(
            event,
            measure=measure,
            subject_id=event.case_id,
            unit_no=self.unit_no(unit_id),
            number=event.number,
            **values,
        )

    def unit_no(self, unit_id: str | None) -> int | None:
        """Return the number of a unit, None for no unit. Raises Rejected for an unknown one."""
        if unit_id is None:
            return None
        if unit_id not in self.units:
            raise Rejected("单位不在本次评议的参评名册中")
        return self.units[unit_id]


Entries = Iterator[LedgerEntry]


def ledger_entries(
    event: Event,
    meta: Meta,
    *,
    scheme: Scheme,
    units: UnitNumbers,
) -> list[LedgerEntry]:
    """Return the ledger entries of an event.

    Raises Rejected for a unit, option or checklist item that the campaign does not have.
    """
    build = _BUILDERS[type(event)]
    return list(build(event, EntryContext(meta, scheme, units)))


def _case_opened(event: CaseOpened, context: EntryContext) -> Entries:
    yield context.case_entry(event, "case_opened", kind=event.kind.value, source_id=event.source_id)


def _case_assigned(event: CaseAssigned, context: EntryContext) -> Entries:
    yield context.case_entry(event, "case_assigned")


def _case_accepted(event: CaseAccepted, context: EntryContext) -> Entries:
    yield context.case_entry(event, "case_accepted", late=event.late)


def _case_paused(event: CasePaused, context: EntryContext) -> Entries:
    yield context.case_entry(event, "case_paused", detail=event.reason)


def _case_returned(event: CaseReturned, context: EntryContext) -> Entries:
    yield context.case_entry(
        event, "case_returned", unit_id=event.from_unit_id, detail=event.reason
    )


def _case_sent_back(event: CaseSentBack, context: EntryContext) -> Entries:
    yield context.case_entry(event, "case_sent_back")


def _case_closed(event: CaseClosed, context: EntryContext) -> Entries:
    yield context.case_entry(
        event,
        "case_closed",
        late=event.late,
        source_id=event.source_id,
        detail=event.finding,
    )


def _deadline_lapsed(event: DeadlineLapsed, context: EntryContext) -> Entries:
    yield context.case_entry(event, "deadline_lapsed", detail=event.deadline)


def _obligation_lapsed(event: ObligationLapsed, context: EntryContext) -> Entries:
    rule_id = event.obligation_rule_id
    rule = context.scheme.obligation(rule_id)
    yield context.entry(
        event,
        measure="obligation_lapsed",
        subject_id=event.obligation_id,
        unit_no=context.unit_no(event.unit_id),
        detail=rule_id,
        text=rule.label if rule else rule_id,
    )


def _complaint_rated(event: ComplaintRated, context: EntryContext) -> Entries:
    if context.scheme.option(event.option) is None:
        raise Rejected("评价的选项不属于本次评议")
    yield context.entry(
        event, measure="rated", subject_id=event.complaint_id, option_no=event.option
    )


def _visit_handed_over(event: VisitHandedOver, context: EntryContext) -> Entries:
    """Yield an entry for the visit and one for each finding."""
    checklist = _checklist(event, context.scheme)
    common: dict[str, Any] = {
        "subject_id": event.visit_id,
        "number": event.number,
        "unit_no": context.unit_no(event.unit_id),
    }
    yield context.entry(event, measure="visit", detail=checklist.key, text=event.mode, **common)
    findings = sorted(event.findings, key=lambda finding: finding.finding_id)
    for part, finding in enumerate(findings, start=1):
        yield context.entry(
            event,
            part=part,
            measure="finding",
            detail=finding.severity,
            item=finding.item_id,
            text=_label_of(checklist, finding.item_id),
            **common,
        )


def _label_of(checklist: Checklist, item_id: str) -> str:
    item = checklist.item(item_id)
    return item.label if item else item_id


def _checklist(event: VisitHandedOver, scheme: Scheme) -> Checklist:
    """Return the checklist that has all the visit's items."""
    for checklist in scheme.checklists:
        if _used_items(event) <= {item.id for item in checklist.items}:
            return checklist
    raise Rejected("检查记录含有本次评议检查表没有的项目")


def _used_items(event: VisitHandedOver) -> set[str]:
    return {*event.passed, *(finding.item_id for finding in event.findings)}


EntryBuilder = Callable[[Any, EntryContext], Entries]
_BUILDERS: Final[Mapping[type[Event], EntryBuilder]] = {
    CaseOpened: _case_opened,
    CaseAssigned: _case_assigned,
    CaseAccepted: _case_accepted,
    CasePaused: _case_paused,
    CaseReturned: _case_returned,
    CaseSentBack: _case_sent_back,
    CaseClosed: _case_closed,
    DeadlineLapsed: _deadline_lapsed,
    ObligationLapsed: _obligation_lapsed,
    ComplaintRated: _complaint_rated,
    VisitHandedOver: _visit_handed_over,
}
LEDGER_EVENTS: Final = tuple(_BUILDERS)
"""The events that the ledger records."""
