"""Deadlines: armed, met, voided with the acts of a case; warned and lapsed by time alone, each told
exactly once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.casework.actions.cases import keys
from services.casework.domain import Clock, State, Term, reckon
from services.casework.store import cases, context_of, deadlines, reference
from services.casework.store.reference import Campaign
from services.casework.tables import Case, Deadline, Duty, Suspension
from shared.appraisal.calendar import working_days as calendar
from shared.appraisal.calendar.deadlines import Pause
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.events import (
    DeadlineLapsed,
    DeadlineSet,
    DeadlineWarned,
    Kind,
    ObligationLapsed,
    ObligationWarned,
    Urgency,
)
from shared.appraisal.schemes import CaseLimit
from shared.foundation import telemetry
from shared.foundation.clock import real_now
from shared.storage.transaction import Transaction, new_id

RUNNING = (Clock.ARMED, Clock.LAPSED, Clock.PAUSED)


@dataclass(slots=True)
class Clocks:
    """The deadlines of one locked case, and what they are reckoned with."""

    tx: Transaction
    case: Case
    campaign: Campaign
    calendar: WorkCalendar
    rows: list[Deadline]

    @classmethod
    async def of(cls, tx: Transaction, case: Case) -> "Clocks":
        """Read and lock them. The case itself is locked already: the order is always case,
        deadline, event.
        """
        campaign, days = (
            await reference.campaign(tx, case.campaign_id),
            await reference.calendar(tx),
        )
        return cls(tx, case, campaign, days, await deadlines.locked(tx, case.id))

    def running(self, kind: str) -> Deadline | None:
        """The deadline of that kind that is owed now."""
        return next((row for row in self.rows if row.kind == kind and row.state in RUNNING), None)

    def last(self, kind: str) -> Deadline | None:
        """The deadline of that kind that began last, whatever became of it."""
        return max(
            (row for row in self.rows if row.kind == kind),
            key=lambda row: (row.starts_at, row.id),
            default=None,
        )

    def told(self, *kinds: str) -> tuple[DeadlineSet, ...]:
        """The running deadlines of these kinds as events carry them."""
        return tuple(as_told(row) for kind in kinds if (row := self.running(kind)))

    def arm(self, kind: str) -> None:
        """Let a deadline begin now; nothing where the scheme sets no limit for it."""
        rule = limit_of(self.campaign, kind, Kind(self.case.kind), Urgency(self.case.urgency))
        if rule:
            row = Deadline(
                **armed(rule, self.tx.now, self.campaign, self.calendar),
                case_id=self.case.id,
                unit_id=self.case.unit_id,
            )
            self.tx.add(row)
            self.rows.append(row)

    def meet(self, kind: str) -> bool:
        """End a deadline because the duty is done; True when it was done late."""
        row = self.running(kind)
        if row is None:
            return False
        end(self.tx, row, Clock.MET, self.case)
        return row.lapsed_at is not None

    def void(self, *kinds: str) -> None:
        """End deadlines because nobody owes them any more. What had passed by now has lapsed all
        the same.
        """
        for row in [row for kind in kinds if (row := self.running(kind))]:
            end(self.tx, row, Clock.VOID, self.case)

    def revive(self, kind: str) -> bool:
        """Let the last deadline of that kind run on as if it had never ended; False when there is
        none. It keeps its instants: what was told of it is not told again.
        """
        row = self.last(kind)
        if row is None or row.state in RUNNING:
            return False
        row.state = Clock.LAPSED if row.lapsed_at else Clock.ARMED
        row.ended_at = None
        row.next_warn_at = (
            row.warn_at if row.state == Clock.ARMED and row.warned_at is None else None
        )
        return True

    def reckon_again(self, row: Deadline, term: Term, pauses: Sequence[Pause]) -> None:
        """Move a deadline that an extension or a pause has lengthened; it warns again before its
        new end.
        """
        made = reckon(row.starts_at, term, self.calendar, pauses)
        row.term, row.due_at, row.warn_at, row.severe_at = (
            term.to_json(),
            made.at,
            made.warn_at,
            made.severe_at,
        )
        row.provisional, row.calendar_version = made.provisional, made.calendar_version
        row.next_warn_at = max(made.warn_at, self.tx.now)


def as_told(row: Deadline) -> DeadlineSet:
    return DeadlineSet(
        kind=row.kind, due_at=row.due_at, warn_at=row.warn_at, provisional=row.provisional
    )


def limit_of(campaign: Campaign, kind: str, case_kind: Kind, urgency: Urgency) -> CaseLimit | None:
    """The rule of the campaign's scheme for a stage of such a case."""
    return next(
        (one for one in campaign.scheme.case_rules.limits if one.fits(kind, case_kind, urgency)),
        None,
    )


