"""Campaigns with their schemes, units, and the working calendar with its notices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec

from services.casework.store import context_of
from shared.appraisal.calendar.holiday_notices import china
from shared.appraisal.calendar.working_days import HolidayNotice, WorkCalendar
from shared.appraisal.events import CampaignPublished
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction

CAMPAIGNS_REMEMBERED_MAX = 64


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign and the rules its cases follow now."""

    id: str
    title: str
    year: int
    scheme_version: str
    scheme: Scheme


async def campaigns(tx: Transaction, ids: Sequence[str] | None = None) -> dict[str, Campaign]:
    """The campaigns of these ids that are known here; all of them when no ids are given."""
    rows = await tx.fetch(
        "select id, title, year, scheme_version, published_at from campaigns where $1::text[] is null or id = any($1) order by year, id",
        list(ids) if ids is not None else None,
    )
    return {row["id"]: await _campaign(tx, row) for row in rows}


async def rules_for_opening(
    tx: Transaction, ids: Sequence[str]
) -> tuple[dict[str, Campaign], WorkCalendar]:
    """The campaigns of these ids that are known here, and the calendar in force. Who opens cases of
    their years waits for us.
    """
    rows = await tx.fetch(
        """
        with known as (select id, title, year, scheme_version, published_at from campaigns where id = any($1)), locked as (
          insert into series as s (year, last) select distinct year, 0 from known order by year
          on conflict (year) do update set last = s.last
        )
        select n.amendments, known.* from (select count(*) as amendments from calendar_amendments) n left join known on true
        """,
        list(ids),
    )
    known = {row["id"]: await _campaign(tx, row) for row in rows if row["id"] is not None}
    return known, await _calendar_after(tx, rows[0]["amendments"])


async def _campaign(tx: Transaction, row: Any) -> Campaign:
    return Campaign(
        row["id"],
        row["title"],
        row["year"],
        row["scheme_version"],
        await _scheme(tx, row["id"], row["published_at"]),
    )


async def campaign(tx: Transaction, id: str) -> Campaign:
    """The campaign of a case. It is known: a foreign key says so."""
    return (await campaigns(tx, [id]))[id]


async def _scheme(tx: Transaction, id: str, published_at: datetime) -> Scheme:
    """The parsed scheme; reading its text once per publication spares every action a hundred
    kilobytes.
    """
    schemes = context_of(tx).schemes
    if (id, published_at) not in schemes:
        if len(schemes) >= CAMPAIGNS_REMEMBERED_MAX:
            schemes.clear()
        schemes[id, published_at] = Scheme.from_json(
            await tx.fetchval("select scheme from campaigns where id = $1", id)
        )
    return schemes[id, published_at]


async def keep_campaign(tx: Transaction, event: CampaignPublished) -> None:
    """Replace what is kept of a campaign and its register of units."""
    await tx.run(
        """
        insert into campaigns (id, title, year, scheme, scheme_version, published_at) values ($1, $2, $3, $4, $5, $6)
        on conflict (id) do update set title = excluded.title, year = excluded.year, scheme = excluded.scheme,
          scheme_version = excluded.scheme_version, published_at = excluded.published_at
        """,
        event.campaign_id,
        event.title,
        event.year,
        event.scheme,
        event.scheme_version,
        event.occurred_at,
    )
    await tx.run("update units set listed = false where campaign_id = $1", event.campaign_id)
    await tx.run(
        """
        insert into units (campaign_id, unit_id, unit_no, name, category, listed)
        select $1, *, true from unnest($2::text[], $3::int[], $4::text[], $5::text[])
        on conflict (campaign_id, unit_id) do update set unit_no = excluded.unit_no, name = excluded.name,
          category = excluded.category, listed = true
        """,
        event.campaign_id,
        [u.unit_id for u in event.units],
        [u.unit_no for u in event.units],
        [u.name for u in event.units],
        [u.category for u in event.units],
    )


async def units(tx: Transaction, campaign_id: str) -> list[Any]:
    """The units of a campaign's register in its order: unit_id, name, category."""
    return await tx.fetch(
        "select unit_id, name, category from units where campaign_id = $1 and listed order by unit_no",
        campaign_id,
    )


async def unit_name(tx: Transaction, campaign_id: str, unit_id: str | None) -> str | None:
    """A unit's name; None when the register never had it."""
    name: str | None = await tx.fetchval(
        "select name from units where campaign_id = $1 and unit_id = $2", campaign_id, unit_id
    )
    return name


async def is_listed(tx: Transaction, campaign_id: str, unit_id: str) -> bool:
    """Whether the register has this unit now."""
    return bool(
        await tx.fetchval(
            "select true from units where campaign_id = $1 and unit_id = $2 and listed",
            campaign_id,
            unit_id,
        )
    )


# ── the calendar ──────────────────────────────────────────────────────────────────────────────────


class DayRule(msgspec.Struct, frozen=True):
    """One day decided by hand: worked or not, and why."""

    day: date
    worked: bool
    name: str


async def calendar(tx: Transaction) -> WorkCalendar:
    """The calendar in force: the shipped one with every imported notice, in order."""
    return await _calendar_after(tx, await tx.fetchval("select count(*) from calendar_amendments"))


async def _calendar_after(tx: Transaction, count: int) -> WorkCalendar:
    calendars = context_of(tx).calendars
    if count not in calendars:
        calendars[count] = await _composed(tx)
    return calendars[count]


async def _composed(tx: Transaction) -> WorkCalendar:
    made = china()
    for row in await tx.fetch("select kind, content from calendar_amendments order by id"):
        made = applied(made, row["kind"], row["content"])
    return made


def applied(calendar: WorkCalendar, kind: str, content: str) -> WorkCalendar:
    """The calendar with one notice or hand-made day applied."""
    if kind == "year":
        return calendar.with_notice(msgspec.json.decode(content, type=HolidayNotice))
    rule = msgspec.json.decode(content, type=DayRule)
    return calendar.with_day(rule.day, rule.worked, rule.name)


async def lock_calendar_amendments(tx: Transaction) -> None:
    """One import at a time; readers go on."""
    await tx.run("lock table calendar_amendments in share row exclusive mode")


async def calendar_amendments(tx: Transaction) -> list[Any]:
    """What was imported, newest first."""
    return await tx.fetch(
        "select kind, year, source, calendar_version, imported_at, imported_by from calendar_amendments order by id desc"
    )
