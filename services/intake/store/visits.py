"""Inspection visits."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from shared.foundation.clock import CHINA
from shared.storage.transaction import Transaction

LIST_MAX: Final = 100


async def add(tx: Transaction, visit_id: UUID, values: dict[str, Any]) -> str | None:
    """Write a visit; gives its number, None when it is here already. `values` are its columns."""
    names = list(values)
    places = ", ".join(
        f"${place}" + ("::jsonb" if name in ("items", "findings") else "")
        for place, name in enumerate(names, start=3)
    )
    number: str | None = await tx.fetchval(
        f"""
        insert into visits (id, number, {", ".join(names)})
        select $1, 'XC' || $2 || '-' || lpad(n::text, greatest(6, length(n::text)), '0'), {places} from nextval('visit_numbers') as n
        on conflict (id) do nothing returning number
        """,
        visit_id,
        str(values["visited_at"].astimezone(CHINA).year),
        *(
            json.dumps(value, ensure_ascii=False) if name in ("items", "findings") else value
            for name, value in values.items()
        ),
    )
    return number


async def locked(tx: Transaction, visit_id: UUID) -> asyncpg.Record | None:
    """The visit of that id, held until the transaction ends; `items` and `findings` as JSON text."""
    return await tx.fetchrow(
        "select *, items::text as items_text, findings::text as findings_text from visits where id = $1 for update",
        visit_id,
    )


async def missing(tx: Transaction, visit_id: UUID, photos: Sequence[str]) -> list[str]:
    """Which of these photos (SHA-256, hexadecimal) are not here yet, in their order."""
    rows = await tx.fetch(
        """
        select p.sha256 from unnest($2::text[]) with ordinality as p (sha256, place)
        where not exists (select from files f where f.subject_id = $1 and f.sha256 = decode(p.sha256, 'hex')) order by p.place
        """,
        visit_id,
        list(photos),
    )
    return [row["sha256"] for row in rows]


async def count(tx: Transaction, visit_id: UUID) -> bool:
    """Let a visit count; False when it does already."""
    return (
        await tx.run(
            "update visits set counted_at = $2 where id = $1 and counted_at is null",
            visit_id,
            tx.now,
        )
        > 0
    )


async def of_inspector(
    tx: Transaction, account_id: UUID, *, since: datetime
) -> list[asyncpg.Record]:
    """What an inspector handed in since then."""
    return await tx.fetch(
        "select id, number, unit_id, campaign_id, mode, visited_at, received_at, counted_at, cardinality(photos) as photos from visits "
        "where inspector_id = $1 and received_at >= $2 order by received_at desc limit $3",
        account_id,
        since,
        LIST_MAX,
    )


async def recent(tx: Transaction) -> list[asyncpg.Record]:
    """Visits of the last 30 days, newest first, with how many findings and photos each has."""
    return await tx.fetch(
        """
        select v.id, v.number, v.unit_id, v.mode, v.visited_at, v.received_at, v.counted_at, v.skew_seconds, a.display_name,
               jsonb_array_length(v.findings) as findings, cardinality(v.photos) as photos
        from visits v left join accounts a on a.id = v.inspector_id
        where v.received_at > $1::timestamptz - interval '30 days' order by v.received_at desc limit $2
        """,
        tx.now,
        LIST_MAX,
    )


async def one(tx: Transaction, visit_id: UUID) -> asyncpg.Record | None:
    """A visit, to be looked at; `items` as JSON text."""
    return await tx.fetchrow(
        "select *, items::text as items_text from visits where id = $1", visit_id
    )


async def counts_since(tx: Transaction, since: datetime) -> asyncpg.Record:
    """How many visits were handed in since then, and how many wait for photos."""
    row = await tx.fetchrow(
        "select count(*) as received, count(*) filter (where counted_at is null) as waiting from visits where received_at >= $1",
        since,
    )
    assert row is not None, "an aggregate always has a row"
    return row


async def coarsen(tx: Transaction, *, before: datetime, batch: int) -> int:
    """Round old positions to about a kilometre, so that no track of an inspector can be drawn from
    them (S20).
    """
    return await tx.run(
        """
        update visits set latitude = round(latitude::numeric, 2), longitude = round(longitude::numeric, 2), accuracy_metres = 1000
        where id in (select id from visits where received_at < $1 and accuracy_metres < 1000 limit $2)
        """,
        before,
        batch,
    )


async def owner_differs(tx: Transaction, visit_id: UUID, account_id: UUID) -> bool:
    """Does this visit, or a photo of it, belong to another inspector?"""
    others = await tx.fetchval(
        "select exists (select from visits where id = $1 and inspector_id <> $2) "
        "or exists (select from files where subject_id = $1 and stored_by <> $2)",
        visit_id,
        account_id,
    )
    return bool(others)
