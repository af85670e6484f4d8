"""Deadlines: started, completed, cancelled with the acts of a case; warned and lapsed by time alone, each told
exactly once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.casework.actions.cases import keys
from services.casework.domain import DeadlineState, DeadlineTerms, State
from services.casework.store import cases, context_of, deadlines, reference
from services.casework.store.reference import Campaign
from services.casework.tables import Case, Deadline, Obligation, Suspension
from shared.appraisal.calendar import working_days as calendar
from shared.appraisal.calendar.deadlines import Pause
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.events import (
    DeadlineLapsed,
    DeadlineSet,
    DeadlineWarned,
    ObligationLapsed,
    ObligationWarned,
)
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.appraisal.schemes import CaseLimit
from shared.foundation import telemetry
from shared.foundation.clock import real_now
from shared.storage.transaction import Transaction, new_id

ACTIVE_STATES = (DeadlineState.RUNNING, DeadlineState.LAPSED, DeadlineState.PAUSED)


@dataclass(slots=True)
class CaseDeadlines:
    """The deadlines of one locked case, and what they are computed with."""

    tx: Transaction
    case: Case
    campaign: Campaign
    calendar: WorkCalendar
    rows: list[Deadline]

    @classmethod
    async def of(cls, tx: Transaction, case: Case) -> "CaseDeadlines":
        """Read and lock them. The case itself is locked already: the order is always case,
        deadline, event.
        """
        campaign, days = (
            await reference.campaign(tx, case.campaign_id),
            await reference.calendar(tx),
        )
        return cls(tx, case, campaign, days, await deadlines.locked(tx, case.id))

    def active(self, kind: str) -> Deadline | None:
        """The deadline of that kind that is owed now."""
        return next(
            (row for row in self.rows if row.kind == kind and row.state in ACTIVE_STATES), None
        )

    def last(self, kind: str) -> Deadline | None:
        """The deadline of that kind that began last, whatever became of it."""
        return max(
            (row for row in self.rows if row.kind == kind),
            key=lambda row: (row.starts_at, row.id),
            default=None,
        )

    def deadline_sets(self, *kinds: str) -> tuple[DeadlineSet, ...]:
        """The running deadlines of these kinds as events carry them."""
        return tuple(deadline_set_of(row) for kind in kinds if (row := self.active(kind)))

    def start(self, kind: str) -> None:
        """Let a deadline begin now; nothing where the scheme sets no limit for it."""
        rule = self.campaign.scheme.case_rules.limit(
            kind, ComplaintKind(self.case.kind), Urgency(self.case.urgency)
        )
        if rule:
            row = Deadline(
                **deadline_row(rule, self.tx.now, self.campaign, self.calendar),
                case_id=self.case.id,
                unit_id=self.case.unit_id,
            )
            self.tx.add(row)
            self.rows.append(row)

    def complete(self, kind: str) -> bool:
        """End a deadline because the obligation is done; True when it was done late."""
        row = self.active(kind)
        if row is None:
            return False
        end(self.tx, row, DeadlineState.COMPLETED, self.case)
        return row.lapsed_at is not None

    def cancel(self, *kinds: str) -> None:
        """End deadlines because nobody owes them any more. What had passed by now has lapsed all
        the same.
        """
        for row in [row for kind in kinds if (row := self.active(kind))]:
            end(self.tx, row, DeadlineState.CANCELLED, self.case)

    def resume(self, kind: str) -> bool:
        """Let the last deadline of that kind run on as if it had never ended; False when there is
        none. It keeps its instants: what was told of it is not told again.
        """
        row = self.last(kind)
        if row is None or row.state in ACTIVE_STATES:
            return False
        row.state = DeadlineState.LAPSED if row.lapsed_at else DeadlineState.RUNNING
        row.ended_at = None
        row.next_warn_at = (
            row.warn_at if row.state == DeadlineState.RUNNING and row.warned_at is None else None
        )
        return True

    def recompute(self, row: Deadline, terms: DeadlineTerms, pauses: Sequence[Pause]) -> None:
        """Move a deadline that an extension or a pause has lengthened; it warns again before its
        new end.
        """
        made = terms.compute(row.starts_at, self.calendar, pauses)
        row.terms, row.due_at, row.warn_at, row.severe_at = (
            terms.to_json(),
            made.at,
            made.warn_at,
            made.severe_at,
        )
        row.provisional, row.calendar_version = made.provisional, made.calendar_version
        row.next_warn_at = max(made.warn_at, self.tx.now)


def deadline_set_of(row: Deadline) -> DeadlineSet:
    return DeadlineSet(
        kind=row.kind, due_at=row.due_at, warn_at=row.warn_at, provisional=row.provisional
    )


def deadline_row(
    rule: CaseLimit, start: datetime, campaign: Campaign, calendar: WorkCalendar
) -> dict[str, Any]:
    """A new running deadline as the values of its row, without the case it belongs to."""
    terms = DeadlineTerms(rule.limit)
    made = terms.compute(start, calendar)
    return {
        "id": new_id(),
        "kind": rule.stage,
        "starts_at": start,
        "terms": terms.to_json(),
        "due_at": made.at,
        "warn_at": made.warn_at,
        "severe_at": made.severe_at,
        "provisional": made.provisional,
        "rule_id": rule.id,
        "scheme_version": campaign.scheme_version,
        "calendar_version": made.calendar_version,
        "state": DeadlineState.RUNNING.value,
        "next_warn_at": made.warn_at,
        "later_warns": [],
    }


def end(tx: Transaction, row: Deadline, state: DeadlineState, subject: Case | Obligation) -> None:
    """End a deadline. Had it passed and the sweep not come yet, this tells the lapse in its place:
    once, whoever is first.
    """
    if row.state == DeadlineState.RUNNING and row.due_at <= tx.now:
        row.lapsed_at = tx.now
        lapsed = (
            DeadlineLapsed(
                occurred_at=tx.now, deadline=row.kind, due_at=row.due_at, **keys(subject)
            )
            if isinstance(subject, Case)
            else ObligationLapsed(occurred_at=tx.now, due_at=row.due_at, **obligation_keys(subject))
        )
        tx.publish(lapsed)
        _count("lapsed", row.kind, (tx.now - row.due_at).total_seconds())
    row.state, row.ended_at, row.next_warn_at = state, tx.now, None


def obligation_keys(obligation: Obligation) -> dict[str, Any]:
    """What every event of an obligation says."""
    return {
        "obligation_id": obligation.id,
        "campaign_id": obligation.campaign_id,
        "unit_id": obligation.unit_id,
        "obligation_rule_id": obligation.obligation_rule_id,
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
    of_obligation: type[ObligationLapsed | ObligationWarned],
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
        tx.publish(
            of_obligation(
                obligation_id=row["obligation_id"],
                obligation_rule_id=row["obligation_rule_id"],
                **said,
            )
        )


def _count(event: str, kind: str, late_seconds: float) -> None:
    telemetry.deadlines_fired.labels(event, kind).inc()
    telemetry.deadline_late_seconds.labels(event).observe(max(late_seconds, 0))


async def count_open(tx: Transaction) -> bool:
    """Set the gauges of open cases and of how far ahead the calendar is certain."""
    telemetry.cases_open.clear()
    for row in await cases.open_counts(tx):
        telemetry.cases_open.labels(row["deadline_status"], State(row["state"]).value).set(row["n"])
    days = await reference.calendar(tx)
    telemetry.calendar_days_ahead.set((days.known_through - calendar.civil_day(tx.now)).days)
    return False
