"""Ledger entries: one for each fact of an event that can change a score.

An entry records what happened, not what it costs. The scheme sets the cost, so a later version of
the scheme can be applied to the same entries. Entries of a visit, rating, decision or score sheet
are superseded by those of a higher version of the same subject.
"""

from collections.abc import Callable, Mapping
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
    CaseReturned,
    CaseSentBack,
    ComplaintRated,
    DeadlineLapsed,
    Event,
    Meta,
    ObligationLapsed,
    VisitFinding,
    VisitSubmitted,
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


SOURCES: Final[Mapping[str, ScoreSource]] = {
    "case_opened": ScoreSource.CASE,
    "case_assigned": ScoreSource.CASE,
    "case_accepted": ScoreSource.CASE,
    "case_returned": ScoreSource.CASE,
    "case_sent_back": ScoreSource.CASE,
    "case_closed": ScoreSource.CASE,
    "deadline_lapsed": ScoreSource.CASE,
    "rated": ScoreSource.RATING,
    "visit": ScoreSource.VISIT,
    "finding": ScoreSource.VISIT,
    "obligation_lapsed": ScoreSource.OBLIGATION,
    "sheet": ScoreSource.SHEET,
    "decision": ScoreSource.DECISION,
    "revoked": ScoreSource.DECISION,
}
"""Source of each measure."""
MEASURES: Final = tuple(SOURCES)
REPLACEABLE: Final = ("rated", "visit", "finding", "sheet", "decision", "revoked")
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
        return SOURCES[self.measure]

    @property
    def sort_key(self) -> tuple[datetime, UUID, int]:
        """The same order on every machine: time of the event, then its id."""
        return self.occurred_at, self.event_id, self.part


UnitNumbers = Mapping[str, int]
"""Unit id → unit_no in the campaign's register."""


def ledger_entries(
    event: Event, meta: Meta, *, scheme: Scheme, units: UnitNumbers
) -> list[LedgerEntry]:
    """Return the ledger entries of an event.

    Raises Rejected for a unit, option or checklist item that the campaign does not have.
    """
    return _BUILDERS[type(event)](event, meta, scheme, units)


def unit_number(units: UnitNumbers, unit_id: str | None) -> int | None:
    """Return the number of a unit, None for no unit. Raises Rejected for an unknown one."""
    if unit_id is None:
        return None
    if unit_id not in units:
        raise Rejected("单位不在本次评议的参评名册中")
    return units[unit_id]


def _case(event: CaseEvent, meta: Meta, units: UnitNumbers, **values: Any) -> list[LedgerEntry]:
    unit_id = values.pop("unit_id", event.unit_id)
    entry = LedgerEntry(
        event_id=meta.event_id,
        subject_id=event.case_id,
        version=meta.version,
        occurred_at=event.occurred_at,
        unit_no=unit_number(units, unit_id),
        number=event.number,
        **values,
    )
    return [entry]


def _opened(event: CaseOpened, meta: Meta, _: Scheme, units: UnitNumbers) -> list[LedgerEntry]:
    kind = event.kind.value
    return _case(event, meta, units, measure="case_opened", kind=kind, source_id=event.source_id)


def _assigned(event: CaseAssigned, meta: Meta, _: Scheme, units: UnitNumbers) -> list[LedgerEntry]:
    return _case(event, meta, units, measure="case_assigned")


def _accepted(event: CaseAccepted, meta: Meta, _: Scheme, units: UnitNumbers) -> list[LedgerEntry]:
    return _case(event, meta, units, measure="case_accepted", late=event.late)


def _returned(event: CaseReturned, meta: Meta, _: Scheme, units: UnitNumbers) -> list[LedgerEntry]:
    return _case(
        event,
        meta,
        units,
        measure="case_returned",
        unit_id=event.from_unit_id,
        detail=event.reason,
    )


def _sent_back(event: CaseSentBack, meta: Meta, _: Scheme, units: UnitNumbers) -> list[LedgerEntry]:
    return _case(event, meta, units, measure="case_sent_back")


def _closed(event: CaseClosed, meta: Meta, _: Scheme, units: UnitNumbers) -> list[LedgerEntry]:
    return _case(
        event,
        meta,
        units,
        measure="case_closed",
        late=event.late,
        source_id=event.source_id,
        detail=event.finding,
    )


def _lapsed(event: DeadlineLapsed, meta: Meta, _: Scheme, units: UnitNumbers) -> list[LedgerEntry]:
    return _case(event, meta, units, measure="deadline_lapsed", detail=event.deadline)


def _obligation_lapsed(
    event: ObligationLapsed, meta: Meta, scheme: Scheme, units: UnitNumbers
) -> list[LedgerEntry]:
    rule_id = event.obligation_rule_id
    rule = scheme.obligation(rule_id)
    entry = LedgerEntry(
        event_id=meta.event_id,
        measure="obligation_lapsed",
        subject_id=event.obligation_id,
        version=meta.version,
        occurred_at=event.occurred_at,
        unit_no=unit_number(units, event.unit_id),
        detail=rule_id,
        text=rule.label if rule else rule_id,
    )
    return [entry]


def _rated(event: ComplaintRated, meta: Meta, scheme: Scheme, _: UnitNumbers) -> list[LedgerEntry]:
    if scheme.option(event.option) is None:
        raise Rejected("评价的选项不属于本次评议")
    entry = LedgerEntry(
        event_id=meta.event_id,
        measure="rated",
        subject_id=event.complaint_id,
        version=meta.version,
        occurred_at=event.occurred_at,
        option_no=event.option,
    )
    return [entry]


def _visited(
    event: VisitSubmitted, meta: Meta, scheme: Scheme, units: UnitNumbers
) -> list[LedgerEntry]:
    """Return an entry for the visit and one for each finding."""
    checklist = _checklist(event, scheme)
    unit_no = unit_number(units, event.unit_id)

    def entry(**values: Any) -> LedgerEntry:
        return LedgerEntry(
            event_id=meta.event_id,
            version=meta.version,
            occurred_at=event.occurred_at,
            number=event.number,
            subject_id=event.visit_id,
            unit_no=unit_no,
            **values,
        )

    visit = entry(measure="visit", detail=checklist.key, text=event.mode)
    findings = sorted(event.findings, key=lambda finding: finding.finding_id)
    return [visit, *(entry(part=part, **_finding(one)) for part, one in enumerate(findings, 1))]


def _checklist(event: VisitSubmitted, scheme: Scheme) -> Checklist:
    """Return the checklist that has all the visit's items."""
    used = {*event.passed, *(finding.item_id for finding in event.findings)}
    for checklist in scheme.checklists:
        if used <= {item.id for item in checklist.items}:
            return checklist
    raise Rejected("检查记录含有本次评议检查表没有的项目")


def _finding(finding: VisitFinding) -> dict[str, Any]:
    return {
        "measure": "finding",
        "detail": finding.severity,
        "item": finding.item_id,
        "text": finding.redacted_summary,
    }


EntryBuilder = Callable[[Any, Meta, Scheme, UnitNumbers], list[LedgerEntry]]
_BUILDERS: Final[Mapping[type[Event], EntryBuilder]] = {
    CaseOpened: _opened,
    CaseAssigned: _assigned,
    CaseAccepted: _accepted,
    CaseReturned: _returned,
    CaseSentBack: _sent_back,
    CaseClosed: _closed,
    DeadlineLapsed: _lapsed,
    ObligationLapsed: _obligation_lapsed,
    ComplaintRated: _rated,
    VisitSubmitted: _visited,
}
LEDGER_EVENTS: Final = tuple(_BUILDERS)
"""The events that the ledger records."""
