"""The working calendar: what a new notice would move, and taking it in (一例一事: one event for
each case it concerns).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any

import msgspec

from services.casework.actions.deadlines import pauses_of
from services.casework.domain import DeadlineTerms, Shift, changed_days
from services.casework.store import cases, deadlines, reference
from services.casework.store.reference import DayRule
from services.casework.tables import CalendarAmendment
from shared.appraisal.calendar.holiday_notices import read_notice
from shared.appraisal.calendar.working_days import SHANGHAI, CalendarError, WorkCalendar
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseRescheduled, DeadlineSet
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of the calendar, as it will be kept."""

    kind: str
    year: int
    source: str
    content: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a proposal would do. `shifts`: (row of the deadline, where it would go)."""

    old: WorkCalendar
    new: WorkCalendar
    shifts: list[tuple[Any, Shift]]

    @property
    def concerned(self) -> list[tuple[Any, Shift]]:
        """Deadlines of which somebody has to be told."""
        return [(row, shift) for row, shift in self.shifts if shift.concerns]

    @property
    def shortened(self) -> int:
        return sum(shift.shortened for _, shift in self.shifts)


def yearly(text: str) -> Proposal:
    """The proposal in the text of a yearly notice (YAML or CSV). Raises Rejected with every row that
    is wrong.
    """
    try:
        notice = read_notice(text)
    except CalendarError as error:
        raise Rejected(str(error), status=422, field="text") from error
    return Proposal("year", notice.year, notice.source, msgspec.json.encode(notice).decode())


def single_day(day: date, *, worked: bool, name: str) -> Proposal:
    """The proposal to decide one day by hand. Raises Rejected without a reason."""
    if not name.strip():
        raise Rejected("请写明依据，例如“省政府关于……的通知”", status=422, field="name")
    content = msgspec.json.encode(DayRule(day, worked, name.strip())).decode()
    return Proposal("day", day.year, name.strip(), content)


async def preview(tx: Transaction, proposal: Proposal, *, lock: bool = False) -> Preview:
    """What the proposal would move. Nothing is written."""
    old = await reference.calendar(tx)
    try:
        new = reference.applied(old, proposal.kind, proposal.content)
    except CalendarError as error:
        raise Rejected(str(error), status=422, field="text") from error
    changed = changed_days(old, new)
    rows = (
        await deadlines.touched_by(
            tx, _begin(changed[0]), _begin(changed[1] + timedelta(days=1)), lock=lock
        )
        if changed
        else []
    )
    pauses = await cases.suspensions_of(tx, list({row["case_id"] for row in rows}))
    shifts = [
        (
            row,
            Shift(
                row["due_at"],
                row["provisional"],
                DeadlineTerms.from_json(row["terms"]).compute(
                    row["starts_at"],
                    new,
                    pauses_of(pauses.get(row["case_id"], [])),
                ),
            ),
        )
        for row in rows
    ]
    return Preview(old, new, shifts)


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(0), SHANGHAI)


async def take_in(
    tx: Transaction, proposal: Proposal, *, by: Account, shorten: bool = False
) -> Preview:
    """Take the proposal in and move what it moves. A deadline already announced becomes shorter
    only when `shorten` says so.
    """
    await reference.lock_calendar_amendments(tx)
    effect = await preview(tx, proposal, lock=True)
    if effect.old == effect.new:
        raise Rejected("与现行日历相同，没有需要保存的变化")
    applied = [(row, shift) for row, shift in effect.shifts if shorten or not shift.shortened]
    await deadlines.shift(
        tx,
        [
            (
                row["id"],
                s.after.at,
                s.after.warn_at,
                s.after.severe_at,
                s.after.provisional,
                s.after.calendar_version,
            )
            for row, s in applied
        ],
    )
    tx.add(
        CalendarAmendment(
            kind=proposal.kind,
            year=proposal.year,
            source=proposal.source,
            content=proposal.content,
            calendar_version=effect.new.version,
            imported_at=tx.now,
            imported_by=by.display_name,
        )
    )
    _tell(tx, [(row, shift) for row, shift in applied if shift.concerns], effect.new.version)
    tx.audit(
        "calendar.take_in",
        effect.new.version,
        str(by.id),
        year=proposal.year,
        moved=sum(s.moved for _, s in applied),
        shorten=shorten,
    )
    return effect


def _tell(tx: Transaction, moved: Sequence[tuple[Any, Shift]], version: str) -> None:
    """One event for each case, with all its deadlines that moved or became certain."""
    for case_id, group in groupby(moved, key=lambda pair: pair[0]["case_id"]):
        pairs = list(group)
        row = pairs[0][0]
        sets = tuple(
            DeadlineSet(
                kind=r["kind"],
                due_at=s.after.at,
                warn_at=s.after.warn_at,
                provisional=s.after.provisional,
            )
            for r, s in pairs
        )
        tx.publish(
            CaseRescheduled(
                occurred_at=tx.now,
                case_id=case_id,
                number=row["number"],
                campaign_id=row["campaign_id"],
                unit_id=row["case_unit_id"],
                calendar_version=version,
                deadlines=sets,
            )
        )
