"""Encrypted answers to free-text questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from shared.security.keyring import SealedRecord
from shared.storage.transaction import Transaction

PAGE_SIZE: Final = 50


@dataclass(frozen=True, slots=True)
class SealedOpinion:
    """A stored opinion; `sealed` holds the text."""

    id: UUID
    campaign_id: str
    instrument: str
    group: str
    unit_no: int
    item_no: int
    sealed: SealedRecord
    received_hour: datetime


_INSERT: Final = """
insert into written_opinions (id, campaign_id, instrument, "group", unit_no, item_no,
                              ciphertext, wrapped_key, key_version, received_hour)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[],
                     $7::bytea[], $8::bytea[], $9::int[], $10::timestamptz[])
"""


async def add(tx: Transaction, opinions: Sequence[SealedOpinion]) -> None:
    """Store the opinions of one ballot."""
    if not opinions:
        return
    sealed = [opinion.sealed for opinion in opinions]
    await tx.run(
        _INSERT,
        [opinion.id for opinion in opinions],
        [opinion.campaign_id for opinion in opinions],
        [opinion.instrument for opinion in opinions],
        [opinion.group for opinion in opinions],
        [opinion.unit_no for opinion in opinions],
        [opinion.item_no for opinion in opinions],
        [record.ciphertext for record in sealed],
        [record.wrapped_key for record in sealed],
        [record.key_version for record in sealed],
        [opinion.received_hour for opinion in opinions],
    )


async def find_page(
    tx: Transaction,
    *,
    campaign_id: str,
    instrument: str,
    page: int,
) -> list[SealedOpinion]:
    """Return a page of opinions, newest hour first; within an hour in an order without meaning."""
    rows = await tx.fetch(
        """
        select * from written_opinions where campaign_id = $1 and instrument = $2
        order by received_hour desc, id limit $3 offset $4
        """,
        campaign_id,
        instrument,
        PAGE_SIZE,
        PAGE_SIZE * (page - 1),
    )
    return [_opinion(row) for row in rows]


def _opinion(row: asyncpg.Record) -> SealedOpinion:
    return SealedOpinion(
        id=row["id"],
        campaign_id=row["campaign_id"],
        instrument=row["instrument"],
        group=row["group"],
        unit_no=row["unit_no"],
        item_no=row["item_no"],
        sealed=SealedRecord(row["ciphertext"], row["wrapped_key"], row["key_version"]),
        received_hour=row["received_hour"],
    )


async def counts(tx: Transaction, campaign_id: str) -> dict[str, int]:
    """Return the number of opinions by instrument."""
    rows = await tx.fetch(
        "select instrument, count(*) as opinions from written_opinions where campaign_id = $1 "
        "group by instrument",
        campaign_id,
    )
    return {row["instrument"]: row["opinions"] for row in rows}