def armed(
    rule: CaseLimit, start: datetime, campaign: Campaign, calendar: WorkCalendar
) -> dict[str, Any]:
    """A new running deadline as the values of its row, without the case it belongs to."""
    term = Term(rule.limit)
    made = reckon(start, term, calendar)
    return {
        "id": new_id(),
        "kind": rule.stage,
        "starts_at": start,
        "term": term.to_json(),
        "due_at": made.at,
        "warn_at": made.warn_at,
        "severe_at": made.severe_at,
        "provisional": made.provisional,
        "rule_id": rule.id,
        "scheme_version": campaign.scheme_version,
        "calendar_version": made.calendar_version,
        "state": Clock.ARMED.value,
        "next_warn_at": made.warn_at,
        "later_warns": [],
    }


def end(tx: Transaction, row: Deadline, state: Clock, subject: Case | Duty) -> None:
    """End a deadline. Had it passed and the sweep not come yet, this tells the lapse in its place:
    once, whoever is first.
    """
    if row.state == Clock.ARMED and row.due_at <= tx.now:
        row.lapsed_at = tx.now
        lapsed = (
            DeadlineLapsed(
                occurred_at=tx.now, deadline=row.kind, due_at=row.due_at, **keys(subject)
            )
            if isinstance(subject, Case)
            else ObligationLapsed(occurred_at=tx.now, due_at=row.due_at, **duty_keys(subject))
        )
        tx.publish(lapsed)
        _count("lapsed", row.kind, (tx.now - row.due_at).total_seconds())
    row.state, row.ended_at, row.next_warn_at = state, tx.now, None


def duty_keys(duty: Duty) -> dict[str, Any]:
    """What every event of a duty says."""
    return {
        "obligation_id": duty.id,
        "campaign_id": duty.campaign_id,
        "unit_id": duty.unit_id,
        "obligation": duty.obligation,
    }


def pauses_of(suspensions: Sequence[Suspension]) -> list[Pause]:
    """The pauses that are over."""
    return [Pause(one.since, one.ended_at) for one in suspensions if one.ended_at]


# ── time ──────────────────────────────────────────────────────────────────────────────────────────


async def tell_lapsed(tx: Transaction) -> bool:
    """Tell what has passed by the database's clock, oldest first. True: there may be more."""
    rows = await deadlines.claim_lapsed(tx, context_of(tx).sweep_batch)
    for row in rows:
        _tell(tx, row, DeadlineLapsed, ObligationLapsed)
        _count("lapsed", row["kind"], row["late_seconds"])
    telemetry.deadline_sweep_success.set(real_now().timestamp())
    return len(rows) == context_of(tx).sweep_batch


async def tell_near(tx: Transaction) -> bool:
    """Tell what is near. True: there may be more."""
    rows = await deadlines.claim_warned(tx, context_of(tx).sweep_batch)
    for row in rows:
        _tell(tx, row, DeadlineWarned, ObligationWarned)
        _count("warned", row["kind"], row["late_seconds"])
    return len(rows) == context_of(tx).sweep_batch


def _tell(
    tx: Transaction,
    row: Any,
    of_case: type[DeadlineLapsed | DeadlineWarned],
    of_duty: type[ObligationLapsed | ObligationWarned],
) -> None:
    # The statement's clock may be microseconds ahead of the transaction's: a lapse never happens
    # before it is due.
    at = max(tx.now, row["due_at"]) if of_case is DeadlineLapsed else tx.now
    said = {
        "occurred_at": at,
        "campaign_id": row["campaign_id"],
        "unit_id": row["unit_id"],
        "due_at": row["due_at"],
    }
    if row["case_id"]:
        tx.publish(
            of_case(case_id=row["case_id"], number=row["number"], deadline=row["kind"], **said)
        )
    else:
        tx.publish(of_duty(obligation_id=row["duty_id"], obligation=row["obligation"], **said))


def _count(event: str, kind: str, late_seconds: float) -> None:
    telemetry.deadlines_fired.labels(event, kind).inc()
    telemetry.deadline_late_seconds.labels(event).observe(max(late_seconds, 0))


async def count_open(tx: Transaction) -> bool:
    """Set the gauges of open cases and of how far ahead the calendar is certain."""
    telemetry.cases_open.clear()
    for row in await cases.open_counts(tx):
        telemetry.cases_open.labels(row["standing"], State(row["state"]).value).set(row["n"])
    days = await reference.calendar(tx)
    telemetry.calendar_days_ahead.set((days.known_through - calendar.civil_day(tx.now)).days)
    return False
