"""Final results of earlier years, for rules that look at two years in a row."""

from collections.abc import Sequence

from services.scoring.store import outcomes
from services.scoring.store.outcomes import OutcomeRow
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def record_outcomes(
    tx: Transaction,
    *,
    scheme_id: str,
    year: int,
    rows: Sequence[OutcomeRow],
    reason: str,
    by: Account,
) -> int:
    """Add a line for each result; a line that it corrects stays. Returns how many."""
    await outcomes.add_outcomes(tx, scheme_id, year, rows, reason=reason)
    tx.audit("outcomes.recorded", f"{scheme_id}-{year}", str(by.id), units=len(rows))
    return len(rows)
