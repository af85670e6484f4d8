"""What casework told about complaints, and what their complainants said in the end."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from shared.appraisal.events import CaseOpened
from shared.storage.transaction import Transaction

COLUMNS: Final = (
    "unit_id",
    "assigned_at",
    "accepted_at",
    "closed_at",
    "refused_at",
    "explanation",
    "due_at",
    "provisional",
    "finding",
    "reply",
    "updated_at",
)


async def open_progress(tx: Transaction, events: Sequence[CaseOpened]) -> set[str]:
    """Begin the progress of complaints; gives the cases, as text, for which it was begun now: not
    those of complaints unknown to us.
    """
    rows = await tx.fetch(
        """
        insert into progress (complaint_id, case_id, case_number, opened_at, explanation, provisional, reply, updated_at)
        select c.id, e.case_id, e.number, e.at, '', false, '', e.at
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[]) as e (complaint_id, case_id, number, at)
        join complaints c on c.id = e.complaint_id on conflict (complaint_id) do nothing returning case_id
        """,
        [e.source_id for e in events],
        [e.case_id for e in events],
        [e.number for e in events],
        [e.occurred_at for e in events],
    )
    return {str(row["case_id"]) for row in rows}


async def note(tx: Transaction, changes: Mapping[UUID, Mapping[str, object]]) -> int:
    """Note what happened to cases (case → columns that changed); gives how many are of complaints
    of ours.
    """
    return await tx.run(
        f"""
        update progress p set ({", ".join(COLUMNS)}) = (select {", ".join(COLUMNS)} from jsonb_populate_record(p, n.columns))
        from unnest($1::uuid[], $2::text[]) as t (case_id, columns) cross join lateral (select t.columns::jsonb as columns) n
        where p.case_id = t.case_id
        """,
        list(changes),
        [msgspec.json.encode(columns).decode() for columns in changes.values()],
    )


async def progress(tx: Transaction, complaint_id: UUID) -> asyncpg.Record | None:
    """What is known of a complaint; of one that was merged, what is known of the first."""
    return await tx.fetchrow(
        """
        select c.id, c.number, c.campaign_id, c.received_at, c.kind, c.registered_at, p.case_id, p.case_number, p.unit_id, p.opened_at,
               p.assigned_at, p.accepted_at, p.closed_at, p.refused_at, p.explanation, p.due_at, p.provisional, p.finding, p.reply,
               p.updated_at, r.option as rated, m.number as merged_number
        from complaints c left join complaints m on m.id = c.merged_into
        left join progress p on p.complaint_id = coalesce(c.merged_into, c.id) left join ratings r on r.complaint_id = c.id
        where c.id = $1
        """,
        complaint_id,
    )


async def rate(tx: Transaction, complaint_id: UUID, *, option: int, reason: str) -> bool:
    """Keep the complainant's rating; False when there is one."""
    kept = await tx.fetchval(
        "insert into ratings (complaint_id, option, reason, at) values ($1, $2, $3, $4) on conflict do nothing returning 1",
        complaint_id,
        option,
        reason,
        tx.now,
    )
    return kept is not None
