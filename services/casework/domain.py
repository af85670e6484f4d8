"""The rules of a case (办件): what may follow what, who may do it, when it is due. Pure: no I/O, no
clock.

`NEXT` is the whole life of a case: a verb that a state does not list is refused, whoever asks.
`MAY` says whose verb it is; doors take their policies from it, so that a button, a page and the API
can never disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from shared.appraisal.calendar.deadlines import (
    DeadlineTimes,
    Pause,
    TimeLimit,
    compute_deadline,
    due_at,
)
from shared.appraisal.calendar.working_days import SHANGHAI, WorkCalendar, civil_day, closing
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.appraisal.schemes import CaseRules, ObligationRule

# ── states and verbs ──────────────────────────────────────────────────────────────────────────────


class State(StrEnum):
    """Where a case stands."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    HANDLING = "handling"
    PAUSED = "paused"
    REVIEWING = "reviewing"
    CLOSED = "closed"
    STRUCK_OFF = "struck_off"
    NOT_ACCEPTED = "not_accepted"

    @property
    def label(self) -> str:
        """The state's name on pages: 待受理, 已分办 …"""
        return _STATE_LABELS[self]


_STATE_LABELS: Final = {
    State.PENDING: "待受理",
    State.ASSIGNED: "已分办",
    State.HANDLING: "办理中",
    State.PAUSED: "暂停办理",
    State.REVIEWING: "待审核",
    State.CLOSED: "已办结",
    State.STRUCK_OFF: "已销号",
    State.NOT_ACCEPTED: "不予受理",
}
OPEN: Final = frozenset(
    {State.PENDING, State.ASSIGNED, State.HANDLING, State.PAUSED, State.REVIEWING}
)


class Verb(StrEnum):
    """What people do with a case."""

    ASSIGN = "assign"
    REFUSE = "refuse"
    ACCEPT = "accept"
    TAKE_OVER = "take_over"
    RETURN = "return"
    NOTE = "note"
    ASK_EXTENSION = "ask_extension"
    DECIDE_EXTENSION = "decide_extension"
    PAUSE = "pause"
    RESUME = "resume"
    SUBMIT = "submit"
    APPROVE = "approve"
    SEND_BACK = "send_back"
    STRIKE_OFF = "strike_off"
    URGE = "urge"

    @property
    def label(self) -> str:
        """The verb's name on pages: 分办, 签收 …"""
        return _VERB_LABELS[self]


_VERB_LABELS: Final = {
    Verb.ASSIGN: "分办",
    Verb.REFUSE: "不予受理",
    Verb.ACCEPT: "签收",
    Verb.TAKE_OVER: "接办",
    Verb.RETURN: "退回",
    Verb.NOTE: "记录办理情况",
    Verb.ASK_EXTENSION: "申请延期",
    Verb.DECIDE_EXTENSION: "审批延期",
    Verb.PAUSE: "暂停计时",
    Verb.RESUME: "恢复计时",
    Verb.SUBMIT: "办结送审",
    Verb.APPROVE: "审核通过",
    Verb.SEND_BACK: "退回修改",
    Verb.STRIKE_OFF: "销号",
    Verb.URGE: "催办",
}

NEXT: Final[Mapping[State, Mapping[Verb, State]]] = {
    State.PENDING: {
        Verb.ASSIGN: State.ASSIGNED,
        Verb.REFUSE: State.NOT_ACCEPTED,
        Verb.NOTE: State.PENDING,
    },
    State.ASSIGNED: {
        Verb.ACCEPT: State.HANDLING,
        Verb.RETURN: State.PENDING,
        Verb.ASSIGN: State.ASSIGNED,
        Verb.NOTE: State.ASSIGNED,
        Verb.URGE: State.ASSIGNED,
    },
    State.HANDLING: {
        Verb.SUBMIT: State.REVIEWING,
        Verb.RETURN: State.PENDING,
        Verb.PAUSE: State.PAUSED,
        Verb.TAKE_OVER: State.HANDLING,
        Verb.ASK_EXTENSION: State.HANDLING,
        Verb.DECIDE_EXTENSION: State.HANDLING,
        Verb.NOTE: State.HANDLING,
        Verb.URGE: State.HANDLING,
    },
    State.PAUSED: {Verb.RESUME: State.HANDLING, Verb.NOTE: State.PAUSED},
    State.REVIEWING: {
        Verb.APPROVE: State.CLOSED,
        Verb.SEND_BACK: State.HANDLING,
        Verb.NOTE: State.REVIEWING,
        Verb.URGE: State.REVIEWING,
    },
    State.CLOSED: {Verb.STRIKE_OFF: State.STRUCK_OFF},
    State.STRUCK_OFF: {},
    State.NOT_ACCEPTED: {},
}
assert NEXT.keys() == set(State), "every state says what may follow it"
assert {verb for follows in NEXT.values() for verb in follows} == set(Verb), (
    "every verb has its place"
)

