"""Everything stored about a campaign, as of one instant; and what recounts gave."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import Transaction

ROWS_AT_ONCE = 5_000
# One cursor has one snapshot: ballots, ledger, scores and the units still to be scored belong to
# the same instant.
_EVERYTHING = """
declare everything no scroll cursor for
select 'score' as what, unit_no as number, body as text, null::bytea as bytes from scores
where campaign_id = {id} and scheme_version = {version} and body is not null
union all select 'waiting', null, to_json(unit_nos)::text, null from changes where campaign_id = {id}
union all select 'line', null, to_json(l)::text, null from ledger l where campaign_id = {id}
union all select 'ballot', response_group_id, null, answers from ballots where campaign_id = {id}
"""


async def everything(
    tx: Transaction, campaign_id: str, version: str
) -> AsyncIterator[asyncpg.Record]:
    """Rows (what, number, text, bytes): scores (unit, JSON), waiting (units as JSON), lines (JSON),
    ballots (response_group_id, packed answers).
    """
    id, rules = (
        await tx.fetchval("select quote_literal($1)", campaign_id),
        await tx.fetchval("select quote_literal($1)", version),
    )
    await tx.run(_EVERYTHING.format(id=id, version=rules))
    while rows := await tx.fetch(f"fetch {ROWS_AT_ONCE} from everything"):
        for row in rows:
            yield row
    await tx.run("close everything")


async def keep_recount(
    tx: Transaction,
    *,
    id: UUID,
    campaign_id: str,
    by: str,
    scheme_version: str,
    ballots: int,
    lines: int,
    units: int,
    digest: str,
    differences: list[dict[str, Any]],
) -> UUID:
    await tx.run(
        "insert into recounts (id, campaign_id, scheme_version, counted_at, counted_by, ballots, lines, units, digest, differences) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb)",
        id,
        campaign_id,
        scheme_version,
        tx.now,
        by,
        ballots,
        lines,
        units,
        digest,
        msgspec.json.encode(differences).decode(),
    )
    return id


async def overdue_recount(tx: Transaction, *, before: datetime) -> str | None:
    """The campaign that waits longest for a recount and had none since `before`; None when there is
    none, or another process is at it.
    """
    if not await tx.fetchval("select pg_try_advisory_xact_lock($1)", advisory_lock_key("recount")):
        return None
    return await tx.fetchval(  # type: ignore[no-any-return]
        "select id from campaigns c, coalesce((select max(counted_at) from recounts where campaign_id = c.id), c.published_at) as at "
        "where at < $1 order by at limit 1",
        before,
    )


async def differing(tx: Transaction) -> dict[str, int]:
    """Campaign → units whose running score its newest recount contradicts."""
    rows = await tx.fetch(
        "select distinct on (campaign_id) campaign_id, jsonb_array_length(differences) as n from recounts "
        "order by campaign_id, counted_at desc, id desc"
    )
    return {row["campaign_id"]: row["n"] for row in rows}


async def last_recount(tx: Transaction, campaign_id: str) -> dict[str, Any] | None:
    """The newest recount of a campaign with its `differences` read; None when nobody asked for one."""
    row = await tx.fetchrow(
        "select *, differences::text as found from recounts where campaign_id = $1 order by counted_at desc, id desc limit 1",
        campaign_id,
    )
    return dict(row) | {"differences": msgspec.json.decode(row["found"])} if row else None
