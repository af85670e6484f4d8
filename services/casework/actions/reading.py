"""What a person sees of cases: built from an allow-list for each kind of reader, so that nothing is
hidden by a page only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import msgspec

from services.casework.domain import (
    STAGE_LABELS,
    UNIT_ROLES,
    DeadlineState,
    DeadlineTerms,
    State,
    Verb,
    missing_approvals,
    returnable_until,
    verbs,
)
from services.casework.store import cases, context_of, deadlines, reference
from services.casework.store.cases import Filter, Scope
from services.casework.store.reference import Campaign
from services.casework.tables import Deadline, Extension, Submission, Suspension
from shared.appraisal.calendar.deadlines import (
    DeadlineProgress,
    DeadlineStatus,
    deadline_progress,
    due_label,
)
from shared.appraisal.calendar.working_days import SHANGHAI, WorkCalendar, civil_day
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Urgency
from shared.security.policies import Account
from shared.storage.transaction import Transaction

KIND_LABELS = {
    ComplaintKind.COMPLAINT: "投诉",
    ComplaintKind.REPORT: "举报",
    ComplaintKind.SUGGESTION: "建议",
    ComplaintKind.INQUIRY: "咨询",
    ComplaintKind.PRAISE: "表扬",
    ComplaintKind.FINDING: "巡查发现",
}
URGENCY_LABELS = {Urgency.NORMAL: "一般", Urgency.URGENT: "紧急", Urgency.CRITICAL: "特急"}
CHANNEL_LABELS = {
    ComplaintChannel.HOTLINE: "热线",
    ComplaintChannel.ONLINE: "网上",
    ComplaintChannel.LETTER: "来信",
    ComplaintChannel.COUNTER: "来访",
    ComplaintChannel.IMPORT: "导入",
}
STEP_LABELS = {"open": "立案"} | {verb.value: verb.label for verb in Verb}
SAW_EXACT_TIME = frozenset({Role.REVIEWER, Role.SUPERVISOR})
"""Who may know the minute at which a complaint came (可见性 2.8); everybody else sees the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineView:
    """A deadline as pages and programs show it. `progress` is decided here and nowhere else."""

    id: UUID
    kind: str
    label: str
    state: str
    starts_at: datetime
    due_at: datetime
    provisional: bool
    progress: DeadlineProgress
    due_text: str
    terms: str
    rule_id: str
    rule_label: str
    rule_source: str
    scheme_version: str
    calendar_version: str
    lapsed_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """An act in the history of a case. `facts` are codes and dates."""

    at: datetime
    verb: str
    label: str
    state: str
    by: str
    unit_name: str | None
    text: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a case came from. Units never get this."""

    source: str
    source_number: str
    channel: str | None
    real_name: bool
    named_unit_id: str | None
    named_unit_name: str | None
    received_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case as one person may see it."""

    id: UUID
    number: str
    campaign: Campaign
    kind: ComplaintKind
    urgency: Urgency
    state: State
    version: int
    redacted_summary: str
    problem: str | None
    problem_label: str | None
    unit_id: str | None
    unit_name: str | None
    handler_id: UUID | None
    handler_name: str | None
    excluded_unit_id: str | None
    received_on: date
    opened_at: datetime
    assigned_at: datetime | None
    accepted_at: datetime | None
    closed_at: datetime | None
    finding: str | None
    late: bool
    returns: int
    repeats: int
    urges: int
    rating: int | None
    origin: Origin | None
    deadlines: list[DeadlineView]
    steps: list[StepView]
    submissions: list[Submission]
    extensions: list[Extension]
    suspensions: list[Suspension]
    verbs: list[Verb]
    returnable_until: datetime | None

    def active(self, kind: str) -> DeadlineView | None:
        """The deadline of that kind that is owed now."""
        return next(
            (
                one
                for one in self.deadlines
                if one.kind == kind and one.state in ("running", "lapsed", "paused")
            ),
            None,
        )

    @property
    def foremost(self) -> DeadlineView | None:
        """The running deadline that comes first; of a closed case, how its handling ended."""
        owed = sorted(
            (one for one in self.deadlines if one.state in ("running", "lapsed", "paused")),
            key=lambda one: one.due_at,
        )
        return (
            owed[0]
            if owed
            else next(
                (
                    one
                    for one in reversed(self.deadlines)
                    if one.kind == "handle" and one.state == "completed"
                ),
                None,
            )
        )

    @property
    def request(self) -> Extension | None:
        """The extension that waits for a decision."""
        return next((one for one in self.extensions if one.state == "asked"), None)


