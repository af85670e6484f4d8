"""What casework told about complaints, and what their informants said in the end."""

from datetime import datetime
from uuid import UUID

import asyncpg

from shared.database import Transaction
from shared.events import CaseEvent, CaseOpened, DeadlineSet


async def open_progress(tx: Transaction, event: CaseOpened) -> bool:
    """Begin the progress of a complaint; False when the complaint is not ours (or known already)."""
    opened = await tx.fetchval(
        """
        insert into progress (complaint_id, case_id, case_number, unit_id, opened_at, explanation, provisional, reply, updated_at)
        select id, $2, $3, $4, $5, '', false, '', $5 from complaints where id = $1 on conflict (complaint_id) do nothing returning 1
        """,
        event.source_id, event.case_id, event.number, event.unit_id, event.occurred_at,
    )  # fmt: skip
    return opened is not None


async def note(tx: Transaction, event: CaseEvent, **changes: object) -> bool:
    """Note what happened to a case; False when it is not one of a complaint of ours. `changes`: columns of `progress`."""
    names = ["unit_id", *changes]
    sets = ", ".join(f"{name} = ${place}" for place, name in enumerate(names, start=3))
    values = (event.case_id, event.occurred_at, event.unit_id, *changes.values())
    return await tx.run(f"update progress set updated_at = $2, {sets} where case_id = $1", *values) > 0


def handling(deadlines: tuple[DeadlineSet, ...]) -> dict[str, object]:
    """The handling deadline among those set, as columns; {} when it is not."""
    found = next((each for each in deadlines if each.kind == "handle"), None)
    return {"due_at": found.due_at, "provisional": found.provisional} if found else {}


async def progress(tx: Transaction, complaint_id: UUID) -> asyncpg.Record | None:
    """What is known of a complaint; of one that was merged, what is known of the first."""
    return await tx.fetchrow(
        """
        select c.id, c.number, c.campaign_id, c.received_at, c.kind, c.registered_at, p.case_id, p.case_number, p.unit_id, p.opened_at,
               p.assigned_at, p.accepted_at, p.closed_at, p.refused_at, p.explanation, p.due_at, p.provisional, p.upheld, p.reply,
               p.updated_at, r.option as rated, m.number as merged_number
        from complaints c left join complaints m on m.id = c.merged_into
        left join progress p on p.complaint_id = coalesce(c.merged_into, c.id) left join ratings r on r.complaint_id = c.id
        where c.id = $1
        """,
        complaint_id,
    )


async def rate(tx: Transaction, complaint_id: UUID, *, option: int, reason: str) -> bool:
    """Keep the informant's rating; False when there is one."""
    kept = await tx.fetchval(
        "insert into ratings (complaint_id, option, reason, at) values ($1, $2, $3, $4) on conflict do nothing returning 1",
        complaint_id, option, reason, tx.now,
    )  # fmt: skip
    return kept is not None


async def updated_at(tx: Transaction) -> datetime | None:
    """When casework was last heard."""
    latest: datetime | None = await tx.fetchval("select max(at) from marks where kind = 'consumed' and topic like '%cases'")
    return latest
