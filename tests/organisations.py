"""Bodies of the register of organisations, as tests need them."""

from typing import Any

from shared.appraisal.events import OrganisationPublished
from shared.appraisal.labels import OrganisationKind, OrganisationLevel
from shared.appraisal.organisations import Organisation, OrganisationName
from shared.storage.organisations import save_organisation
from shared.storage.transaction import Transaction


def body(id: str, name: str = "", **changes: Any) -> Organisation:
    """Return an active body without a parent."""
    fields = {
        "id": id,
        "names": (OrganisationName(name=name or f"单位{id}"),),
        "kind": OrganisationKind.UNIT,
        "level": OrganisationLevel.PROVINCE,
    }
    return Organisation(**fields | changes)


async def know(
    tx: Transaction,
    *organisations: Organisation,
    version: int = 1,
) -> None:
    """Let intake or casework know these bodies, as if scoring had published them."""
    for organisation in organisations:
        event = OrganisationPublished(occurred_at=tx.now, organisation=organisation)
        await save_organisation(tx, event, version)
