"""Questions to casework's schema: `reference` (campaigns, units, calendar), `cases`, `deadlines`.
All SQL of the service is here.
"""

from dataclasses import dataclass, field
from datetime import datetime

from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction


@dataclass(slots=True)
class Context:
    """What one process of casework remembers between transactions. Nothing in it can be wrong, only
    missing.
    """

    sweep_batch: int = 500
    page_rows: int = 50
    calendars: dict[int, WorkCalendar] = field(default_factory=dict, repr=False)
    """The calendar after so many notices."""
    schemes: dict[tuple[str, datetime], Scheme] = field(default_factory=dict, repr=False)
    """Parsed schemes by campaign and time of publication."""


def context_of(tx: Transaction) -> Context:
    """The context of the service whose transaction this is."""
    assert isinstance(tx.context, Context), "casework's actions run in casework's transactions"
    return tx.context
