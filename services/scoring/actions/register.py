"""Write bodies of the register: save and publish them, and record those of a file."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from services.scoring.domain.register import PlannedRow, RegisterPlan
from services.scoring.store import organisations as store
from shared.appraisal.events import OrganisationPublished
from shared.appraisal.organisations import Organisation
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def save_changed(
    tx: Transaction,
    changed: Sequence[Organisation],
    *,
    action: str,
    by: Account,
) -> None:
    """Save and publish changed bodies, each with its audit entry. The register is locked."""
    await store.save_organisations(tx, changed)
    for organisation in changed:
        tx.publish(OrganisationPublished(occurred_at=tx.now, organisation=organisation))
        tx.audit(action, organisation.id, str(by.id), state=organisation.state)


async def carry_out(
    tx: Transaction,
    plan: RegisterPlan,
    *,
    by: Account,
) -> list[tuple[Organisation, str]]:
    """Record the new bodies of a plan; return every body with its category. The register is locked.

    Raises Rejected (422) when the plan has errors.
    """
    plan.raise_errors()
    ids = await _assign_ids(tx, plan.rows)
    bodies = [_with_ids(planned.organisation, ids) for planned in plan.rows]
    new = [body for body, planned in zip(bodies, plan.rows, strict=True) if planned.is_new]
    await save_changed(tx, new, action="organisation.recorded", by=by)
    categories = (planned.category for planned in plan.rows)
    return list(zip(bodies, categories, strict=True))


async def _assign_ids(tx: Transaction, rows: Iterable[PlannedRow]) -> dict[str, str]:
    """Provisional id of the plan → id."""
    provisional = [planned.organisation.id for planned in rows if planned.is_new]
    if not provisional:
        return {}
    return dict(zip(provisional, await store.next_ids(tx, len(provisional)), strict=True))


def _with_ids(organisation: Organisation, ids: Mapping[str, str]) -> Organisation:
    parent_id = organisation.parent_id
    return replace(
        organisation,
        id=ids.get(organisation.id, organisation.id),
        parent_id=ids.get(parent_id, parent_id) if parent_id else None,
    )