async def case_view(tx: Transaction, number: str, user: Account) -> CaseView:
    """The case of that number. Raises Rejected (404) when this person may not find it."""
    row = await cases.case(tx, number, user)
    if row is None:
        raise Rejected("没有找到这个办件", status=404)
    campaign, days = await reference.campaign(tx, row["campaign_id"]), await reference.calendar(tx)
    problem = campaign.scheme.problem(row["problem_item"]) if row["problem_item"] else None
    state, asked, owed = (
        State(row["state"]),
        await cases.extensions(tx, row["id"]),
        await deadlines.of_case(tx, row["id"]),
    )
    until = (
        returnable_until(row["assigned_at"], campaign.scheme.case_rules, days)
        if row["assigned_at"]
        else None
    )
    return CaseView(
        id=UUID(str(row["id"])),
        number=row["number"],
        campaign=campaign,
        kind=ComplaintKind(row["kind"]),
        urgency=Urgency(row["urgency"]),
        state=state,
        version=row["version"],
        redacted_summary=row["redacted_summary"],
        problem=row["problem_item"],
        problem_label=problem.label if problem else None,
        unit_id=row["unit_id"],
        unit_name=row["unit_name"],
        handler_id=row["handler_id"],
        handler_name=row["handler_name"],
        excluded_unit_id=None if user.role in UNIT_ROLES else row["excluded_unit_id"],
        received_on=row["received_on"],
        opened_at=row["opened_at"],
        assigned_at=row["assigned_at"],
        accepted_at=row["accepted_at"],
        closed_at=row["closed_at"],
        finding=row["finding"],
        late=row["late"],
        returns=row["returns"],
        repeats=row["repeats"],
        urges=row["urges"],
        rating=row["rating"],
        origin=_origin(row, user),
        deadlines=[view_of(one, campaign, days, tx.now) for one in owed],
        steps=_steps(await cases.steps(tx, row["id"]), row["unit_id"], user),
        submissions=await _submissions(tx, row, user),
        extensions=asked,
        suspensions=await cases.suspensions(tx, row["id"]),
        verbs=_open_verbs(row, state, user, campaign, asked, owed, until, tx.now),
        returnable_until=until,
    )


def _origin(row: Any, user: Account) -> Origin | None:
    if user.role in UNIT_ROLES:
        return None
    return Origin(
        source=row["source"],
        source_number=row["source_number"],
        channel=row["channel"],
        real_name=row["real_name"],
        named_unit_id=row["named_unit_id"],
        named_unit_name=row["named_unit_name"],
        received_at=row["received_at"] if user.role in SAW_EXACT_TIME else None,
    )


def _steps(rows: Sequence[Any], unit_id: str | None, user: Account) -> list[StepView]:
    """The history; a unit reads what concerns itself and not what another unit did or wrote before
    it.
    """
    own = [row for row in rows if user.role not in UNIT_ROLES or row["unit_id"] == unit_id]
    return [
        StepView(
            at=row["at"],
            verb=row["verb"],
            label=STEP_LABELS[row["verb"]],
            state=row["state"],
            by=row["by_name"],
            unit_name=row["unit_name"],
            text=row["text"],
            facts=msgspec.json.decode(row["facts"], type=dict[str, Any]),
        )
        for row in own
    ]


async def _submissions(tx: Transaction, row: Any, user: Account) -> list[Submission]:
    """Results sent for review; of a unit that had the case before, the present one reads none."""
    since = row["assigned_at"]
    sent = await cases.submissions(tx, row["id"])
    return [
        one
        for one in sent
        if user.role not in UNIT_ROLES or (since is not None and one.at >= since)
    ]


def _open_verbs(
    row: Any,
    state: State,
    user: Account,
    campaign: Campaign,
    asked: Sequence[Extension],
    owed: Sequence[Deadline],
    until: datetime | None,
    now: datetime,
) -> list[Verb]:
    """What this person can do now; a button that could only be refused is not shown."""
    request = next((one for one in asked if one.state == "asked"), None)
    decides = request is not None and user.role.value in missing_approvals(
        campaign.scheme.case_rules, request.approved_by
    )
    handling = next(
        (
            one
            for one in owed
            if one.kind == "handle"
            and one.state in (DeadlineState.RUNNING, DeadlineState.LAPSED, DeadlineState.PAUSED)
        ),
        None,
    )
    over = handling is None or handling.due_at <= now
    asks = sum(one.state in ("asked", "approved") for one in asked)
    hidden = {
        Verb.DECIDE_EXTENSION: not decides,
        Verb.ASK_EXTENSION: over
        or request is not None
        or asks >= campaign.scheme.case_rules.extension.times,
        Verb.TAKE_OVER: row["handler_id"] == user.id,
        Verb.RETURN: until is None or until <= now,
        Verb.PAUSE: over,
    }
    return [verb for verb in verbs(state, user.role.value) if not hidden.get(verb, False)]


def view_of(row: Deadline, campaign: Campaign, days: WorkCalendar, now: datetime) -> DeadlineView:
    """A deadline with its state at `now` and the rule it rests on."""
    rule = campaign.scheme.rule(row.rule_id)
    terms = DeadlineTerms.from_json(row.terms)
    return DeadlineView(
        id=row.id,
        kind=row.kind,
        label=STAGE_LABELS[row.kind],
        state=row.state,
        starts_at=row.starts_at,
        due_at=row.due_at,
        provisional=row.provisional,
        progress=progress_of({**row.model_dump(), "deadline_state": row.state}, days, now),
        due_text=due_label(row.due_at, row.provisional),
        terms=terms.text,
        rule_id=row.rule_id,
        rule_label=rule.label if rule else "",
        rule_source=rule.source if rule else "",
        scheme_version=row.scheme_version,
        calendar_version=row.calendar_version,
        lapsed_at=row.lapsed_at,
        ended_at=row.ended_at,
    )


