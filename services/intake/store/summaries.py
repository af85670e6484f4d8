"""Redacted summaries: drafts that await their release, and the releases."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.store.complaints import VISIBLE, visibility_arguments
from services.intake.store.findings import REGISTERED
from services.intake.store.rows import SealedRow, read_optional, read_rows
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Severity, Urgency
from shared.security.keyring import SealedRecord
from shared.security.policies import Account
from shared.storage.transaction import Transaction

QUEUE_MAX: Final = 200


class SealedSummaryDraft(SealedRow, frozen=True, kw_only=True):
    """A draft, encrypted. `author_id` None: it was drafted from the original."""

    subject_id: UUID
    version: int
    author_id: UUID | None
    saved_at: datetime


class QueuedSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint or finding whose redacted summary awaits its release.

    `release_due_at`: the deadline from casework, None until it arrives. `author_name`: who is
    working on the draft.
    """

    id: UUID
    number: str
    campaign_id: str
    kind: ComplaintKind
    urgency: Urgency
    channel: ComplaintChannel | None
    unit_id: str | None
    registered_at: datetime
    release_due_at: datetime | None
    author_name: str | None


class SummaryReleaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """A release, with the name of the account that released it."""

    release: int
    redacted_summary: str
    released_at: datetime
    released_by_name: str
    original_version: int
    confirmed: dict[str, str]


class NewRelease(msgspec.Struct, frozen=True, kw_only=True):
    """A release to insert."""

    subject_id: UUID
    release: int = 1
    redacted_summary: str
    author_id: UUID | None
    released_by: UUID
    original_version: int = 1
    confirmed: Mapping[str, str] = {}


class NewDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft to insert."""

    subject_id: UUID
    author_id: UUID | None
    sealed: SealedRecord


# ── drafts ────────────────────────────────────────────────────────────────────────────────────────


async def add_drafts(tx: Transaction, drafts: Sequence[NewDraft]) -> None:
    """Insert drafts of new complaints and findings."""
    if not drafts:
        return
    await tx.run(
        """
        insert into summary_drafts
          (subject_id, version, author_id, saved_at, ciphertext, wrapped_key, key_version)
        select id, 1, author_id, $6, ciphertext, wrapped_key, key_version
        from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[], $5::int[])
          as d (id, author_id, ciphertext, wrapped_key, key_version)
        """,
        [draft.subject_id for draft in drafts],
        [draft.author_id for draft in drafts],
        [draft.sealed.ciphertext for draft in drafts],
        [draft.sealed.wrapped_key for draft in drafts],
        [draft.sealed.key_version for draft in drafts],
        tx.now,
    )


async def find_draft(tx: Transaction, subject_id: UUID) -> SealedSummaryDraft | None:
    """Return the draft of what awaits its release; None if it awaits none."""
    record = await tx.fetchrow(
        "select subject_id, version, author_id, saved_at, ciphertext, wrapped_key, key_version "
        "from summary_drafts where subject_id = $1",
        subject_id,
    )
    return read_optional(SealedSummaryDraft, record)


async def save_draft(
    tx: Transaction,
    draft: SealedSummaryDraft,
    *,
    author_id: UUID,
    sealed: SealedRecord,
) -> None:
    """Replace the text of a draft. Its version grows if another person wrote it before."""
    await tx.run(
        """
        update summary_drafts set
          version = version + (author_id is distinct from $2)::int, author_id = $2, saved_at = $3,
          ciphertext = $4, wrapped_key = $5, key_version = $6
        where subject_id = $1
        """,
        draft.subject_id,
        author_id,
        tx.now,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
    )


async def delete_drafts(tx: Transaction, subject_ids: Sequence[UUID]) -> None:
    """Delete the drafts of what awaits no release any more."""
    await tx.run("delete from summary_drafts where subject_id = any($1::uuid[])", subject_ids)


_QUEUED: Final = f"""
select c.id, c.number, c.campaign_id, c.kind, c.urgency, c.channel, c.unit_id, c.registered_at,
       p.release_due_at, d.author_id
from summary_drafts d
join complaints c on c.id = d.subject_id
left join progress p on p.complaint_id = c.id
where {VISIBLE} and c.merged_into is null
union all
select f.id, f.number, v.campaign_id, '{ComplaintKind.FINDING}',
       case f.severity when '{Severity.SERIOUS}' then '{Urgency.URGENT}'
         else '{Urgency.NORMAL}' end,
       null, v.unit_id, v.registered_at, f.release_due_at, d.author_id
from summary_drafts d
join findings f on f.id = d.subject_id
join visits v on v.id = f.visit_id
where {REGISTERED}
"""


async def queue(tx: Transaction, account: Account) -> list[QueuedSummary]:
    """Return what awaits its release: critical complaints first, then the oldest."""
    records = await tx.fetch(
        f"""
        select q.id, q.number, q.campaign_id, q.kind, q.urgency, q.channel, q.unit_id,
               q.registered_at, q.release_due_at, a.display_name as author_name
        from ({_QUEUED}) q left join accounts a on a.id = q.author_id
        order by q.urgency = 'critical' desc, q.registered_at, q.number limit $1
        """,
        QUEUE_MAX,
        *visibility_arguments(account),
    )
    return read_rows(QueuedSummary, records)


async def count_queue(tx: Transaction, account: Account) -> int:
    """Return how many summaries await their release."""
    total: int = await tx.fetchval(
        f"select count(*) from ({_QUEUED}) q where $1::timestamptz is not null",
        tx.now,
        *visibility_arguments(account),
    )
    return total


# ── releases ──────────────────────────────────────────────────────────────────────────────────────


async def add_releases(tx: Transaction, releases: Sequence[NewRelease]) -> None:
    """Insert releases and make their texts the current ones."""
    if not releases:
        return
    await tx.run(
        """
        with given as (
          select * from json_populate_recordset(null::summary_releases, $1::json)
        ), current as (
          update complaints c set redacted_summary = given.redacted_summary
          from given where c.id = given.subject_id
        ), current_finding as (
          update findings f set redacted_summary = given.redacted_summary
          from given where f.id = given.subject_id
        )
        insert into summary_releases (subject_id, release, redacted_summary, author_id,
                                      released_by, released_at, original_version, confirmed)
        select subject_id, release, redacted_summary, author_id, released_by, $2,
               original_version, confirmed from given
        """,
        msgspec.json.encode(releases).decode(),
        tx.now,
    )


async def releases(tx: Transaction, subject_id: UUID) -> list[SummaryReleaseRow]:
    """Return the releases of one subject, newest first."""
    records = await tx.fetch(
        """
        select r.release, r.redacted_summary, r.released_at, r.original_version, r.confirmed,
               coalesce(a.display_name, '') as released_by_name
        from summary_releases r left join accounts a on a.id = r.released_by
        where r.subject_id = $1 order by r.release desc
        """,
        subject_id,
    )
    return read_rows(SummaryReleaseRow, records)


async def last_release(tx: Transaction, subject_id: UUID) -> int:
    """Return the number of the last release, 0 if there is none."""
    last: int = await tx.fetchval(
        "select coalesce(max(release), 0) from summary_releases where subject_id = $1",
        subject_id,
    )
    return last


async def original_version(tx: Transaction, complaint_id: UUID) -> int:
    """Return the version of the complaint text: 1 and the number of its supplements."""
    version: int = await tx.fetchval(
        "select 1 + count(*) from supplements where complaint_id = $1", complaint_id
    )
    return version
