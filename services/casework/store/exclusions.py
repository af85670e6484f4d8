"""Cases that accuse somebody, with what follows from it as it is stored."""

from dataclasses import dataclass
from uuid import UUID

from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class AccusingCase:
    """A case with its accused bodies and all bodies that it excludes."""

    id: UUID
    campaign_id: str
    accused_unit_ids: list[str]
    excluded_unit_ids: list[str]


async def with_accused(tx: Transaction) -> list[AccusingCase]:
    """Return the cases that accuse a body, in the order in which they are locked."""
    records = await tx.fetch(
        """
        select id, campaign_id, accused_unit_ids, excluded_unit_ids from cases
        where accused_unit_ids <> '{}' order by id
        """
    )
    return [AccusingCase(**record) for record in records]
