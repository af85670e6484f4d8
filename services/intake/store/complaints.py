"""Complaints: registration in one statement, lookups and merging."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.complaints import READS_ALL, NewComplaint
from services.intake.domain.identities import Identity
from services.intake.domain.summaries import NewSummary
from services.intake.store.rows import read_optional, read_rows
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency
from shared.foundation.clock import CHINA
from shared.security.keyring import SealedRecord
from shared.security.policies import Account
from shared.storage.transaction import Transaction

_REGISTER: Final = """
with given as (
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                       $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                       $12::timestamptz[], $13::uuid[], $14::bytea[], $21::text[], $22::text[])
    with ordinality as g (id, year, campaign_id, channel, kind, urgency, urgency_reason, identity,
                          unit_id, problem_item, redacted_summary, received_at, registered_by,
                          complainant_fingerprint, accused, excluded, n)
), counted as (
  select given.*, nextval('complaint_numbers')::text as serial from given order by n
), complaint as (
  insert into complaints (id, number, campaign_id, channel, kind, urgency, urgency_reason, identity,
                          unit_id, problem_item, redacted_summary, received_at, registered_at,
                          registered_by, complainant_fingerprint, repeats, accused_unit_ids,
                          excluded_unit_ids)
  select id, 'ZT' || year || '-' || lpad(serial, greatest(6, length(serial)), '0'), campaign_id,
         channel, kind, urgency, urgency_reason, identity, unit_id, problem_item, redacted_summary,
         received_at, $15, registered_by, complainant_fingerprint, 0,
         string_to_array(accused, chr(10)), string_to_array(excluded, chr(10))
  from counted
  returning id, number
), sealed as (
  insert into vault (complaint_id, part, ciphertext, wrapped_key, key_version)
  select * from unnest($16::uuid[], $17::text[], $18::bytea[], $19::bytea[], $20::int[])
)
select id, number from complaint
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedComplaint:
    """A checked complaint, ready for insertion. `sealed`: the encrypted parts for the vault."""

    id: UUID
    complaint: NewComplaint
    summary: NewSummary
    received_at: datetime
    registered_by: UUID | None
    complainant_fingerprint: bytes | None
    sealed: Mapping[str, SealedRecord]
    accused_unit_ids: Collection[str] = ()
    excluded_unit_ids: Collection[str] = ()

    @property
    def year(self) -> str:
        """The year in the complaint's number."""
        return str(self.received_at.astimezone(CHINA).year)


