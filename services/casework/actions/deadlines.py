"""Deadlines of one case: started, completed, cancelled and resumed by the actions on it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.casework.actions.cases import event_fields
from services.casework.domain.campaigns import CampaignRules
from services.casework.domain.deadlines import (
    DeadlineKind,
    DeadlineState,
    DeadlineTerms,
    new_case_deadline,
)
from services.casework.store import calendar, campaigns, deadlines
from services.casework.tables import Case, Deadline, Obligation, Suspension
from shared.appraisal.calendar.deadlines import Pause
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.events import DeadlineLapsed, DeadlineSet, ObligationLapsed
from shared.appraisal.labels import ComplaintKind, Urgency
from shared.appraisal.schemes import CaseLimit, CaseRules
from shared.foundation import telemetry
from shared.storage.transaction import Transaction, new_id


@dataclass(slots=True)
class CaseDeadlines:
    """The deadlines of a locked case, with the campaign and calendar that compute them."""

    tx: Transaction
    case: Case
    campaign: CampaignRules
    calendar: WorkCalendar
    rows: list[Deadline]

    @classmethod
    async def of(cls, tx: Transaction, case: Case) -> "CaseDeadlines":
        """Lock the deadlines of a case that is locked already: always case, deadline, event."""
        return cls(
            tx,
            case,
            campaign=await campaigns.get(tx, case.campaign_id),
            calendar=await calendar.current(tx),
            rows=await deadlines.lock_of_case(tx, case.id),
        )

    @property
    def rules(self) -> CaseRules:
        """The campaign's rules for cases."""
        return self.campaign.case_rules

    def active(self, kind: DeadlineKind) -> Deadline | None:
        """Return the active deadline of that kind; None if there is none."""
        return next((row for row in self._of_kind(kind) if row.is_active), None)

    def _of_kind(self, kind: DeadlineKind) -> list[Deadline]:
        return [row for row in self.rows if row.kind == kind]

    def _active(self, kinds: Sequence[DeadlineKind]) -> list[Deadline]:
        rows = [self.active(kind) for kind in kinds]
        return [row for row in rows if row is not None]

    def running(self, kind: DeadlineKind) -> Deadline | None:
        """Return the deadline of that kind that is not yet due; None if there is none."""
        row = self.active(kind)
        is_running = row is not None and row.is_running and row.due_at > self.tx.now
        return row if is_running else None

    def last(self, kind: DeadlineKind) -> Deadline | None:
        """Return the deadline of that kind that started last, in any state."""
        return max(self._of_kind(kind), key=_order, default=None)

    def sets(self, *kinds: DeadlineKind) -> tuple[DeadlineSet, ...]:
        """Return the active deadlines of these kinds as events carry them."""
        return tuple(_deadline_set(row) for row in self._active(kinds))

    def start(self, kind: DeadlineKind) -> None:
        """Start a deadline now; do nothing if the scheme sets no limit for it."""
        rule = self._rule(kind)
        if rule is not None:
            row = self._new(rule)
            self.tx.add(row)
            self.rows.append(row)

    def _rule(self, kind: DeadlineKind) -> CaseLimit | None:
        case = self.case
        return self.rules.limit(kind, ComplaintKind(case.kind), Urgency(case.urgency))

    def _new(self, rule: CaseLimit) -> Deadline:
        fields = new_case_deadline(
            rule,
            self.tx.now,
            id=new_id(),
            case_id=self.case.id,
            unit_id=self.case.unit_id,
            scheme_version=self.campaign.scheme_version,
            calendar=self.calendar,
        )
        return Deadline(**msgspec.structs.asdict(fields))

    def shorten(self, kind: DeadlineKind) -> bool:
        """Restart a running deadline under the present rule if it then ends sooner.

        Returns whether it does.
        """
        row, rule = self.running(kind), self._rule(kind)
        if row is None or rule is None:
            return False
        restarted = self._new(rule)
        if restarted.due_at >= row.due_at:
            return False
        end_deadline(self.tx, row, DeadlineState.CANCELLED, self.case)
        self.tx.add(restarted)
        self.rows.append(restarted)
        return True

    def complete(self, kind: DeadlineKind) -> bool:
        """End a deadline because its work is done; return whether it was done late."""
        row = self.active(kind)
        if row is None:
            return False
        end_deadline(self.tx, row, DeadlineState.COMPLETED, self.case)
        return row.lapsed_at is not None

    def cancel(self, *kinds: DeadlineKind) -> None:
        """End deadlines that no longer bind anybody. One that has passed by now still lapses."""
        for row in self._active(kinds):
            end_deadline(self.tx, row, DeadlineState.CANCELLED, self.case)

    def resume(self, kind: DeadlineKind) -> bool:
        """Reopen the last ended deadline of that kind with its old times.

        A lapse or warning that was published is not published again. Returns False if there is
        nothing to reopen.
        """
        row = self.last(kind)
        if row is None or row.is_active:
            return False
        _reopen(row)
        return True

    def reopen(self, ids: Collection[UUID], *, paused: bool) -> None:
        """Reopen ended deadlines with their old times; with `paused`, the handling one stands."""
        for row in self.rows:
            if row.id in ids:
                _reopen(row)
                if paused and row.kind == DeadlineKind.HANDLE:
                    row.state = DeadlineState.PAUSED

    def recompute(
        self,
        row: Deadline,
        terms: DeadlineTerms,
        suspensions: Sequence[Suspension],
    ) -> None:
        """Move a deadline after an extension or a pause; it warns again before its new end."""
        times = terms.compute(row.starts_at, self.calendar, ended_pauses(suspensions))
        row.terms = terms.to_json()
        row.due_at = times.at
        row.warn_at = times.warn_at
        row.severe_at = times.severe_at
        row.provisional = times.provisional
        row.calendar_version = times.calendar_version
        row.next_warn_at = max(times.warn_at, self.tx.now)


