"""Numbers of cases, and which unit may, must not, or can no longer be responsible for one."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from shared.appraisal.calendar.deadlines import due_at
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintKind, Severity, Urgency
from shared.appraisal.schemes import CaseRules, Reason

URGENCY_BY_SEVERITY: Final[Mapping[str, Urgency]] = {
    Severity.MINOR: Urgency.NORMAL,
    Severity.ORDINARY: Urgency.NORMAL,
    Severity.SERIOUS: Urgency.URGENT,
}
"""The urgency of a case that is opened for an inspection finding."""


def case_number(year: int, sequence: int) -> str:
    """Return the number of a case, such as `ZF2026-004512`."""
    return f"ZF{year}-{sequence:06d}"


def named_accused(
    kind: ComplaintKind,
    named: str | None,
    rules: CaseRules,
) -> tuple[str, ...]:
    """Return whom a new case accuses before a person looked at it: the unit that it names."""
    if named is None or not rules.excludes_accused(kind):
        return ()
    return (named,)


def directly_assigned_unit(
    kind: ComplaintKind,
    named: str | None,
    rules: CaseRules,
) -> str | None:
    """Return the unit that gets a new case without a reviewer; None if a reviewer decides."""
    if named is None or rules.excludes_accused(kind):
        return None
    return named if kind in rules.assigned_as_named else None


def awaits_accused(
    kind: ComplaintKind,
    accused_record: int,
    rules: CaseRules,
) -> bool:
    """Return whether a person still has to record whom the case accuses, before it is assigned."""
    return rules.excludes_accused(kind) and accused_record == 0


def reject_excluded(unit: str, excluded: Collection[str]) -> None:
    """Raise Rejected (422) if the case would go to a body that it excludes."""
    if unit in excluded:
        sentence = "举报件不得转被举报单位及应当回避的单位，请改选其他承办单位"
        raise Rejected(sentence, field="unit_id", status=422)


def returnable_until(
    assigned_at: datetime,
    rules: CaseRules,
    calendar: WorkCalendar,
) -> datetime:
    """Return the instant (UTC) until which a unit may return a case as not its own."""
    return due_at(assigned_at, rules.returning.limit, calendar).at


def check_returnable(
    assigned_at: datetime,
    rules: CaseRules,
    calendar: WorkCalendar,
    now: datetime,
) -> None:
    """Raise Rejected if the time to return a case is over."""
    if now >= returnable_until(assigned_at, rules, calendar):
        raise Rejected(
            f"转办已超过 {rules.returning.limit.text}，不能退回；确有异议请与受理审核联系"
        )


def find_reason(reasons: Sequence[Reason], code: str) -> Reason:
    """Return the reason with that code. Raises Rejected (422) if the rules have none."""
    for reason in reasons:
        if reason.code == code:
            return reason
    raise Rejected("请从列出的理由中选择", status=422, field="reason")