class StoredComplaint(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint without its text and its complainant, which are in the vault."""

    id: UUID
    number: str
    campaign_id: str
    channel: ComplaintChannel
    kind: ComplaintKind
    urgency: Urgency
    urgency_reason: str
    identity: Identity
    unit_id: str | None
    accused_unit_ids: list[str]
    excluded_unit_ids: list[str]
    problem_item: str | None
    redacted_summary: str
    received_at: datetime
    registered_at: datetime
    registered_by: UUID | None
    repeats: int
    merged_into: UUID | None


class VisibleComplaint(StoredComplaint, frozen=True, kw_only=True):
    """A complaint with the number of the complaint that it was merged into."""

    merged_number: str | None


async def register(tx: Transaction, complaints: Sequence[SealedComplaint]) -> dict[UUID, str]:
    """Insert complaints and their vault parts in one statement; return their numbers by id.

    Numbers ascend in the given order.
    """
    if not complaints:
        return {}
    records = await tx.fetch(
        _REGISTER,
        *_complaint_columns(complaints),
        tx.now,
        *_vault_columns(complaints),
        # An array of arrays needs one length for all, so each travels as lines of a text.
        ["\n".join(sealed.accused_unit_ids) for sealed in complaints],
        ["\n".join(sorted(sealed.excluded_unit_ids)) for sealed in complaints],
    )
    return {record["id"]: record["number"] for record in records}


def _complaint_columns(complaints: Sequence[SealedComplaint]) -> list[list[object]]:
    given = [sealed.complaint for sealed in complaints]
    return [
        [sealed.id for sealed in complaints],
        [sealed.year for sealed in complaints],
        [complaint.campaign_id for complaint in given],
        [complaint.channel for complaint in given],
        [complaint.kind for complaint in given],
        [complaint.urgency for complaint in given],
        [complaint.urgency_reason for complaint in given],
        [complaint.identity for complaint in given],
        [complaint.unit_id for complaint in given],
        [complaint.problem_item for complaint in given],
        [sealed.summary.released_text for sealed in complaints],
        [sealed.received_at for sealed in complaints],
        [sealed.registered_by for sealed in complaints],
        [sealed.complainant_fingerprint for sealed in complaints],
    ]


def _vault_columns(complaints: Sequence[SealedComplaint]) -> list[list[object]]:
    parts = [
        (complaint.id, part, record)
        for complaint in complaints
        for part, record in complaint.sealed.items()
    ]
    return [
        [complaint_id for complaint_id, _, _ in parts],
        [part for _, part, _ in parts],
        [record.ciphertext for _, _, record in parts],
        [record.wrapped_key for _, _, record in parts],
        [record.key_version for _, _, record in parts],
    ]


async def find_id(tx: Transaction, number: str) -> UUID | None:
    """Return the id of the complaint of that number."""
    found: UUID | None = await tx.fetchval("select id from complaints where number = $1", number)
    return found


async def numbers_of(tx: Transaction, ids: Sequence[UUID]) -> dict[str, str]:
    """Return the numbers of complaints by their id as text."""
    records = await tx.fetch(
        "select id::text as id, number from complaints where id = any($1::uuid[])", ids
    )
    return {record["id"]: record["number"] for record in records}


async def exists(tx: Transaction, complaint_id: UUID) -> bool:
    """Return whether there is a complaint with this id."""
    found: bool = await tx.fetchval(
        "select exists (select from complaints where id = $1)", complaint_id
    )
    return found


VISIBLE: Final = "($2 or c.registered_by = $3) and not c.excluded_unit_ids && $4::text[]"
"""SQL: which complaints an account may see, with the arguments `visibility_arguments`.

Reviewers and supervisors see all, an operator their own. The people of an excluded body never see a
举报.
"""


def visibility_arguments(account: Account) -> tuple[bool, UUID, list[str]]:
    """Return the arguments $2 to $4 of VISIBLE."""
    reads_all = account.role in READS_ALL
    return reads_all, account.id, list(account.unit_ids)


async def find_visible(
    tx: Transaction,
    number: str,
    account: Account,
) -> VisibleComplaint | None:
    """Return the complaint of that number if this account may see it."""
    record = await tx.fetchrow(
        f"""
        select c.*, m.number as merged_number
        from complaints c left join complaints m on m.id = c.merged_into
        where c.number = $1 and {VISIBLE}
        """,
        number,
        *visibility_arguments(account),
    )
    return read_optional(VisibleComplaint, record)


async def get_visible(
    tx: Transaction,
    number: str,
    account: Account,
) -> VisibleComplaint:
    """Return the complaint of that number. Raises Rejected (404) unless the account may see it."""
    complaint = await find_visible(tx, number, account)
    if complaint is None:
        raise Rejected("没有这件诉求", status=404)
    return complaint


async def lock(tx: Transaction, numbers: Collection[str]) -> dict[str, StoredComplaint]:
    """Lock the complaints of these numbers until the transaction ends; return those found.

    Locks are taken in the order of the numbers, so that two transactions cannot deadlock.
    """
    if not numbers:
        return {}
    records = await tx.fetch(
        "select * from complaints where number = any($1::text[]) order by number for update",
        list(numbers),
    )
    return {row.number: row for row in read_rows(StoredComplaint, records)}


async def merge(
    tx: Transaction,
    complaint_id: UUID,
    *,
    into: UUID,
) -> int:
    """Record that one complaint repeats another; return how often the other was repeated."""
    await tx.run("update complaints set merged_into = $2 where id = $1", complaint_id, into)
    repeats: int = await tx.fetchval(
        "update complaints set repeats = repeats + 1 where id = $1 returning repeats", into
    )
    return repeats


async def undo_merger(
    tx: Transaction,
    complaint_id: UUID,
    *,
    into: UUID,
) -> int:
    """Record that one complaint repeats no other; return how often the other was repeated."""
    await tx.run("update complaints set merged_into = null where id = $1", complaint_id)
    repeats: int = await tx.fetchval(
        "update complaints set repeats = repeats - 1 where id = $1 returning repeats", into
    )
    return repeats
