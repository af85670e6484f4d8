"""Lists of complaints, as the hotline desk and reviewers query them."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.complaints import SIMILAR_DAYS, SIMILARITY_MIN
from services.intake.domain.progress import HandlingStatus
from services.intake.store.complaints import VISIBLE, visibility_arguments
from services.intake.store.rows import read_row, read_rows
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency
from shared.security.policies import Account
from shared.storage.transaction import Transaction

SIMILAR_MAX: Final = 5
LIST_MAX: Final = 200
MATCHES_MAX: Final = 8


class ListedComplaint(msgspec.Struct, frozen=True, kw_only=True):
    """What every list shows of a complaint and of its case."""

    id: UUID
    number: str
    kind: ComplaintKind
    unit_id: str | None
    redacted_summary: str
    received_at: datetime
    repeats: int
    assigned_at: datetime | None
    accepted_at: datetime | None
    refused_at: datetime | None
    closed_at: datetime | None
    due_at: datetime | None

    @property
    def status(self) -> HandlingStatus:
        """How far casework has come."""
        reached = (
            (self.closed_at, HandlingStatus.CLOSED),
            (self.refused_at, HandlingStatus.REFUSED),
            (self.accepted_at, HandlingStatus.HANDLING),
            (self.assigned_at, HandlingStatus.ASSIGNED),
        )
        return next((status for at, status in reached if at), HandlingStatus.WAITING)

    @property
    def open_due_at(self) -> datetime | None:
        """The handling deadline while the case is open."""
        return None if self.closed_at else self.due_at


# Whoever registered a 举报 does not learn that somebody else reported the same.
_OWN_REPEATS: Final = "case when c.kind = 'report' then 0 else c.repeats end as repeats"
_LISTED: Final = (
    f"c.id, c.number, c.kind, c.unit_id, c.redacted_summary, c.received_at, {_OWN_REPEATS}, "
    "p.assigned_at, p.accepted_at, p.refused_at, p.closed_at, p.due_at"
)


_LISTED_FOR_REVIEW: Final = _LISTED.replace(_OWN_REPEATS, "c.repeats")


class SimilarComplaint(ListedComplaint, frozen=True, kw_only=True):
    """A complaint about the same unit. `likeness`: share of common trigrams, 0 to 1."""

    likeness: float


class EarlierComplaint(ListedComplaint, frozen=True, kw_only=True):
    """A complaint from the same phone number."""

    registered_by: UUID | None


class OwnComplaint(ListedComplaint, frozen=True, kw_only=True):
    """A complaint that an operator registered."""

    registered_at: datetime


class ReceivedComplaint(ListedComplaint, frozen=True, kw_only=True):
    """A complaint on the reviewers' list."""

    channel: ComplaintChannel
    urgency: Urgency
    problem_item: str | None


class ComplaintMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint found by part of its number."""

    id: UUID
    number: str
    kind: ComplaintKind
    unit_id: str | None


class ComplaintCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many complaints were received, and how many of them wait to be assigned."""

    received: int
    waiting: int


async def similar(
    tx: Transaction,
    *,
    campaign_id: str,
    unit_id: str,
    redacted_summary: str,
    exclude: UUID | None = None,
    operator_id: UUID | None = None,
) -> list[SimilarComplaint]:
    """Return recent complaints about the same unit with a similar summary, most similar first.

    With `operator_id`, a 举报 is returned only to the operator who registered it.
    """
    records = await tx.fetch(
        f"""
        select {_LISTED}, round(likeness::numeric, 2)::float as likeness
        from (
          select *, similarity(redacted_summary, $3) as likeness from complaints
          where campaign_id = $1 and unit_id = $2 and received_at > $4 and merged_into is null
            and id is distinct from $5
            and ($8::uuid is null or kind <> 'report' or registered_by = $8)
        ) c
        left join progress p on p.complaint_id = c.id
        where likeness >= $6 order by likeness desc, c.received_at desc limit $7
        """,
        campaign_id,
        unit_id,
        redacted_summary,
        tx.now - timedelta(days=SIMILAR_DAYS),
        exclude,
        SIMILARITY_MIN,
        SIMILAR_MAX,
        operator_id,
    )
    return read_rows(SimilarComplaint, records)


async def of_complainant(
    tx: Transaction,
    complainant_fingerprint: bytes,
    *,
    operator_id: UUID | None = None,
) -> list[EarlierComplaint]:
    """Return the complaints from the phone number with this fingerprint, newest first.

    With `operator_id`, a 举报 is returned only to the operator who registered it.
    """
    records = await tx.fetch(
        f"""
        select {_LISTED}, c.registered_by
        from complaints c left join progress p on p.complaint_id = c.id
        where c.complainant_fingerprint = $1
          and ($3::uuid is null or c.kind <> 'report' or c.registered_by = $3)
        order by c.received_at desc limit $2
        """,
        complainant_fingerprint,
        LIST_MAX,
        operator_id,
    )
    return read_rows(EarlierComplaint, records)


async def registered_by(
    tx: Transaction,
    account_id: UUID,
    *,
    since: datetime,
) -> list[OwnComplaint]:
    """Return the complaints that an account registered since then, newest first."""
    records = await tx.fetch(
        f"""
        select {_LISTED}, c.registered_at
        from complaints c left join progress p on p.complaint_id = c.id
        where c.registered_by = $1 and c.registered_at >= $2
        order by c.registered_at desc limit $3
        """,
        account_id,
        since,
        LIST_MAX,
    )
    return read_rows(OwnComplaint, records)


async def received(
    tx: Transaction,
    account: Account,
    *,
    since: datetime,
    only_waiting: bool = False,
    only_without_unit: bool = False,
) -> list[ReceivedComplaint]:
    """Return the complaints received since then: urgent ones first, then the newest."""
    records = await tx.fetch(
        f"""
        select {_LISTED_FOR_REVIEW}, c.channel, c.urgency, c.problem_item
        from complaints c left join progress p on p.complaint_id = c.id
        where c.received_at >= $1 and c.merged_into is null and {VISIBLE}
          and (not $5 or coalesce(p.assigned_at, p.refused_at, p.closed_at) is null)
          and (not $6 or c.unit_id is null)
        order by c.urgency = 'critical' desc, c.urgency = 'urgent' desc, c.received_at desc
        limit $7
        """,
        since,
        *visibility_arguments(account),
        only_waiting,
        only_without_unit,
        LIST_MAX,
    )
    return read_rows(ReceivedComplaint, records)


async def search(
    tx: Transaction,
    digits: str,
    account: Account,
) -> list[ComplaintMatch]:
    """Return the complaints whose number contains `digits`, newest first."""
    records = await tx.fetch(
        f"""
        select c.id, c.number, c.kind, c.unit_id from complaints c
        where c.number like '%' || $1 || '%' and {VISIBLE}
        order by c.received_at desc limit $5
        """,
        digits,
        *visibility_arguments(account),
        MATCHES_MAX,
    )
    return read_rows(ComplaintMatch, records)


async def counts_since(tx: Transaction, since: datetime) -> ComplaintCounts:
    """Return how many complaints were received since then and how many wait."""
    record = await tx.fetchrow(
        """
        select count(*) as received,
               count(*) filter (where p.assigned_at is null and p.refused_at is null) as waiting
        from complaints c left join progress p on p.complaint_id = c.id
        where c.received_at >= $1 and c.merged_into is null
        """,
        since,
    )
    assert record is not None, "an aggregate always returns a row"
    return read_row(ComplaintCounts, record)