UNIT_ROLES: Final = frozenset({"handler", "unit_head"})
"""People who act for one unit and see nothing but its cases."""
READERS: Final = frozenset({"handler", "unit_head", "reviewer", "supervisor", "office", "leader"})
"""Who may open a case at all."""
MAY: Final[Mapping[Verb, frozenset[str]]] = {
    Verb.ASSIGN: frozenset({"reviewer"}),
    Verb.REFUSE: frozenset({"reviewer"}),
    Verb.ACCEPT: UNIT_ROLES,
    Verb.TAKE_OVER: frozenset({"handler"}),
    Verb.RETURN: UNIT_ROLES,
    Verb.NOTE: UNIT_ROLES | {"reviewer", "supervisor"},
    Verb.ASK_EXTENSION: UNIT_ROLES,
    # The scheme names the approvers; these are the roles it can name and that see the case.
    Verb.DECIDE_EXTENSION: READERS - {"handler"},
    Verb.PAUSE: frozenset({"supervisor"}),
    Verb.RESUME: frozenset({"supervisor"}),
    Verb.SUBMIT: UNIT_ROLES,
    Verb.APPROVE: frozenset({"unit_head", "supervisor"}),
    Verb.SEND_BACK: frozenset({"unit_head", "supervisor"}),
    Verb.STRIKE_OFF: frozenset({"supervisor"}),
    Verb.URGE: frozenset({"supervisor"}),
}
assert MAY.keys() == set(Verb), "every verb says whose it is"


class IllegalMove(Rejected):
    """The state of the case does not allow this."""


class Stale(Rejected):
    """Somebody else changed the case since this person looked at it. `version` is what it is now."""

    def __init__(self, version: int) -> None:
        super().__init__(
            "办件在您打开之后已有变化，本次操作没有生效。请核对最新情况后再提交。", field="version"
        )
        self.version = version


def move(state: State, verb: Verb) -> State:
    """The state after `verb`. Raises IllegalMove with a sentence for the person."""
    if verb not in NEXT[state]:
        raise IllegalMove(f"办件现为“{state.label}”，不能{verb.label}")
    return NEXT[state][verb]


def verbs(state: State, role: str) -> list[Verb]:
    """What a person of this role can do with a case in this state, in the order of the table."""
    return [verb for verb in NEXT[state] if role in MAY[verb]]


def refuse_stale(expected_version: int | None, version: int) -> None:
    """Raise Stale when the person decided on an older version. None: a program that did not say
    what it saw.
    """
    if expected_version is not None and expected_version != version:
        raise Stale(version)


# ── opening and assigning ─────────────────────────────────────────────────────────────────────────

URGENCY_OF_FINDING: Final[Mapping[str, Urgency]] = {
    "minor": Urgency.NORMAL,
    "ordinary": Urgency.NORMAL,
    "serious": Urgency.URGENT,
}


def case_number(year: int, sequence: int) -> str:
    """`ZF2026-004512`."""
    return f"ZF{year}-{sequence:06d}"


def excluded_unit(kind: ComplaintKind, named: str | None, rules: CaseRules) -> str | None:
    """The unit that may neither handle nor see the case: the accused one of a 举报, and of what
    else the scheme names.

    Source: 纪检监察机关处理检举控告工作规则 第四十七条; a scheme can widen the rule, never lift it.
    """
    return named if kind is ComplaintKind.REPORT or kind in rules.not_by_accused else None


def unit_at_once(kind: ComplaintKind, named: str | None, rules: CaseRules) -> str | None:
    """The unit to which a new case goes without a reviewer; None when a reviewer decides."""
    if named is None or excluded_unit(kind, named, rules) == named:
        return None
    return named if kind in rules.assigned_as_named else None


def reject_excluded(unit: str, excluded: str | None) -> None:
    """Raise Rejected when the case would go to the unit it accuses."""
    if unit == excluded:
        raise Rejected("举报件不得转被反映单位，请改选其他承办单位", field="unit_id", status=422)


# ── deadlines ─────────────────────────────────────────────────────────────────────────────────────


class DeadlineState(StrEnum):
    """How a deadline stands in its table. `running`: not yet due; `lapsed`: past due and still owed; `cancelled`
    is owed no more.
    """

    RUNNING = "running"
    LAPSED = "lapsed"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


STAGE_LABELS: Final[Mapping[str, str]] = {
    "assign": "分办",
    "accept": "签收",
    "handle": "办结",
    "review": "审核",
    "supervise": "督办",
    "rectify": "整改",
    "obligation": "报送",
}


