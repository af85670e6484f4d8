"""The working calendar: what an amendment would move, and applying it (一例一事: one event for each
case that it affects).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from services.casework.actions.deadlines import ended_pauses
from services.casework.domain.calendar import Amendment
from services.casework.domain.deadlines import DeadlineShift, DeadlineTerms, changed_days
from services.casework.store import calendar, cases, deadlines
from services.casework.store.deadlines import CaseDeadlineRow
from services.casework.tables import CalendarAmendment, Suspension
from shared.appraisal.calendar.working_days import ONE_DAY, WorkCalendar, midnight
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseRescheduled, DeadlineSet
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ShiftedDeadline:
    """A running deadline of a case, and what the amended calendar makes of it."""

    row: CaseDeadlineRow
    shift: DeadlineShift

    @property
    def as_set(self) -> DeadlineSet:
        """The new times as an event carries them."""
        times = self.shift.after
        return DeadlineSet(
            kind=self.row.kind,
            due_at=times.at,
            warn_at=times.warn_at,
            provisional=times.provisional,
        )


@dataclass(frozen=True, slots=True)
class AmendmentPreview:
    """What an amendment would do."""

    old: WorkCalendar
    new: WorkCalendar
    deadlines: list[ShiftedDeadline]

    @property
    def affected(self) -> list[ShiftedDeadline]:
        """The deadlines whose change has to be announced."""
        return [each for each in self.deadlines if each.shift.must_be_announced]

    @property
    def moved(self) -> int:
        """How many due instants change."""
        return sum(each.shift.moved for each in self.deadlines)

    @property
    def shortened(self) -> int:
        """How many deadlines become due earlier than announced."""
        return sum(each.shift.shortened for each in self.deadlines)


async def preview_amendment(
    tx: Transaction,
    amendment: Amendment,
    *,
    lock: bool = False,
) -> AmendmentPreview:
    """Compute what an amendment would move. Nothing is written."""
    old = await calendar.current(tx)
    new = amendment.apply(old)
    changed = changed_days(old, new)
    if changed is None:
        return AmendmentPreview(old, new, [])
    first, last = changed
    after_last = midnight(last + ONE_DAY)
    rows = await deadlines.running_between(tx, midnight(first), after_last, lock=lock)
    return AmendmentPreview(old, new, await _shift(tx, rows, new))


async def _shift(
    tx: Transaction,
    rows: Sequence[CaseDeadlineRow],
    new: WorkCalendar,
) -> list[ShiftedDeadline]:
    case_ids = {row.case_id for row in rows}
    suspensions = await cases.suspensions_by_case(tx, list(case_ids))
    return [_shifted(row, new, suspensions.get(row.case_id, [])) for row in rows]


def _shifted(
    row: CaseDeadlineRow,
    new: WorkCalendar,
    suspensions: Sequence[Suspension],
) -> ShiftedDeadline:
    terms = DeadlineTerms.from_json(row.terms)
    times = terms.compute(row.starts_at, new, ended_pauses(suspensions))
    shift = DeadlineShift(row.due_at, row.provisional, times)
    return ShiftedDeadline(row, shift)


async def amend_calendar(
    tx: Transaction,
    amendment: Amendment,
    *,
    by: Account,
    shorten: bool = False,
) -> AmendmentPreview:
    """Apply an amendment and move the deadlines it affects.

    A deadline becomes due earlier than announced only if `shorten` is set. Raises Rejected if the
    amendment changes nothing.
    """
    await calendar.lock_amendments(tx)
    preview = await preview_amendment(tx, amendment, lock=True)
    if preview.old == preview.new:
        raise Rejected("与现行日历相同，没有需要保存的变化")
    version = preview.new.version
    applied = [each for each in preview.deadlines if shorten or not each.shift.shortened]
    await _apply(tx, applied, version)
    tx.add(_row(tx, amendment, version, by))
    tx.audit(
        "calendar.amend",
        version,
        str(by.id),
        year=amendment.year,
        moved=sum(each.shift.moved for each in applied),
        shorten=shorten,
    )
    return preview


async def _apply(
    tx: Transaction,
    shifted: Sequence[ShiftedDeadline],
    version: str,
) -> None:
    ids = [each.row.id for each in shifted]
    times = [each.shift.after for each in shifted]
    await deadlines.move(tx, ids, times)
    _publish(tx, [each for each in shifted if each.shift.must_be_announced], version)


def _row(
    tx: Transaction,
    amendment: Amendment,
    version: str,
    by: Account,
) -> CalendarAmendment:
    return CalendarAmendment(
        kind=amendment.kind,
        year=amendment.year,
        source=amendment.source,
        content=amendment.content,
        calendar_version=version,
        imported_at=tx.now,
        imported_by=by.display_name,
    )


def _publish(
    tx: Transaction,
    affected: Sequence[ShiftedDeadline],
    version: str,
) -> None:
    """Publish one event for each case, with all its deadlines that moved or became certain."""
    for _, of_case in groupby(affected, key=lambda each: each.row.case_id):
        tx.publish(_rescheduled(tx, list(of_case), version))


def _rescheduled(
    tx: Transaction,
    of_case: Sequence[ShiftedDeadline],
    version: str,
) -> CaseRescheduled:
    row = of_case[0].row
    return CaseRescheduled(
        occurred_at=tx.now,
        case_id=row.case_id,
        number=row.number,
        campaign_id=row.campaign_id,
        unit_id=row.unit_id,
        calendar_version=version,
        deadlines=tuple(each.as_set for each in of_case),
    )
