"""Opening cases (立案): one for each complaint and each negative finding, many in few statements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from services.casework.actions.deadlines import deadline_row
from services.casework.domain import (
    URGENCY_OF_FINDING,
    State,
    Verb,
    case_number,
    excluded_unit,
    unit_at_once,
)
from services.casework.store import cases, reference
from services.casework.store.reference import Campaign
from shared.appraisal.calendar.working_days import WorkCalendar, civil_day
from shared.appraisal.errors import DependencyMissing
from shared.appraisal.events import (
    CaseAssigned,
    CaseOpened,
    ComplaintRegistered,
    DeadlineSet,
    VisitFinding,
    VisitSubmitted,
)
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """What a case is opened for. `registered_at`: when our obligation began; `received_on`: the day
    people are shown.
    """

    source: Literal["complaint", "visit"]
    source_id: UUID
    source_number: str
    campaign_id: str
    channel: ComplaintChannel | None
    kind: ComplaintKind
    urgency: Urgency
    problem_item: str | None
    redacted_summary: str
    real_name: bool
    unit_id: str | None
    received_at: datetime
    received_on: date
    registered_at: datetime


def matter_of_complaint(event: ComplaintRegistered) -> Matter:
    return Matter(
        source="complaint",
        source_id=event.complaint_id,
        source_number=event.number,
        campaign_id=event.campaign_id,
        channel=event.channel,
        kind=event.kind,
        urgency=event.urgency,
        problem_item=event.problem_item,
        redacted_summary=event.redacted_summary,
        real_name=event.real_name,
        unit_id=event.unit_id,
        received_at=event.received_at,
        received_on=civil_day(event.received_at),
        registered_at=event.occurred_at,
    )


def matters_of_visit(
    event: VisitSubmitted, problem_of: Callable[[str], str | None]
) -> list[Matter]:
    """One for each finding. `problem_of`: the catalogue entry that a checklist item is filed under."""
    return [
        _matter_of_finding(event, finding, problem_of(finding.item_id))
        for finding in event.findings
    ]


def _matter_of_finding(event: VisitSubmitted, finding: VisitFinding, problem: str | None) -> Matter:
    return Matter(
        source="visit",
        source_id=finding.finding_id,
        source_number=event.number,
        campaign_id=event.campaign_id,
        channel=None,
        kind=ComplaintKind.FINDING,
        urgency=URGENCY_OF_FINDING[finding.severity],
        problem_item=problem,
        redacted_summary=finding.redacted_summary,
        real_name=False,
        unit_id=event.unit_id,
        received_at=event.occurred_at,
        received_on=event.visited_on,
        registered_at=event.occurred_at,
    )


async def hear_complaints(tx: Transaction, events: Sequence[ComplaintRegistered]) -> int:
    """Open a case for each complaint whose kind the scheme gives one; gives how many were opened."""
    known, days = await _rules(tx, {event.campaign_id for event in events})
    matters = [
        matter_of_complaint(event)
        for event in events
        if event.kind not in known[event.campaign_id].scheme.case_rules.no_case
    ]
    return await open_cases(tx, matters, known, days)


async def hear_visits(tx: Transaction, events: Sequence[VisitSubmitted]) -> int:
    """Open a case for each negative finding; gives how many were opened."""
    known, days = await _rules(tx, {event.campaign_id for event in events})
    matters: list[Matter] = []
    for event in events:
        scheme = known[event.campaign_id].scheme
        matters += matters_of_visit(event, lambda item, scheme=scheme: _problem_of(scheme, item))  # type: ignore[misc]
    return await open_cases(tx, matters, known, days)


async def _rules(tx: Transaction, ids: set[str]) -> tuple[dict[str, Campaign], WorkCalendar]:
    """The campaigns and the calendar; raises DependencyMissing when the news of a campaign has not come here."""
    known, days = await reference.rules_for_opening(tx, sorted(ids))
    if missing := ids - known.keys():
        raise DependencyMissing(f"campaign {min(missing)} is not known yet")
    return known, days


def _problem_of(scheme: Scheme, item_id: str) -> str | None:
    return next(
        (item.problem for checklist in scheme.checklists if (item := checklist.item(item_id))), None
    )


async def open_cases(
    tx: Transaction, matters: Sequence[Matter], known: dict[str, Campaign], days: WorkCalendar
) -> int:
    """Open the cases that are not open yet, in two statements however many they are; gives how
    many.

    A complaint or finding has one case for ever: the source's id is unique.
    """
    if not matters:
        return 0
    numbers = await cases.reserve_numbers(
        tx, [(known[m.campaign_id].year, m.source, m.source_id) for m in matters]
    )
    fresh = {
        (m.source, str(m.source_id)): m for m in matters if (m.source, str(m.source_id)) in numbers
    }
    begun = [
        _begin(
            tx,
            matter,
            known[matter.campaign_id],
            days,
            case_number(known[matter.campaign_id].year, numbers[key]),
        )
        for key, matter in fresh.items()
    ]
    if begun:
        await _write(tx, begun)
    return len(begun)


@dataclass(frozen=True, slots=True)
class Beginning:
    """The rows and facts of a new case."""

    case: dict[str, Any]
    steps: list[dict[str, Any]]
    deadlines: list[dict[str, Any]]
    events: list[CaseOpened | CaseAssigned]


def _begin(
    tx: Transaction, matter: Matter, campaign: Campaign, days: WorkCalendar, number: str
) -> Beginning:
    """A case that waits for a reviewer, or that is with its unit at once where the scheme says so."""
    rules = campaign.scheme.case_rules
    unit = unit_at_once(matter.kind, matter.unit_id, rules)
    state = State.ASSIGNED if unit else State.PENDING
    case = {
        "id": new_id(),
        "number": number,
        "campaign_id": matter.campaign_id,
        "source": matter.source,
        "source_id": matter.source_id,
        "source_number": matter.source_number,
        "channel": matter.channel.value if matter.channel else None,
        "kind": matter.kind.value,
        "urgency": matter.urgency.value,
        "problem_item": matter.problem_item,
        "redacted_summary": matter.redacted_summary,
        "real_name": matter.real_name,
        "named_unit_id": matter.unit_id,
        "excluded_unit_id": excluded_unit(matter.kind, matter.unit_id, rules),
        "unit_id": unit,
        "state": state.value,
        "version": 1,
        "received_at": matter.received_at,
        "received_on": matter.received_on,
        "opened_at": tx.now,
        "assigned_at": tx.now if unit else None,
        "late": False,
        "returns": 0,
        "repeats": 0,
        "urges": 0,
    }
    # The unit's deadlines start when it gets the case, the reviewer's when the matter was registered,
    # however late the news came.
    stages = (
        (("accept", tx.now), ("handle", tx.now)) if unit else (("assign", matter.registered_at),)
    )
    limits = [(rules.limit(stage, matter.kind, matter.urgency), start) for stage, start in stages]
    deadline_rows = [
        deadline_row(rule, start, campaign, days) | {"case_id": case["id"], "unit_id": unit}
        for rule, start in limits
        if rule
    ]
    return Beginning(case, _first_steps(tx, case), deadline_rows, _facts(tx, case, deadline_rows))


def _first_steps(tx: Transaction, case: dict[str, Any]) -> list[dict[str, Any]]:
    common = {
        "case_id": case["id"],
        "at": tx.now,
        "by_name": "系统",
        "by_role": "system",
        "facts": {},
    }
    opened = common | {"verb": "open", "state": State.PENDING.value, "unit_id": None, "text": ""}
    said = {
        "verb": Verb.ASSIGN.value,
        "state": State.ASSIGNED.value,
        "unit_id": case["unit_id"],
        "text": "按来件所指单位直接分办",
    }
    return [opened, common | said] if case["unit_id"] else [opened]


def _facts(
    tx: Transaction, case: dict[str, Any], deadline_rows: Sequence[dict[str, Any]]
) -> list[CaseOpened | CaseAssigned]:
    said = tuple(
        DeadlineSet(
            kind=one["kind"],
            due_at=one["due_at"],
            warn_at=one["warn_at"],
            provisional=one["provisional"],
        )
        for one in deadline_rows
    )
    common = {
        "occurred_at": tx.now,
        "case_id": case["id"],
        "number": case["number"],
        "campaign_id": case["campaign_id"],
    }
    opened = CaseOpened(
        **common,
        unit_id=None,
        source=case["source"],
        source_id=case["source_id"],
        kind=ComplaintKind(case["kind"]),
        urgency=Urgency(case["urgency"]),
        problem_item=case["problem_item"],
        deadlines=() if case["unit_id"] else said,
    )
    return (
        [opened, CaseAssigned(**common, unit_id=case["unit_id"], deadlines=said)]
        if case["unit_id"]
        else [opened]
    )


async def _write(tx: Transaction, begun: Sequence[Beginning]) -> None:
    await cases.write_opened(
        tx,
        [one.case for one in begun],
        [step for one in begun for step in one.steps],
        [row for one in begun for row in one.deadlines],
    )
    for one in begun:
        for event in one.events:
            tx.publish(event)
        tx.audit(
            "case.open",
            one.case["number"],
            "system",
            source=one.case["source"],
            source_id=str(one.case["source_id"]),
        )


async def hear_repeat(tx: Transaction, complaint_id: UUID, repeats: int) -> None:
    """Somebody reported the same matter again: the unit sees how often. No deadline moves."""
    await cases.note_repeats(tx, complaint_id, repeats)


async def hear_rating(tx: Transaction, complaint_id: UUID, option: int) -> None:
    """The complainant rated the handling: the supervisor sees who is not satisfied."""
    await cases.note_rating(tx, complaint_id, option)
