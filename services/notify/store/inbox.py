"""The notifications that an account may read, and its read receipts."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from services.notify.domain.rules import RULES
from services.notify.store.exclusions import HIDDEN_FROM_READER
from shared.appraisal.labels import Role
from shared.security.policies import Account
from shared.storage.transaction import Transaction

UNREAD_COUNT_MAX: Final = 100

_NOT_HIDDEN: Final = "not " + HIDDEN_FROM_READER.format(units="coalesce($2::text[], '{}')")
_VISIBLE: Final = f"n.role = $1 and ($2::text[] is null or n.unit_id = any($2)) and {_NOT_HIDDEN}"
_JOIN_RECEIPT: Final = """
left join read_receipts r on r.notification_id = n.id and r.account_id = $3
"""
_ITEM_COLUMNS: Final = """
n.id, n.role, n.kind, n.number, n.subject_id, n.stage, n.text, n.link, n.due_at, n.occurred_at,
n.created_at, n.resolved_at, r.seen_at, r.done_at
"""


@dataclass(frozen=True, slots=True)
class InboxItem:
    """A notification and what one account did with it."""

    id: UUID
    role: str
    kind: str
    number: str
    subject_id: str
    stage: str
    text: str
    link: str
    due_at: datetime | None
    occurred_at: datetime
    created_at: datetime
    resolved_at: datetime | None
    seen_at: datetime | None
    done_at: datetime | None

    @property
    def title(self) -> str:
        return RULES[self.kind].title


def _audience(user: Account) -> tuple[str, list[str] | None]:
    """Return the role and the units whose notifications the account reads.

    A unit role without a unit reads nothing.
    """
    if user.role in (Role.HANDLER, Role.UNIT_HEAD):
        return user.role, list(user.unit_ids)
    return user.role, None


_COUNT_UNREAD: Final = f"""
select count(*) from (
  select distinct subject_id from notifications n
  where {_VISIBLE} and n.resolved_at is null and not exists (
    select from read_receipts r where r.notification_id = n.id and r.account_id = $3)
  limit $4
) unread
"""


async def count_unread(tx: Transaction, user: Account) -> int:
    """Return the number of subjects with unseen open notifications, up to UNREAD_COUNT_MAX."""
    count: int = await tx.fetchval(_COUNT_UNREAD, *_audience(user), user.id, UNREAD_COUNT_MAX)
    return count


_WANTED: Final = "($4 or (n.resolved_at is null and r.seen_at is null))"
_LIST_BY_SUBJECT: Final = f"""
with subjects as (
  select n.subject_id, max(n.id::text) as newest
  from notifications n {_JOIN_RECEIPT}
  where {_VISIBLE} and {_WANTED}
  group by n.subject_id having $5::text is null or max(n.id::text) < $5
  order by newest desc limit $6
)
select {_ITEM_COLUMNS}
from subjects join notifications n using (subject_id) {_JOIN_RECEIPT}
where {_VISIBLE} and {_WANTED} order by subjects.newest desc, n.id desc
"""


async def list_by_subject(
    tx: Transaction,
    user: Account,
    *,
    include_read: bool,
    before: UUID | None,
    limit: int,
) -> list[InboxItem]:
    """Return the account's notifications, grouped by subject, newest subject first.

    `limit` counts subjects. `before` is the newest id of the last subject of the previous page.
    `include_read` adds what is seen or resolved.
    """
    cursor = str(before) if before else None
    rows = await tx.fetch(_LIST_BY_SUBJECT, *_audience(user), user.id, include_read, cursor, limit)
    return [InboxItem(**row) for row in rows]


_LIST_BY_AGE: Final = f"""
select {_ITEM_COLUMNS}
from notifications n {_JOIN_RECEIPT}
where {_VISIBLE} and ($4::text is null or n.number = $4) and ($5::uuid is null or n.id > $5)
order by n.id limit $6
"""


async def list_by_age(
    tx: Transaction,
    user: Account,
    *,
    number: str | None,
    after: UUID | None,
    limit: int,
) -> list[InboxItem]:
    """Return the account's notifications, oldest first, optionally about one `number`."""
    rows = await tx.fetch(_LIST_BY_AGE, *_audience(user), user.id, number, after, limit)
    return [InboxItem(**row) for row in rows]


async def find_link(
    tx: Transaction,
    user: Account,
    notification_id: UUID,
) -> str | None:
    """Return the link of a notification, or None if the account may not read it."""
    link: str | None = await tx.fetchval(
        f"select link from notifications n where {_VISIBLE} and n.id = $3",
        *_audience(user),
        notification_id,
    )
    return link


_MARK_READ: Final = f"""
insert into read_receipts (notification_id, account_id, seen_at, done_at)
select n.id, $3::uuid, $4::timestamptz, case when $5::boolean then $4 end from notifications n
where {_VISIBLE} and ($6::uuid[] is null or n.id = any($6))
  and ($7::text[] is null or n.subject_id = any($7))
on conflict (notification_id, account_id) do update set done_at = excluded.done_at
where read_receipts.done_at is null and excluded.done_at is not null
"""


async def mark_read(
    tx: Transaction,
    user: Account,
    *,
    done: bool,
    ids: Collection[UUID] | None,
    subject_ids: Collection[str] | None,
) -> int:
    """Record that the account saw notifications, or is done with them; return how many changed.

    None means all. Notifications that the account may not read are ignored.
    """
    return await tx.run(
        _MARK_READ,
        *_audience(user),
        user.id,
        tx.now,
        done,
        None if ids is None else list(ids),
        None if subject_ids is None else list(subject_ids),
    )
