"""Obligations of units, each with its deadline."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, select
from sqlmodel import col

from services.casework.domain.deadlines import DeadlineState
from services.casework.store.scope import CaseScope
from services.casework.tables import Deadline, Obligation, RegisteredUnit
from shared.security.policies import Account
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ObligationRow:
    """An obligation with its deadline and the name of its unit."""

    obligation: Obligation
    deadline: Deadline
    unit_name: str | None = None


def _with_deadline() -> Select[Obligation, Deadline]:
    return select(Obligation, Deadline).join(
        Deadline, col(Deadline.obligation_id) == col(Obligation.id)
    )


async def lock_of_campaign(
    tx: Transaction, campaign_id: str
) -> dict[tuple[str, str], ObligationRow]:
    """Return the obligations of a campaign, locked, by unit and rule."""
    rows = await tx.rows(
        _with_deadline()
        .where(col(Obligation.campaign_id) == campaign_id)
        .order_by(col(Deadline.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    obligations = [ObligationRow(*tuple(row)) for row in rows]
    return {(row.obligation.unit_id, row.obligation.obligation_rule_id): row for row in obligations}


async def lock(
    tx: Transaction,
    obligation_id: UUID,
    user: Account,
) -> ObligationRow | None:
    """Return an obligation, locked; None if this person may not find it."""
    statement = _with_deadline().where(col(Obligation.id) == obligation_id)
    scope = CaseScope.of(user)
    if not scope.everything:
        statement = statement.where(col(Obligation.unit_id).in_(scope.unit_ids))
    rows = await tx.rows(statement.with_for_update().execution_options(populate_existing=True))
    return ObligationRow(*tuple(rows[0])) if rows else None


async def find(tx: Transaction, user: Account) -> list[ObligationRow]:
    """Return the obligations that this person may see: open ones first, by due time."""
    statement = (
        select(Obligation, Deadline, col(RegisteredUnit.name))
        .join(Deadline, col(Deadline.obligation_id) == col(Obligation.id))
        .outerjoin(
            RegisteredUnit,
            (col(RegisteredUnit.campaign_id) == col(Obligation.campaign_id))
            & (col(RegisteredUnit.unit_id) == col(Obligation.unit_id)),
        )
        .where(col(Deadline.state) != DeadlineState.CANCELLED)
        .order_by(
            col(Obligation.fulfilled_at).is_not(None),
            col(Deadline.due_at),
            col(RegisteredUnit.unit_no),
        )
    )
    scope = CaseScope.of(user)
    if not scope.everything:
        statement = statement.where(col(Obligation.unit_id).in_(scope.unit_ids))
    return [ObligationRow(*tuple(row)) for row in await tx.rows(statement)]
