"""What the ledger keeps of an event: one line for each thing that can move a score, and nothing
that the event does not say.

A line says *what happened*, not what it costs: the price is the scheme's, so that another version
of the scheme can be applied to the same lines. Lines of a visit, a rating, a decision or a scoring
sheet are replaced by those of a higher version of the same subject.
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
    CaseOpened,
    CaseReturned,
    CaseSentBack,
    ComplaintRated,
    DeadlineLapsed,
    Event,
    Meta,
    ObligationLapsed,
    VisitSubmitted,
)
from shared.appraisal.schemes import Scheme

MEASURES: Final = (
    "case_opened",
    "case_assigned",
    "case_accepted",
    "case_returned",
    "case_sent_back",
    "case_closed",
    "deadline_lapsed",
    "rated",
    "visit",
    "finding",
    "obligation_lapsed",
    "sheet",
    "decision",
    "revoked",
)
REPLACEABLE: Final = ("rated", "visit", "finding", "sheet", "decision", "revoked")
"""Of these only the highest version of a subject stands."""
SOURCES: Final = {
    "case_opened": "case",
    "case_assigned": "case",
    "case_accepted": "case",
    "case_returned": "case",
    "case_sent_back": "case",
    "case_closed": "case",
    "deadline_lapsed": "case",
    "rated": "rating",
    "visit": "visit",
    "finding": "visit",
    "obligation_lapsed": "obligation",
    "sheet": "sheet",
    "decision": "decision",
    "revoked": "decision",
}
assert SOURCES.keys() == set(MEASURES), "every measure has a source"
SOURCE_LABELS: Final = {
    "ballot": "问卷",
    "visit": "暗访",
    "case": "办理",
    "rating": "来件人评价",
    "obligation": "时限义务",
    "sheet": "评分表",
    "decision": "认定",
    "rules": "规则",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A ledger line. (`event_id`, `part`) names it for ever.

    `subject_id`: the case, visit, complaint, obligation, sheet or decision. `detail` narrows the
    measure: the deadline's kind, the finding's severity, the obligation's rule, the instrument of a
    visit or sheet, the rule decided on. `item`: checklist item, or number of a sheet's item.
    `kind`: kind of the case, as known from its opening. `source_id`: the complaint or finding a
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
    def order(self) -> tuple[datetime, UUID, int]:
        """The same order on every machine: legal time, then the event's id."""
        return self.occurred_at, self.event_id, self.part


Units = Mapping[str, int]
"""Unit id → unit_no of the campaign's register."""


def entries_of(event: Event, meta: Meta, *, scheme: Scheme, units: Units) -> list[Entry]:
    """The ledger lines of an event, or none. Raises Rejected for a unit or checklist item that the
    campaign does not have.
    """
    return _LINES[type(event)](event, meta, scheme, units)


def unit_no(units: Units, unit_id: str | None) -> int | None:
    """The small number of a unit; None for nobody."""
    if unit_id is None:
        return None
    if unit_id not in units:
        raise Rejected("单位不在本次评议的参评名册中")
    return units[unit_id]


def _case(event: Any, meta: Meta, units: Units, measure: str, **more: Any) -> list[Entry]:
    number = unit_no(units, more.pop("unit_id", event.unit_id))
    common = {
        "subject_id": event.case_id,
        "version": meta.version,
        "occurred_at": event.occurred_at,
        "number": event.number,
    }
    return [Entry(event_id=meta.event_id, measure=measure, unit_no=number, **common, **more)]


def _opened(event: CaseOpened, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    return _case(
        event, meta, units, "case_opened", kind=event.kind.value, source_id=event.source_id
    )


def _assigned(event: CaseAssigned, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    return _case(event, meta, units, "case_assigned")


def _accepted(event: CaseAccepted, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    return _case(event, meta, units, "case_accepted", late=event.late)


def _returned(event: CaseReturned, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    return _case(
        event, meta, units, "case_returned", unit_id=event.from_unit_id, detail=event.reason
    )


def _sent_back(event: CaseSentBack, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    return _case(event, meta, units, "case_sent_back")


def _closed(event: CaseClosed, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    return _case(
        event,
        meta,
        units,
        "case_closed",
        late=event.late,
        source_id=event.source_id,
        detail=event.finding,
    )


def _lapsed(event: DeadlineLapsed, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    return _case(event, meta, units, "deadline_lapsed", detail=event.deadline)


def _obligation(event: ObligationLapsed, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    rule = scheme.obligation(event.obligation_rule_id)
    return [
        Entry(
            event_id=meta.event_id,
            measure="obligation_lapsed",
            subject_id=event.obligation_id,
            version=meta.version,
            occurred_at=event.occurred_at,
            unit_no=unit_no(units, event.unit_id),
            detail=event.obligation_rule_id,
            text=rule.label if rule else event.obligation_rule_id,
        )
    ]


def _rated(event: ComplaintRated, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    if scheme.option(event.option) is None:
        raise Rejected("评价的选项不属于本次评议")
    return [
        Entry(
            event_id=meta.event_id,
            measure="rated",
            subject_id=event.complaint_id,
            version=meta.version,
            occurred_at=event.occurred_at,
            option_no=event.option,
        )
    ]


def _visited(event: VisitSubmitted, meta: Meta, scheme: Scheme, units: Units) -> list[Entry]:
    """One line for the visit and one for each finding. The checklist is the one that has the items;
    findings name items of it only.
    """
    seen = {*event.passed, *(finding.item_id for finding in event.findings)}
    checklist = next(
        (one for one in scheme.checklists if seen <= {item.id for item in one.items}), None
    )
    if checklist is None:
        raise Rejected("检查记录含有本次评议检查表没有的项目")
    common: dict[str, Any] = {
        "event_id": meta.event_id,
        "version": meta.version,
        "occurred_at": event.occurred_at,
        "number": event.number,
        "subject_id": event.visit_id,
        "unit_no": unit_no(units, event.unit_id),
    }
    lines = [Entry(measure="visit", detail=checklist.key, text=event.mode, **common)]
    for part, finding in enumerate(sorted(event.findings, key=lambda one: one.finding_id), start=1):
        lines.append(
            Entry(
                part=part,
                measure="finding",
                detail=finding.severity,
                item=finding.item_id,
                text=finding.redacted_summary,
                **common,
            )
        )
    return lines


_LINES: Final[Mapping[type[Event], Callable[[Any, Meta, Scheme, Units], list[Entry]]]] = {
    CaseOpened: _opened,
    CaseAssigned: _assigned,
    CaseAccepted: _accepted,
    CaseReturned: _returned,
    CaseSentBack: _sent_back,
    CaseClosed: _closed,
    DeadlineLapsed: _lapsed,
    ObligationLapsed: _obligation,
    ComplaintRated: _rated,
    VisitSubmitted: _visited,
}
HEARD: Final = tuple(_LINES)
"""The events of which the ledger keeps a line."""
