"""检查轮次: rows of inspection rounds."""

from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.rounds import PHONES_SEE_DAYS_BEFORE, Round, RoundPlan
from services.intake.store.rows import read_optional, read_rows
from shared.appraisal.labels import Role
from shared.storage.transaction import Transaction

LIST_MAX: Final = 200
_COLUMNS: Final = (
    "id, campaign_id, name, mode, begins_on, ends_on, team, units, created_at, closed_at"
)


class RoundEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A round in the office's list, with the number of its visits: all, and those handed over."""

    round: Round
    visits: int
    handed_over: int


class Inspector(msgspec.Struct, frozen=True, kw_only=True):
    """An account that may be in a team."""

    id: UUID
    display_name: str


async def add(tx: Transaction, round_id: UUID, plan: RoundPlan) -> None:
    await tx.run(
        """
        insert into inspection_rounds
          (id, campaign_id, name, mode, begins_on, ends_on, team, units, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        round_id,
        plan.campaign_id,
        plan.name,
        plan.mode,
        plan.begins_on,
        plan.ends_on,
        list(plan.team),
        list(plan.units),
        tx.now,
    )


async def change(tx: Transaction, round_id: UUID, plan: RoundPlan) -> None:
    await tx.run(
        """
        update inspection_rounds set name = $2, mode = $3, begins_on = $4, ends_on = $5, team = $6,
          units = $7
        where id = $1
        """,
        round_id,
        plan.name,
        plan.mode,
        plan.begins_on,
        plan.ends_on,
        list(plan.team),
        list(plan.units),
    )


async def close(tx: Transaction, round_id: UUID) -> None:
    await tx.run("update inspection_rounds set closed_at = $2 where id = $1", round_id, tx.now)


async def find(tx: Transaction, round_id: UUID) -> Round | None:
    record = await tx.fetchrow(f"select {_COLUMNS} from inspection_rounds where id = $1", round_id)
    return read_optional(Round, record)


async def lock(tx: Transaction, round_id: UUID) -> Round | None:
    """Return the round, locked until the transaction ends."""
    record = await tx.fetchrow(
        f"select {_COLUMNS} from inspection_rounds where id = $1 for update", round_id
    )
    return read_optional(Round, record)


async def list_all(tx: Transaction) -> list[RoundEntry]:
    """Return the rounds, those that begin last first."""
    records = await tx.fetch(
        f"select {_COLUMNS} from inspection_rounds order by begins_on desc, id limit $1", LIST_MAX
    )
    rounds = read_rows(Round, records)
    counts = await _visit_counts(tx, [each.id for each in rounds])
    return [
        RoundEntry(round=each, visits=visits, handed_over=handed_over)
        for each in rounds
        for visits, handed_over in [counts.get(each.id, (0, 0))]
    ]


async def _visit_counts(tx: Transaction, round_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    records = await tx.fetch(
        """
        select round_id, count(*) as visits, count(handed_over_at) as handed_over
        from visits where round_id = any($1::uuid[]) group by round_id
        """,
        round_ids,
    )
    return {record["round_id"]: (record["visits"], record["handed_over"]) for record in records}


async def of_inspector(
    tx: Transaction,
    account_id: UUID,
    *,
    campaign_id: str,
    today: date,
) -> list[Round]:
    """Return the rounds that the phone of this inspector needs: running, or soon to begin."""
    records = await tx.fetch(
        f"""
        select {_COLUMNS} from inspection_rounds
        where campaign_id = $1 and $2::uuid = any(team) and closed_at is null and ends_on >= $3
          and begins_on <= $3::date + $4::int
        order by begins_on, name, id
        """,
        campaign_id,
        account_id,
        today,
        PHONES_SEE_DAYS_BEFORE,
    )
    return read_rows(Round, records)


async def inspectors(tx: Transaction) -> list[Inspector]:
    """Return the accounts that may be in a team."""
    records = await tx.fetch(
        "select id, display_name from accounts where role = $1 and not disabled "
        "order by display_name, id",
        Role.INSPECTOR,
    )
    return read_rows(Inspector, records)


async def names_of_team(tx: Transaction, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the names of these accounts, disabled ones too."""
    records = await tx.fetch(
        "select id, display_name from accounts where id = any($1::uuid[])", list(set(ids))
    )
    return {each.id: each.display_name for each in read_rows(Inspector, records)}