@dataclass(frozen=True, slots=True)
class DeadlineTerms:
    """How long a deadline runs: the rule's limit and what an extension added. Kept with the
    deadline, so that it can be computed again.
    """

    limit: TimeLimit
    extra: TimeLimit | None = None

    def compute(
        self, start: datetime, calendar: WorkCalendar, pauses: Sequence[Pause] = ()
    ) -> DeadlineTimes:
        """The instants of a deadline that starts at `start`."""
        return compute_deadline(start, self.limit, calendar, pauses, extension=self.extra)

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "DeadlineTerms":
        return msgspec.json.decode(text, type=cls)

    @property
    def text(self) -> str:
        """`5 个工作日`, or `5 个工作日，另延长 3 个工作日`."""
        return self.limit.text + (f"，另延长 {self.extra.text}" if self.extra else "")


def returnable_until(assigned_at: datetime, rules: CaseRules, calendar: WorkCalendar) -> datetime:
    """Until when a unit may say that it is not responsible (UTC)."""
    return due_at(assigned_at, rules.returning.limit, calendar).at


def refuse_late_return(
    assigned_at: datetime, rules: CaseRules, calendar: WorkCalendar, now: datetime
) -> None:
    """Raise Rejected when the time to return a case is over."""
    if now >= returnable_until(assigned_at, rules, calendar):
        raise Rejected(
            f"转办已超过 {rules.returning.limit.text}，不能退回；确有异议请与受理审核联系"
        )


def refuse_extension(
    amount: int, asked_before: int, *, due: datetime, now: datetime, rules: CaseRules
) -> None:
    """Raise Rejected unless `amount` more days may be asked for now (功能 4.3: before lapse, capped,
    as often as the rule says).
    """
    rule = rules.extension
    if now >= due:
        raise Rejected("办理期限已过，不能再申请延期")
    if asked_before >= rule.times:
        raise Rejected(f"延期最多 {rule.times} 次，本件已申请过")
    if not 1 <= amount <= rule.limit.amount:
        raise Rejected(f"延期最多 {rule.limit.text}", status=422, field="amount")


def lengthened(terms: DeadlineTerms, amount: int, rule: TimeLimit) -> DeadlineTerms:
    """The terms with `amount` more, in the unit of the extension's rule, added to what it was
    lengthened by before.
    """
    before = terms.extra.amount if terms.extra else 0
    return DeadlineTerms(terms.limit, TimeLimit(before + amount, rule.unit, rule.closes, rule.roll))


def missing_approvals(rules: CaseRules, given: Sequence[str]) -> list[str]:
    """The roles that have not agreed to an extension yet, in the order of the rule."""
    return [role for role in rules.extension.approvers if role not in given]


def reminders(obligation: ObligationRule, calendar: WorkCalendar) -> list[datetime]:
    """When a unit is reminded of an obligation (UTC, earliest first): at nine o'clock in Shanghai, so many
    working days before it is due.
    """
    days = sorted(
        {calendar.add_working_days(obligation.due, -days).day for days in obligation.remind}
    )
    return [datetime.combine(day, time(9), SHANGHAI).astimezone(UTC) for day in days]


def obligation_deadline(obligation: ObligationRule, calendar: WorkCalendar) -> DeadlineTimes:
    """The instants of an obligation: over at the close of its due day, 临期 from the first reminder,
    严重超期 after five working days more.
    """
    at = closing(obligation.due, obligation.closes)
    told = [moment for moment in reminders(obligation, calendar) if moment < at]
    severe = closing(calendar.add_working_days(obligation.due, 5).day, obligation.closes)
    return DeadlineTimes(
        at, obligation.due, False, calendar.version, told[0] if told else at, severe
    )


def working_days_taken(start: datetime, end: datetime, calendar: WorkCalendar) -> int:
    """Working days from the day after `start` to the day of `end`: 0 when both fall on one day."""
    return max(calendar.working_days_between(civil_day(start), civil_day(end)), 0)


# ── the calendar ──────────────────────────────────────────────────────────────────────────────────


def changed_days(old: WorkCalendar, new: WorkCalendar) -> tuple[date, date] | None:
    """First and last day on which the two calendars differ, in answer or in certainty; None when
    they agree.
    """
    first = min(old.known_through, new.known_through)
    last = max(old.known_through, new.known_through)
    days = [
        day
        for day in old.days.keys() | new.days.keys()
        if old.is_workday(day) != new.is_workday(day)
    ]
    days += [first + timedelta(days=1), last] if first != last else []
    return (min(days), max(days)) if days else None


@dataclass(frozen=True, slots=True)
class Shift:
    """A deadline that another calendar puts elsewhere."""

    before: datetime
    was_provisional: bool
    after: DeadlineTimes

    @property
    def moved(self) -> bool:
        return self.before != self.after.at

    @property
    def shortened(self) -> bool:
        """Earlier than announced: applied only when a person says so (功能 4.3.8)."""
        return self.after.at < self.before

    @property
    def concerns(self) -> bool:
        """Whether anybody has to be told: another instant, or certain at last."""
        return self.moved or self.was_provisional != self.after.provisional
