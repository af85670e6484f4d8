"""Queries of the audit log of one service: who did what to which subject, and who saw what."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from shared.security.audit_actions import AUDIT_ACTIONS, READ_ACTIONS
from shared.storage.transaction import Transaction

ROWS_PER_PAGE: Final = 50
COUNTED_MAX: Final = 10_000
"""Counting stops here: the log grows for years."""
EXPORTED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What to show; None and "" mean everything. `since` is included, `until` is not."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None
    reads_only: bool = False


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An entry as the page shows it. `sealed`: it has its place in the sealed log."""

    at: datetime
    actor: str
    action: str
    subject: str
    details: str
    sealed: bool

    @property
    def details_text(self) -> str:
        """The details on one line, `key=value` separated by blanks."""
        details: dict[str, object] = json.loads(self.details)
        return "　".join(f"{key}={value}" for key, value in details.items() if value is not None)


@dataclass(frozen=True, slots=True)
class SeenSubject:
    """A subject that an account saw: how often, and when first and last."""

    subject: str
    times: int
    first_at: datetime
    last_at: datetime


Names = Callable[[Transaction, Sequence[str]], Awaitable[Mapping[str, str]]]
Find = Callable[[Transaction, str], Awaitable[str]]


async def _no_names(tx: Transaction, ids: Sequence[str]) -> Mapping[str, str]:
    return {}


async def _as_typed(tx: Transaction, text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class AuditDirectory:
    """What a service knows about its log.

    `names` returns the names of those ids it knows. `find` returns the id of what a person calls by
    a name or a number, or the text itself. `actions` are labels of its actions besides
    AUDIT_ACTIONS.
    """

    names: Names = _no_names
    find: Find = _as_typed
    actions: Mapping[str, str] = field(default_factory=dict)

    def action_label(self, action: str) -> str:
        """Return the name of an action on pages; its key if it is not listed."""
        known = AUDIT_ACTIONS.get(action)
        return known.label if known else self.actions.get(action, action)

    def action_choices(self) -> list[tuple[str, str]]:
        """Return (key, label) of all actions, for a form."""
        common = {key: action.label for key, action in AUDIT_ACTIONS.items()}
        return sorted((common | dict(self.actions)).items())


_WHERE: Final = """
where ($1 = '' or actor = $1) and ($2 = '' or action = $2) and ($3 = '' or subject = $3)
  and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5)
  and ($6::text[] is null or action = any($6))
"""


def _arguments(wanted: AuditFilter) -> tuple[object, ...]:
    reads = list(READ_ACTIONS) if wanted.reads_only else None
    return (wanted.actor, wanted.action, wanted.subject, wanted.since, wanted.until, reads)


async def list_entries(
    tx: Transaction,
    wanted: AuditFilter,
    *,
    limit: int = ROWS_PER_PAGE,
    offset: int = 0,
) -> list[AuditLine]:
    """Return entries, newest first."""
    records = await tx.fetch(
        "select at, actor, action, subject, details::text as details, "
        f"position is not null as sealed from audit {_WHERE} "
        "order by at desc, id desc limit $7 offset $8",
        *_arguments(wanted),
        limit,
        offset,
    )
    return [AuditLine(**record) for record in records]


async def count_entries(tx: Transaction, wanted: AuditFilter) -> int:
    """Return how many entries there are, at most COUNTED_MAX."""
    counted: int = await tx.fetchval(
        f"select count(*) from (select 1 from audit {_WHERE} limit $7) as found",
        *_arguments(wanted),
        COUNTED_MAX,
    )
    return counted


async def list_seen_subjects(
    tx: Transaction,
    wanted: AuditFilter,
    *,
    limit: int = EXPORTED_MAX,
) -> list[SeenSubject]:
    """Return the subjects that were read, the last seen first."""
    records = await tx.fetch(
        "select subject, count(*) as times, min(at) as first_at, max(at) as last_at "
        f"from audit {_WHERE} group by subject order by last_at desc, subject limit $7",
        *_arguments(wanted),
        limit,
    )
    return [SeenSubject(**record) for record in records]
