"""The working calendar: the shipped one with every imported amendment."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func, select
from sqlmodel import col

from services.casework.domain.calendar import amended
from services.casework.domain.campaigns import CampaignRules
from services.casework.store import campaigns, context_of
from services.casework.tables import CalendarAmendment
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.calendar.working_days import WorkCalendar
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import Transaction


async def current(tx: Transaction) -> WorkCalendar:
    """Return the calendar in force."""
    count = await tx.scalar(select(func.count()).select_from(CalendarAmendment))
    return await _after(tx, count or 0)


async def _after(tx: Transaction, amendments: int) -> WorkCalendar:
    calendars = context_of(tx).calendars
    if amendments not in calendars:
        calendars[amendments] = await _build(tx)
    return calendars[amendments]


async def _build(tx: Transaction) -> WorkCalendar:
    calendar = china()
    rows = await tx.scalars(select(CalendarAmendment).order_by(col(CalendarAmendment.id)))
    for row in rows:
        calendar = amended(calendar, row.kind, row.content)
    return calendar


async def lock_amendments(tx: Transaction) -> None:
    """Allow one import at a time; readers are not blocked."""
    await tx.run("select pg_advisory_xact_lock($1)", advisory_lock_key("calendar_amendments"))


async def amendments(tx: Transaction) -> list[CalendarAmendment]:
    """Return the imported amendments, newest first."""
    return await tx.scalars(select(CalendarAmendment).order_by(col(CalendarAmendment.id).desc()))


_RULES_FOR_OPENING: Final = """
with known as (
  select id, year, published_at from campaigns where id = any($1)
), locked as (
  insert into series as s (year, last) select distinct year, 0 from known order by year
  on conflict (year) do update set last = s.last
)
select n.amendments, known.id, known.published_at
from (select count(*) as amendments from calendar_amendments) n left join known on true
"""


async def rules_for_opening(
    tx: Transaction, campaign_ids: Sequence[str]
) -> tuple[dict[str, CampaignRules], WorkCalendar]:
    """Return the campaigns with these ids, and the calendar in force.

    Locks the case numbers of their years: other transactions that open cases of these years wait.
    """
    rows = await tx.fetch(_RULES_FOR_OPENING, list(campaign_ids))
    versions = {row["id"]: row["published_at"] for row in rows if row["id"] is not None}
    return await campaigns.load(tx, versions), await _after(tx, rows[0]["amendments"])
