"""What complainants add to an open case: repetitions and a rating."""

from uuid import UUID

from services.casework.store import cases
from shared.storage.transaction import Transaction


async def record_repeats(
    tx: Transaction,
    complaint_id: UUID,
    repeats: int,
) -> None:
    """Record how often the complaint was repeated, so that the unit sees it. No deadline moves."""
    await cases.set_repeats(tx, complaint_id, repeats)


async def record_rating(
    tx: Transaction,
    complaint_id: UUID,
    option: int,
) -> None:
    """Record the complainant's rating, so that the supervisor sees who is dissatisfied."""
    await cases.set_rating(tx, complaint_id, option)
