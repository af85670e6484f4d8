"""The table `approvals` of each service's schema."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from shared.security.approvals.domain import Approval, ApprovalState, Fact
from shared.storage.transaction import Transaction

LISTED_MAX: Final = 200
HISTORY_MAX: Final = 100
EXPIRED_MAX: Final = 500
_COLUMNS: Final = (
    "id, kind, subject, payload::text as payload, basis, facts::text as facts, reason, "
    "requested_by, requester_name, requested_at, expires_at, state, decided_by, decider_name, "
    "decided_at, decision_reason"
)


def _read(record: asyncpg.Record) -> Approval:
    columns = dict(record)
    columns["facts"] = msgspec.json.decode(columns["facts"], type=list[Fact])
    return msgspec.convert(columns, Approval)


async def insert(tx: Transaction, approval: Approval) -> bool:
    """Insert a request; return False if its requester already has one for this subject."""
    inserted = await tx.fetchval(
        """
        insert into approvals (id, kind, subject, payload, basis, facts, reason, requested_by,
                               requester_name, requested_at, expires_at)
        values ($1, $2, $3, $4::text::jsonb, $5, $6::text::jsonb, $7, $8, $9, $10, $11)
        on conflict (kind, subject, requested_by) where state = 'pending' do nothing returning 1
        """,
        approval.id,
        approval.kind,
        approval.subject,
        approval.payload,
        approval.basis,
        msgspec.json.encode(approval.facts).decode(),
        approval.reason,
        approval.requested_by,
        approval.requester_name,
        approval.requested_at,
        approval.expires_at,
    )
    return inserted is not None


async def find(tx: Transaction, approval_id: UUID) -> Approval | None:
    record = await tx.fetchrow(f"select {_COLUMNS} from approvals where id = $1", approval_id)
    return _read(record) if record else None


async def lock(tx: Transaction, approval_id: UUID) -> Approval | None:
    """Lock a request until the end of the transaction and return it, or None."""
    record = await tx.fetchrow(
        f"select {_COLUMNS} from approvals where id = $1 for update", approval_id
    )
    return _read(record) if record else None


async def decide(
    tx: Transaction,
    approval_id: UUID,
    state: ApprovalState,
    *,
    by: str,
    name: str,
    reason: str = "",
) -> None:
    """Store the decision on a locked request and drop its payload."""
    await tx.run(
        """
        update approvals set state = $2, decided_by = $3, decider_name = $4, decided_at = $5,
          decision_reason = $6, payload = null
        where id = $1
        """,
        approval_id,
        state,
        by,
        name,
        tx.now,
        reason,
    )


async def previous_reason(
    tx: Transaction,
    *,
    kind: str,
    requested_by: str,
    subject: str,
) -> str | None:
    """Return the reason of the requester's last request that another one may not repeat.

    A request that was withdrawn or has expired may be made again with the same words.
    """
    reason: str | None = await tx.fetchval(
        """
        select reason from approvals
        where kind = $1 and requested_by = $2
          and (subject <> $3 or state not in ('withdrawn', 'expired'))
        order by requested_at desc, id desc limit 1
        """,
        kind,
        requested_by,
        subject,
    )
    return reason


async def pending(tx: Transaction, kinds: Collection[str]) -> list[Approval]:
    """Return undecided requests of these kinds, the first one to expire first."""
    records = await tx.fetch(
        f"""
        select {_COLUMNS} from approvals
        where state = 'pending' and expires_at > $1 and kind = any($2::text[])
        order by expires_at, id limit $3
        """,
        tx.now,
        list(kinds),
        LISTED_MAX,
    )
    return [_read(record) for record in records]


async def requested_by(tx: Transaction, account_id: UUID) -> list[Approval]:
    """Return the undecided requests of an account, newest first."""
    records = await tx.fetch(
        f"""
        select {_COLUMNS} from approvals where state = 'pending' and requested_by = $1
        order by requested_at desc, id desc limit $2
        """,
        str(account_id),
        LISTED_MAX,
    )
    return [_read(record) for record in records]


async def decided(
    tx: Transaction,
    kinds: Sequence[str],
    *,
    requested_by: UUID,
) -> list[Approval]:
    """Return the last decisions on these kinds and on requests of this account, newest first."""
    records = await tx.fetch(
        f"""
        select {_COLUMNS} from approvals
        where state <> 'pending' and (kind = any($1::text[]) or requested_by = $2)
        order by decided_at desc, id desc limit $3
        """,
        list(kinds),
        str(requested_by),
        HISTORY_MAX,
    )
    return [_read(record) for record in records]


async def last_of(
    tx: Transaction,
    *,
    kind: str,
    subject: str,
    requested_by: UUID,
) -> Approval | None:
    """Return the last request of an account for an act on this subject, or None."""
    record = await tx.fetchrow(
        f"""
        select {_COLUMNS} from approvals where kind = $1 and subject = $2 and requested_by = $3
        order by requested_at desc, id desc limit 1
        """,
        kind,
        subject,
        str(requested_by),
    )
    return _read(record) if record else None


async def lock_overdue(tx: Transaction, now: datetime) -> list[tuple[UUID, str, str]]:
    """Lock requests that nobody decided in time; return their id, kind and subject."""
    records = await tx.fetch(
        """
        select id, kind, subject from approvals where state = 'pending' and expires_at <= $1
        order by id limit $2 for update skip locked
        """,
        now,
        EXPIRED_MAX,
    )
    return [(record["id"], record["kind"], record["subject"]) for record in records]
