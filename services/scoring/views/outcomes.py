"""Final results of earlier years, with the lines that were corrected."""

from services.scoring.store import outcomes as store
from services.scoring.store.outcomes import OutcomeLine
from shared.storage.transaction import Transaction


async def earlier_outcomes(tx: Transaction, scheme_id: str, year: int) -> list[OutcomeLine]:
    """Return every line of one year; a corrected line stands before the one that replaces it."""
    return await store.outcome_lines(tx, scheme_id, year)
