"""What the inbox shows: notifications about one subject form a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from services.notify.domain.inbox import ReadState, read_state
from services.notify.domain.rules import RULES
from services.notify.domain.stages import STAGES
from services.notify.store import inbox
from services.notify.store.inbox import InboxItem
from shared.security.policies import Account
from shared.storage.transaction import Transaction

THREADS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One notification of a thread. `action_label` names its link."""

    id: UUID
    title: str
    badge: str
    text: str
    action_label: str
    occurred_at: datetime
    state: ReadState


@dataclass(frozen=True, slots=True)
class InboxThread:
    """All notifications about one subject, newest first."""

    subject_id: str
    number: str
    entries: Sequence[InboxEntry]

    @property
    def newest(self) -> InboxEntry:
        return self.entries[0]

    @property
    def earlier(self) -> Sequence[InboxEntry]:
        return self.entries[1:]

    @property
    def newest_id(self) -> UUID:
        return max(entry.id for entry in self.entries)

    @property
    def row_class(self) -> str:
        """The CSS class of the row: unread threads about overdue work stand out."""
        unread = any(entry.state is ReadState.UNREAD for entry in self.entries)
        return "over" if unread and self.newest.badge == "over" else ""

    @property
    def done(self) -> bool:
        return all(entry.state.needs_no_action for entry in self.entries)


@dataclass(frozen=True, slots=True)
class InboxPage:
    """One page of threads. `next_cursor` continues it; None on the last page."""

    threads: Sequence[InboxThread]
    unread: int
    next_cursor: UUID | None

    @property
    def unread_label(self) -> str:
        return unread_label(self.unread)


async def inbox_page(
    tx: Transaction,
    *,
    user: Account,
    include_read: bool,
    before: UUID | None,
) -> InboxPage:
    """Return one page of the threads of this account's audience."""
    items = await inbox.list_by_subject(
        tx,
        user,
        include_read=include_read,
        before=before,
        limit=THREADS_PER_PAGE + 1,
    )
    threads = _threads(items)
    shown = threads[:THREADS_PER_PAGE]
    more = len(threads) > THREADS_PER_PAGE
    return InboxPage(
        threads=shown,
        unread=await inbox.count_unread(tx, user),
        next_cursor=shown[-1].newest_id if more else None,
    )


async def unread_count(tx: Transaction, *, user: Account) -> int:
    """Return the number of subjects with unseen open notifications, up to 100."""
    return await inbox.count_unread(tx, user)


def unread_label(count: int) -> str:
    """Return the count as pages show it: `99+` from 100 on."""
    return "99+" if count >= inbox.UNREAD_COUNT_MAX else str(count)


def _threads(items: Sequence[InboxItem]) -> list[InboxThread]:
    groups = [list(group) for _, group in groupby(items, key=lambda item: item.subject_id)]
    return [_thread(group) for group in groups]


def _thread(items: Sequence[InboxItem]) -> InboxThread:
    newest = items[0]
    return InboxThread(newest.subject_id, newest.number, [_entry(item) for item in items])


def _entry(item: InboxItem) -> InboxEntry:
    rule = RULES[item.kind]
    return InboxEntry(
        id=item.id,
        title=rule.title,
        badge=rule.badge,
        text=item.text,
        action_label=_action_label(item),
        occurred_at=item.occurred_at,
        state=read_state(seen_at=item.seen_at, done_at=item.done_at, resolved_at=item.resolved_at),
    )


def _action_label(item: InboxItem) -> str:
    stage = STAGES.get(item.stage)
    must_act = stage is not None and item.role in stage.owners and not item.resolved_at
    return stage.action_label if stage and must_act else "查看"


async def list_notifications(
    tx: Transaction,
    *,
    user: Account,
    number: str | None,
    after: UUID | None,
    limit: int,
) -> list[InboxItem]:
    """Return this account's notifications, oldest first, optionally about one `number`."""
    return await inbox.list_by_age(tx, user, number=number, after=after, limit=limit)


async def is_readable(
    tx: Transaction,
    *,
    user: Account,
    notification_id: UUID,
) -> bool:
    """Return whether the account may read the notification."""
    return await inbox.find_link(tx, user, notification_id) is not None