def progress_of(row: Mapping[str, Any], days: WorkCalendar, now: datetime) -> DeadlineProgress:
    """How a deadline stands at `now`. `row`: deadline_state, due_at, warn_at, severe_at, terms,
    lapsed_at.
    """
    if row["deadline_state"] in (DeadlineState.COMPLETED, DeadlineState.CANCELLED):
        # What was told decides: an end in the same moment as the lapse is late everywhere or
        # nowhere.
        return DeadlineProgress(
            DeadlineStatus.CLOSED, 0, 0, "（超期办结）" if row["lapsed_at"] else ""
        )
    return deadline_progress(
        now,
        due_at=row["due_at"],
        warn_at=row["warn_at"],
        severe_at=row["severe_at"],
        calendar=days,
        unit=DeadlineTerms.from_json(row["terms"]).limit.unit,
        paused=row["deadline_state"] == DeadlineState.PAUSED,
    )


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A case in a list."""

    number: str
    kind: ComplaintKind
    urgency: Urgency
    state: State
    redacted_summary: str
    unit_id: str | None
    unit_name: str | None
    handler_name: str | None
    version: int
    received_on: date
    assigned_at: datetime | None
    closed_at: datetime | None
    late: bool
    repeats: int
    returns: int
    urges: int
    rating: int | None
    stage: str | None
    progress: DeadlineProgress | None
    due_at: datetime | None
    due_text: str
    source: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list. `total` counts all pages."""

    rows: list[Row]
    total: int
    page: int
    last: int


async def case_list(
    tx: Transaction, user: Account, wanted: Filter, *, page: int = 1, rows: int | None = None
) -> Listing:
    """The cases this person may see and asked for, most urgent first."""
    days, per_page = await reference.calendar(tx), rows or context_of(tx).page_rows
    found, total = await cases.listed(
        tx,
        user,
        wanted,
        soon_before=soon_before(tx.now, days),
        dissatisfied=await dissatisfied_options(tx),
        rows=per_page,
        page=page,
    )
    return Listing(
        [_row(one, days, tx.now) for one in found], total, page, max(1, -(-total // per_page))
    )


def _row(row: Any, days: WorkCalendar, now: datetime) -> Row:
    has = row["due_at"] is not None
    return Row(
        number=row["number"],
        kind=ComplaintKind(row["kind"]),
        urgency=Urgency(row["urgency"]),
        state=State(row["state"]),
        redacted_summary=row["redacted_summary"],
        unit_id=row["unit_id"],
        unit_name=row["unit_name"],
        handler_name=row["handler_name"],
        version=row["version"],
        received_on=row["received_on"],
        assigned_at=row["assigned_at"],
        closed_at=row["closed_at"],
        late=row["late"],
        repeats=row["repeats"],
        returns=row["returns"],
        urges=row["urges"],
        rating=row["rating"],
        stage=STAGE_LABELS[row["stage"]] if has else None,
        progress=progress_of(row, days, now) if has else None,
        due_at=row["due_at"],
        due_text=due_label(row["due_at"], row["provisional"]) if has else "",
        source=row["source"],
        problem=row["problem_item"],
    )


def soon_before(now: datetime, days: WorkCalendar) -> datetime:
    """今明到期: due before the end of the next working day."""
    return datetime.combine(
        days.add_working_days(civil_day(now), 1).day + timedelta(days=1), time(0), SHANGHAI
    )


async def dissatisfied_options(tx: Transaction) -> list[int]:
    """The numbers of the answers that mean 不满意, over all campaigns."""
    known = await reference.campaigns(tx)
    return sorted(
        {
            option.no
            for one in known.values()
            for option in one.scheme.options
            if option.code == "dissatisfied"
        }
    )


async def tally(tx: Transaction, user: Account) -> dict[str, int]:
    """How many cases this person may see by state, and how many are late or due soon; a state with
    none is 0.
    """
    days = await reference.calendar(tx)
    counted = await cases.tally(tx, user, soon_before=soon_before(tx.now, days))
    return {state.value: 0 for state in State} | counted


async def palette(tx: Transaction, user: Account, q: str) -> list[Any]:
    """Cases for the command palette: number, redacted_summary, state."""
    return await cases.found(tx, user, q.strip()) if q.strip() else []


async def deadline_list(
    tx: Transaction,
    user: Account,
    *,
    state: str | None,
    kind: str | None,
    before: datetime | None,
    limit: int,
) -> list[Any]:
    """Deadlines of cases and obligations as this person may see them, in order of time."""
    scope = Scope.of(user)
    return await deadlines.listed(
        tx,
        everything=scope.everything,
        unit_id=scope.unit_id,
        state=state,
        kind=kind,
        before=before,
        limit=limit,
    )
