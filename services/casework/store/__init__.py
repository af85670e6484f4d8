"""The SQL of casework, by subject. Every function returns typed rows."""

from dataclasses import dataclass, field

from services.casework.domain.campaigns import CampaignRules
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.appraisal.campaigns import CampaignCache
from shared.storage.organisations import RegisterCache
from shared.storage.transaction import Transaction


@dataclass(slots=True)
class CaseworkContext:
    """Settings and caches of one process. A cache may lack an entry; it never holds a wrong one."""

    sweep_batch: int = 500
    page_rows: int = 50
    calendars: dict[int, WorkCalendar] = field(default_factory=dict, repr=False)
    """The calendar in force, by the number of amendments applied."""
    campaigns: CampaignCache[CampaignRules] = field(default_factory=CampaignCache, repr=False)
    organisations: RegisterCache = field(default_factory=RegisterCache, repr=False)


def context_of(tx: Transaction) -> CaseworkContext:
    """Return the context of the service that opened the transaction."""
    context = tx.context
    assert isinstance(context, CaseworkContext), "casework's code runs in its own transactions"
    return context
