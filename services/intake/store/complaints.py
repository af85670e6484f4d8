"""Complaints: one statement to write one, and the questions that desk and reviewers ask."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from services.intake.domain.complaints import SIMILAR_DAYS, SIMILAR_LEAST, Report
from shared.appraisal.labels import ComplaintKind, Role
from shared.foundation.clock import CHINA
from shared.security.keyring import SealedRecord
from shared.security.policies import Account
from shared.storage.transaction import Transaction

SIMILAR_MAX: Final = 5
LIST_MAX: Final = 200
READERS: Final = frozenset({Role.REVIEWER, Role.SUPERVISOR})
"""Who may read every complaint; an operator reads their own."""

_REGISTER: Final = """
with given as (
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                       $10::text[], $11::text[], $12::timestamptz[], $13::uuid[], $14::bytea[])
    with ordinality as g (id, year, campaign_id, channel, kind, urgency, urgency_reason, identity, unit_id, problem_item, redacted_summary,
                          received_at, registered_by, complainant_fingerprint, n)
), counted as (
  select given.*, nextval('complaint_numbers')::text as serial from given order by n
), complaint as (
  insert into complaints (id, number, campaign_id, channel, kind, urgency, urgency_reason, identity, unit_id, problem_item, redacted_summary,
                          received_at, registered_at, registered_by, complainant_fingerprint, repeats)
  select id, 'ZT' || year || '-' || lpad(serial, greatest(6, length(serial)), '0'), campaign_id, channel, kind, urgency, urgency_reason,
         identity, unit_id, problem_item, redacted_summary, received_at, $15, registered_by, complainant_fingerprint, 0 from counted
  returning id, number
), sealed as (
  insert into vault (complaint_id, part, ciphertext, wrapped_key, key_version)
  select * from unnest($16::uuid[], $17::text[], $18::bytea[], $19::bytea[], $20::int[])
)
select id, number from complaint
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A complaint as it is written: checked, its words and its complainant sealed (part → bytes)."""

    id: UUID
    report: Report
    redacted_summary: str
    received_at: datetime
    by: UUID | None
    complainant_fingerprint: bytes | None
    sealed: Mapping[str, SealedRecord]


async def register(tx: Transaction, rows: Sequence[Row]) -> dict[UUID, str]:
    """Write complaints and their sealed parts in one statement; gives their numbers, which rise in
    the order given.
    """
    if not rows:
        return {}
    reports = [row.report for row in rows]
    parts = [(row.id, part, sealed) for row in rows for part, sealed in row.sealed.items()]
    numbered = await tx.fetch(
        _REGISTER,
        [row.id for row in rows],
        [str(row.received_at.astimezone(CHINA).year) for row in rows],
        [r.campaign_id for r in reports],
        [r.channel for r in reports],
        [r.kind for r in reports],
        [r.urgency for r in reports],
        [r.urgency_reason for r in reports],
        [r.identity for r in reports],
        [r.unit_id for r in reports],
        [r.problem_item for r in reports],
        [row.redacted_summary for row in rows],
        [row.received_at for row in rows],
        [row.by for row in rows],
        [row.complainant_fingerprint for row in rows],
        tx.now,
        [id for id, _, _ in parts],
        [part for _, part, _ in parts],
        [s.ciphertext for *_, s in parts],
        [s.wrapped_key for *_, s in parts],
        [s.key_version for *_, s in parts],
    )
    return {row["id"]: row["number"] for row in numbered}


async def similar(
    tx: Transaction,
    *,
    campaign_id: str,
    unit_id: str,
    redacted_summary: str,
    besides: UUID | None = None,
) -> list[asyncpg.Record]:
    """Complaints about the same unit in the last days whose redacted summary is alike: number,
    likeness, what came of it.
    """
    return await tx.fetch(
        """
        select c.id, c.number, c.redacted_summary, c.kind, c.received_at, c.repeats, round(likeness::numeric, 2)::float as likeness,
               p.closed_at, p.assigned_at, p.due_at
        from (select *, similarity(redacted_summary, $3) as likeness from complaints
              where campaign_id = $1 and unit_id = $2 and received_at > $4 and merged_into is null and id is distinct from $5) c
        left join progress p on p.complaint_id = c.id
        where likeness >= $6 order by likeness desc, c.received_at desc limit $7
        """,
        campaign_id,
        unit_id,
        redacted_summary,
        tx.now - timedelta(days=SIMILAR_DAYS),
        besides,
        SIMILAR_LEAST,
        SIMILAR_MAX,
    )


async def of_complainant(tx: Transaction, complainant_fingerprint: bytes) -> list[asyncpg.Record]:
    """Earlier complaints from the same number, newest first."""
    return await tx.fetch(
        """
        select c.number, c.redacted_summary, c.kind, c.received_at, c.unit_id, c.campaign_id, c.registered_by, p.closed_at, p.assigned_at, p.due_at,
               r.option
        from complaints c left join progress p on p.complaint_id = c.id left join ratings r on r.complaint_id = c.id
        where c.complainant_fingerprint = $1 order by c.received_at desc limit $2
        """,
        complainant_fingerprint,
        LIST_MAX,
    )


async def by_number(tx: Transaction, number: str) -> asyncpg.Record | None:
    """What is needed to ask about a complaint: its id and when it came."""
    return await tx.fetchrow(
        "select id, number, campaign_id, kind, unit_id, received_at from complaints where number = $1",
        number,
    )


async def visible(tx: Transaction, number: str, user: Account) -> asyncpg.Record | None:
    """The complaint of that number, if this person may know of it: an operator their own, reviewers
    and supervisors all.

    Nobody who belongs to the accused unit finds a 举报 against it.
    """
    return await tx.fetchrow(
        f"""
        select c.*, m.number as merged_number from complaints c left join complaints m on m.id = c.merged_into
        where c.number = $1 and {_SEEN}
        """,
        number,
        user.role in READERS,
        user.id,
        user.unit_id,
        ComplaintKind.REPORT,
    )


_SEEN: Final = (
    "($2 or c.registered_by = $3) and not (c.kind = $5 and $4::text is not null and c.unit_id = $4)"
)


async def exists(tx: Transaction, complaint_id: UUID) -> bool:
    return bool(
        await tx.fetchval("select exists (select from complaints where id = $1)", complaint_id)
    )


async def locked(tx: Transaction, numbers: Collection[str]) -> dict[str, asyncpg.Record]:
    """The complaints of these numbers that there are, held until the transaction ends; taken in one
    order, so that nobody deadlocks.
    """
    if not numbers:
        return {}
    rows = await tx.fetch(
        "select * from complaints where number = any($1::text[]) order by number for update",
        list(numbers),
    )
    return {row["number"]: row for row in rows}


async def merge(tx: Transaction, complaint_id: UUID, *, into: UUID) -> int:
    """Note that one complaint repeats another; gives how often that one was repeated now."""
    await tx.run("update complaints set merged_into = $2 where id = $1", complaint_id, into)
    repeats: int = await tx.fetchval(
        "update complaints set repeats = repeats + 1 where id = $1 returning repeats", into
    )
    return repeats


async def sealed_part(tx: Transaction, complaint_id: UUID, part: str) -> SealedRecord | None:
    """A sealed part of a complaint, or None when it has none."""
    row = await tx.fetchrow(
        "select ciphertext, wrapped_key, key_version from vault where complaint_id = $1 and part = $2",
        complaint_id,
        part,
    )
    return sealed_of(row) if row else None


def sealed_of(row: asyncpg.Record) -> SealedRecord:
    """The sealed bytes in a row."""
    return SealedRecord(row["ciphertext"], row["wrapped_key"], row["key_version"])


async def supplements(tx: Transaction, complaint_id: UUID) -> list[asyncpg.Record]:
    """Supplements of a complaint, oldest first, sealed."""
    return await tx.fetch(
        "select s.*, a.display_name from supplements s left join accounts a on a.id = s.by where complaint_id = $1 order by at, s.id",
        complaint_id,
    )


async def add_supplement(
    tx: Transaction, supplement_id: UUID, complaint_id: UUID, *, by: UUID, sealed: SealedRecord
) -> None:
    await tx.run(
        "insert into supplements (id, complaint_id, by, at, ciphertext, wrapped_key, key_version) values ($1, $2, $3, $4, $5, $6, $7)",
        supplement_id,
        complaint_id,
        by,
        tx.now,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
    )


async def registered_by(
    tx: Transaction, account_id: UUID, *, since: datetime
) -> list[asyncpg.Record]:
    """What somebody registered since then, newest first."""
    return await tx.fetch(
        """
        select c.id, c.number, c.kind, c.urgency, c.unit_id, c.campaign_id, c.redacted_summary, c.received_at, c.registered_at, c.repeats,
               p.assigned_at, p.accepted_at, p.closed_at, p.refused_at, p.due_at
        from complaints c left join progress p on p.complaint_id = c.id
        where c.registered_by = $1 and c.registered_at >= $2 order by c.registered_at desc limit $3
        """,
        account_id,
        since,
        LIST_MAX,
    )


async def received(
    tx: Transaction, user: Account, *, since: datetime, waiting: bool, unsure: bool
) -> list[asyncpg.Record]:
    """What came in since then, newest first: all, those nobody is responsible for yet, or those
    without a unit.
    """
    return await tx.fetch(
        f"""
        select c.number, c.kind, c.urgency, c.channel, c.unit_id, c.campaign_id, c.problem_item, c.redacted_summary, c.received_at, c.repeats,
               p.assigned_at, p.closed_at, p.refused_at, p.case_number
        from complaints c left join progress p on p.complaint_id = c.id
        where c.received_at >= $1 and c.merged_into is null and {_SEEN}
          and (not $6 or (p.assigned_at is null and p.refused_at is null and p.closed_at is null)) and (not $7 or c.unit_id is null)
        order by c.urgency = 'critical' desc, c.urgency = 'urgent' desc, c.received_at desc limit $8
        """,
        since,
        user.role in READERS,
        user.id,
        user.unit_id,
        ComplaintKind.REPORT,
        waiting,
        unsure,
        LIST_MAX,
    )


async def search(tx: Transaction, typed: str, user: Account) -> list[asyncpg.Record]:
    """Complaints by part of their number, as far as this person may know of them."""
    return await tx.fetch(
        f"select c.number, c.kind, c.unit_id, c.campaign_id from complaints c where c.number like '%' || $1 || '%' and {_SEEN} "
        "order by c.received_at desc limit 8",
        typed,
        user.role in READERS,
        user.id,
        user.unit_id,
        ComplaintKind.REPORT,
    )


async def counts_since(tx: Transaction, since: datetime) -> asyncpg.Record:
    """How many complaints came since then, and how many of those still wait to be assigned."""
    row = await tx.fetchrow(
        """
        select count(*) as received, count(*) filter (where p.assigned_at is null and p.refused_at is null) as waiting
        from complaints c left join progress p on p.complaint_id = c.id where c.received_at >= $1 and c.merged_into is null
        """,
        since,
    )
    assert row is not None, "an aggregate always has a row"
    return row


# ── drafts ────────────────────────────────────────────────────────────────────────────────────────


async def save_draft(
    tx: Transaction, draft_id: UUID, account_id: UUID, sealed: SealedRecord
) -> bool:
    """Keep a draft; False when the id is somebody else's, or the draft was registered (its
    complaint has the same id).
    """
    kept = await tx.fetchval(
        """
        insert into hotline_drafts as d (id, account_id, started_at, saved_at, ciphertext, wrapped_key, key_version)
        select $1, $2, $3::timestamptz, $3, $4, $5, $6 where not exists (select from complaints where id = $1)
        on conflict (id) do update set saved_at = excluded.saved_at, ciphertext = excluded.ciphertext,
          wrapped_key = excluded.wrapped_key, key_version = excluded.key_version
        where d.account_id = excluded.account_id returning 1
        """,
        draft_id,
        account_id,
        tx.now,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
    )
    return kept is not None


async def drafts(tx: Transaction, account_id: UUID) -> list[asyncpg.Record]:
    """The drafts of an account, oldest first, sealed."""
    return await tx.fetch(
        "select * from hotline_drafts where account_id = $1 order by started_at, id limit $2",
        account_id,
        LIST_MAX,
    )


async def drop_draft(tx: Transaction, draft_id: UUID, account_id: UUID) -> int:
    return await tx.run(
        "delete from hotline_drafts where id = $1 and account_id = $2", draft_id, account_id
    )


async def forget_drafts(tx: Transaction, *, before: datetime, batch: int) -> int:
    """Remove drafts nobody went on with."""
    return await tx.run(
        "delete from hotline_drafts where id in (select id from hotline_drafts where saved_at < $1 limit $2)",
        before,
        batch,
    )


async def long_settled(
    tx: Transaction, *, before: datetime, caseless: Mapping[str, Sequence[str]], batch: int
) -> list[UUID]:
    """Complaints settled before then whose complainants can still be read; held until the transaction
    ends.

    Settled is a case that was closed or refused; what opens no case (`caseless`: campaign → kinds)
    by its registration; a repetition when the complaint that it repeats is settled too. Nothing
    that was registered later is.
    """
    pairs = [(campaign, kind) for campaign, kinds in caseless.items() for kind in kinds]
    rows = await tx.fetch(
        """
        with caseless as (select * from unnest($2::text[], $3::text[]) as k (campaign_id, kind))
        select c.id from complaints c
        left join progress p on p.complaint_id = c.id
        left join complaints first on first.id = c.merged_into left join progress of_first on of_first.complaint_id = first.id
        where c.registered_at < $1
          and case when p.complaint_id is not null then coalesce(p.closed_at, p.refused_at) < $1
                   when first.id is not null then true
                   else (c.campaign_id, c.kind) in (select * from caseless) end
          and case when first.id is null then true
                   when of_first.complaint_id is not null then coalesce(of_first.closed_at, of_first.refused_at) < $1
                   else first.registered_at < $1 and (first.campaign_id, first.kind) in (select * from caseless) end
          and (c.complainant_fingerprint is not null
               or exists (select from vault v where v.complaint_id = c.id and v.wrapped_key is not null)
               or exists (select from supplements s where s.complaint_id = c.id and s.wrapped_key is not null)
               or exists (select from files f where f.subject = 'complaint' and f.subject_id = c.id and f.wrapped_key is not null))
        order by c.id limit $4 for update of c skip locked
        """,
        before,
        [campaign for campaign, _ in pairs],
        [kind for _, kind in pairs],
        batch,
    )
    return [row["id"] for row in rows]


async def erase_complainant_data(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Destroy the keys of all that was sealed of these complaints, and the fingerprints of their complainants."""
    await tx.run("update vault set wrapped_key = null where complaint_id = any($1::uuid[])", ids)
    await tx.run(
        "update supplements set wrapped_key = null where complaint_id = any($1::uuid[])", ids
    )
    await tx.run(
        "update complaints set complainant_fingerprint = null where id = any($1::uuid[])", ids
    )
    await tx.run(
        "update files set wrapped_key = null where subject = 'complaint' and subject_id = any($1::uuid[])",
        ids,
    )


async def reveals_since(tx: Transaction, account_id: UUID, since: datetime) -> int:
    """How many identities somebody opened since then."""
    opened: int = await tx.fetchval(
        "select count(*) from audit where actor = $1 and action = 'identity.revealed' and at > $2",
        str(account_id),
        since,
    )
    return opened
