"""One case: its row, its history, and what belongs to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from services.casework.domain.extensions import ExtensionState
from services.casework.domain.states import CaseAction, CaseState
from services.casework.store.scope import CaseScope
from services.casework.tables import (
    Case,
    CaseHistoryEntry,
    CaseMerger,
    Extension,
    RegisteredUnit,
    Submission,
    Suspension,
)
from shared.appraisal.labels import CaseSource
from shared.security.policies import Account
from shared.storage.transaction import Transaction


def _visible(user: Account) -> list[ColumnElement[bool]]:
    """The conditions under which a person finds a case."""
    scope = CaseScope.of(user)
    excludes = col(Case.excluded_unit_ids).op("&&", is_comparison=True)
    not_excluded = ~excludes(list(scope.unit_ids))
    if scope.everything:
        return [not_excluded]
    return [col(Case.unit_id).in_(scope.unit_ids), not_excluded]


async def lock(
    tx: Transaction,
    number: str,
    user: Account,
) -> Case | None:
    """Return the case, locked until the transaction ends; None if this person may not find it."""
    # NO KEY UPDATE: rows that only reference the case need not wait for it.
    return await tx.scalar(
        select(Case)
        .where(col(Case.number) == number, *_visible(user))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def lock_of_source(tx: Transaction, source: CaseSource, source_id: UUID) -> Case | None:
    """Return the case of a complaint or finding, locked until the transaction ends.

    None if it has none.
    """
    return await tx.scalar(
        select(Case)
        .where(col(Case.source) == source, col(Case.source_id) == source_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def lock_by_id(tx: Transaction, case_id: UUID) -> Case:
    """Return a case that exists, locked until the transaction ends."""
    case = await tx.scalar(
        select(Case)
        .where(col(Case.id) == case_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    assert case is not None, "cases are never deleted"
    return case


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case with the names of its units."""

    case: Case
    unit_name: str | None
    named_unit_name: str | None


async def get(
    tx: Transaction,
    number: str,
    user: Account,
) -> CaseRow | None:
    """Return a case to be shown; None if this person may not find it."""
    unit, named = aliased(RegisteredUnit), aliased(RegisteredUnit)
    statement = (
        select(Case, col(unit.name), col(named.name))
        .outerjoin(
            unit,
            (col(unit.campaign_id) == col(Case.campaign_id))
            & (col(unit.unit_id) == col(Case.unit_id)),
        )
        .outerjoin(
            named,
            (col(named.campaign_id) == col(Case.campaign_id))
            & (col(named.unit_id) == col(Case.named_unit_id)),
        )
        .where(col(Case.number) == number, *_visible(user))
    )
    rows = await tx.rows(statement)
    return CaseRow(*tuple(rows[0])) if rows else None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """An entry in the history of a case, with the name of the unit responsible at that time."""

    entry: CaseHistoryEntry
    unit_name: str | None


async def history(tx: Transaction, case: Case) -> list[HistoryRow]:
    """Return the history of a case, newest first."""
    statement = (
        select(CaseHistoryEntry, col(RegisteredUnit.name))
        .outerjoin(
            RegisteredUnit,
            (col(RegisteredUnit.campaign_id) == case.campaign_id)
            & (col(RegisteredUnit.unit_id) == col(CaseHistoryEntry.unit_id)),
        )
        .where(col(CaseHistoryEntry.case_id) == case.id)
        .order_by(col(CaseHistoryEntry.id).desc())
    )
    return [HistoryRow(*tuple(row)) for row in await tx.rows(statement)]


async def submissions(tx: Transaction, case_id: UUID) -> list[Submission]:
    """Return the results submitted for review, newest first."""
    return await tx.scalars(
        select(Submission)
        .where(col(Submission.case_id) == case_id)
        .order_by(col(Submission.no).desc())
    )


async def extensions(tx: Transaction, case_id: UUID) -> list[Extension]:
    """Return every extension that was requested, newest first."""
    return await tx.scalars(
        select(Extension)
        .where(col(Extension.case_id) == case_id)
        .order_by(col(Extension.requested_at).desc())
    )


def open_request(extensions: Iterable[Extension]) -> Extension | None:
    """Return the extension that awaits a decision; None if there is none."""
    return next((each for each in extensions if each.state == ExtensionState.REQUESTED), None)


async def suspensions(tx: Transaction, case_id: UUID) -> list[Suspension]:
    """Return the suspensions of a case, oldest first."""
    return (await suspensions_by_case(tx, [case_id])).get(case_id, [])


async def suspensions_by_case(
    tx: Transaction, case_ids: Sequence[UUID]
) -> dict[UUID, list[Suspension]]:
    """Return the suspensions of many cases, oldest first."""
    rows = await tx.scalars(
        select(Suspension)
        .where(col(Suspension.case_id).in_(case_ids))
        .order_by(col(Suspension.since))
    )
    by_case: dict[UUID, list[Suspension]] = {}
    for suspension in rows:
        by_case.setdefault(suspension.case_id, []).append(suspension)
    return by_case


async def last_returned_by(tx: Transaction, case_id: UUID) -> str | None:
    """Return the unit that returned the case last; None if no unit did."""
    return await tx.scalar(
        select(col(CaseHistoryEntry.unit_id))
        .where(
            col(CaseHistoryEntry.case_id) == case_id,
            col(CaseHistoryEntry.action) == CaseAction.RETURN,
        )
        .order_by(col(CaseHistoryEntry.id).desc())
        .limit(1)
    )


async def lock_due_suspensions(tx: Transaction, limit: int) -> list[tuple[Case, Suspension]]:
    """Return paused cases that have to resume by now, locked; rows that are locked are skipped."""
    rows = await tx.rows(
        select(Case, Suspension)
        .join(Suspension, col(Suspension.case_id) == col(Case.id))
        .where(
            col(Suspension.ended_at).is_(None),
            col(Suspension.until) <= tx.now,
            col(Case.state) == CaseState.PAUSED,
        )
        .order_by(col(Suspension.until))
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return [(case, suspension) for case, suspension in map(tuple, rows)]


async def open_merger(tx: Transaction, case_id: UUID) -> CaseMerger | None:
    """Return the merger that ended a case; None if there is none or it was undone."""
    return await tx.scalar(
        select(CaseMerger).where(
            col(CaseMerger.case_id) == case_id, col(CaseMerger.undone_at).is_(None)
        )
    )


async def set_repeats(
    tx: Transaction,
    complaint_id: UUID,
    repeats: int,
) -> None:
    """Store how often the complaint was repeated."""
    await tx.run(
        "update cases set repeats = $3 where source = $1 and source_id = $2",
        CaseSource.COMPLAINT,
        complaint_id,
        repeats,
    )


async def set_rating(
    tx: Transaction,
    complaint_id: UUID,
    option: int,
) -> None:
    """Store how the complainant rated the handling."""
    await tx.run(
        "update cases set rating = $3 where source = $1 and source_id = $2",
        CaseSource.COMPLAINT,
        complaint_id,
        option,
    )
