"""Everything stored about a campaign in one snapshot, and the results of recounts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlmodel import col

from services.scoring.domain.score import UnitScore
from services.scoring.store.scores import decode_score
from services.scoring.tables import Recount
from shared.storage.connections import advisory_lock_key
from shared.storage.transaction import Transaction

FETCH_SIZE: Final = 5_000
# One cursor has one snapshot: ballots, ledger, scores and pending rescores belong to one instant.
_DECLARE_SNAPSHOT = """
declare snapshot no scroll cursor for
select 'score' as kind, unit_no as number, body as text, null::bytea as bytes from scores
where campaign_id = {id} and scheme_version = {version} and body is not null
union all
select 'pending', null, to_json(unit_nos)::text, null from pending_rescores where campaign_id = {id}
union all
select 'ledger', null, to_json(l)::text, null from ledger l where campaign_id = {id}
union all
select 'ballot', response_group_id, null, answers from ballots b
where campaign_id = {id} and not exists (
  select from voided_ballots v where v.campaign_id = {id} and v.ballot_id = b.ballot_id)
"""
_OVERDUE = """
select id from campaigns c, coalesce(
  (select max(counted_at) from recounts where campaign_id = c.id), c.published_at) as at
where at < $1 order by at limit 1
"""
_DIFFERENCES = """
select distinct on (campaign_id) campaign_id, jsonb_array_length(differences) as units from recounts
order by campaign_id, counted_at desc, id desc
"""


@dataclass(frozen=True, slots=True)
class StoredScore:
    unit_no: int
    score: UnitScore


@dataclass(frozen=True, slots=True)
class StoredPending:
    unit_nos: list[int]


@dataclass(frozen=True, slots=True)
class StoredLedgerRow:
    columns: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredBallot:
    response_group_id: int
    answers: bytes


StoredItem = StoredScore | StoredPending | StoredLedgerRow | StoredBallot


async def read_snapshot(
    tx: Transaction,
    campaign_id: str,
    version: str,
) -> AsyncIterator[StoredItem]:
    """Yield everything stored about a campaign, as of one instant."""
    id = await tx.fetchval("select quote_literal($1)", campaign_id)
    quoted_version = await tx.fetchval("select quote_literal($1)", version)
    await tx.run(_DECLARE_SNAPSHOT.format(id=id, version=quoted_version))
    while rows := await tx.fetch(f"fetch {FETCH_SIZE} from snapshot"):
        for kind, number, text, packed in rows:
            yield _item(kind, number, text, packed)
    await tx.run("close snapshot")


def _item(
    kind: str,
    number: int,
    text: str,
    packed: bytes,
) -> StoredItem:
    if kind == "ballot":
        return StoredBallot(number, packed)
    if kind == "ledger":
        return StoredLedgerRow(msgspec.json.decode(text))
    if kind == "score":
        return StoredScore(number, decode_score(text))
    return StoredPending(msgspec.json.decode(text))


async def overdue_recount(tx: Transaction, *, before: datetime) -> str | None:
    """Return the campaign that was not recounted since `before` and waits longest.

    None when there is none or another process is recounting.
    """
    if not await tx.fetchval("select pg_try_advisory_xact_lock($1)", advisory_lock_key("recount")):
        return None
    campaign_id: str | None = await tx.fetchval(_OVERDUE, before)
    return campaign_id


async def differences_by_campaign(tx: Transaction) -> dict[str, int]:
    """Campaign → units whose running score its newest recount contradicts."""
    rows = await tx.fetch(_DIFFERENCES)
    return {row["campaign_id"]: row["units"] for row in rows}


async def newest_recount(tx: Transaction, campaign_id: str) -> Recount | None:
    """Return the newest recount of a campaign."""
    query = (
        select(Recount)
        .where(col(Recount.campaign_id) == campaign_id)
        .order_by(col(Recount.counted_at).desc(), col(Recount.id).desc())
        .limit(1)
    )
    return await tx.scalar(query)


def insert_recount(
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
) -> None:
    """Store the result of a recount."""
    tx.add(
        Recount(
            id=id,
            campaign_id=campaign_id,
            scheme_version=scheme_version,
            counted_at=tx.now,
            counted_by=by,
            ballots=ballots,
            lines=lines,
            units=units,
            digest=digest,
            differences=differences,
        )
    )