def _order(row: Deadline) -> tuple[datetime, UUID]:
    return row.starts_at, row.id


def _reopen(row: Deadline) -> None:
    row.ended_at = None
    row.state = DeadlineState.LAPSED if row.lapsed_at else DeadlineState.RUNNING
    unwarned = row.lapsed_at is None and row.warned_at is None
    row.next_warn_at = row.warn_at if unwarned else None


def _deadline_set(row: Deadline) -> DeadlineSet:
    return DeadlineSet(
        kind=row.kind,
        due_at=row.due_at,
        warn_at=row.warn_at,
        provisional=row.provisional,
    )


def ended_pauses(suspensions: Sequence[Suspension]) -> list[Pause]:
    """Return the suspensions that are over, as pauses of the clock."""
    return [Pause(each.since, each.ended_at) for each in suspensions if each.ended_at]


def end_deadline(
    tx: Transaction,
    row: Deadline,
    state: DeadlineState,
    subject: Case | Obligation,
) -> None:
    """End a deadline.

    If it has passed and no sweep has claimed it yet, the lapse is published here. Either way it is
    published once.
    """
    if row.is_running and row.due_at <= tx.now:
        _publish_lapse(tx, row, subject)
    row.state = state
    row.ended_at = tx.now
    row.next_warn_at = None


def _publish_lapse(
    tx: Transaction,
    row: Deadline,
    subject: Case | Obligation,
) -> None:
    row.lapsed_at = tx.now
    tx.publish(_lapse(tx, row, subject))
    late = tx.now - row.due_at
    count_deadline("lapsed", row.kind, late.total_seconds())


def _lapse(
    tx: Transaction,
    row: Deadline,
    subject: Case | Obligation,
) -> DeadlineLapsed | ObligationLapsed:
    if isinstance(subject, Case):
        return DeadlineLapsed(
            occurred_at=tx.now, deadline=row.kind, due_at=row.due_at, **event_fields(subject)
        )
    return ObligationLapsed(
        occurred_at=tx.now, due_at=row.due_at, **obligation_event_fields(subject)
    )


def obligation_event_fields(obligation: Obligation) -> dict[str, Any]:
    """Return the fields that every event of an obligation carries."""
    return {
        "obligation_id": obligation.id,
        "campaign_id": obligation.campaign_id,
        "unit_id": obligation.unit_id,
        "obligation_rule_id": obligation.obligation_rule_id,
    }


def count_deadline(
    event: str,
    kind: str,
    late_seconds: float,
) -> None:
    """Count a published lapse or warning, and how late it was published."""
    telemetry.deadlines_fired.labels(event, kind).inc()
    telemetry.deadline_late_seconds.labels(event).observe(max(late_seconds, 0))
