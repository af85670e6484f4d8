"""Encrypted parts of complaints, their supplements, and the erasure of both."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from services.intake.domain.complaints import withheld_phrases
from services.intake.store.rows import SealedRow, read_optional, read_rows
from shared.security.keyring import KeyDestroyed, KeyRing, SealedRecord
from shared.storage.transaction import Transaction

Part = Literal["identity", "statement"]


class SealedSupplement(SealedRow, frozen=True, kw_only=True):
    """A supplement, encrypted. `display_name`: of the account that added it."""

    id: UUID
    at: datetime
    display_name: str | None


async def read_part(
    tx: Transaction,
    ring: KeyRing,
    complaint_id: UUID,
    part: Part,
) -> dict[str, str]:
    """Return the decrypted fields of a part, or {} if there is none or its key was destroyed."""
    record = await tx.fetchrow(
        "select ciphertext, wrapped_key, key_version from vault "
        "where complaint_id = $1 and part = $2",
        complaint_id,
        part,
    )
    row = read_optional(SealedRow, record)
    if row is None:
        return {}
    try:
        return ring.unseal(f"{complaint_id}/{part}", row.sealed)
    except KeyDestroyed:
        return {}


async def known_values(tx: Transaction, ring: KeyRing, complaint_id: UUID) -> tuple[str, ...]:
    """Return the complainant's own data and what they asked not to pass on."""
    identity = await read_part(tx, ring, complaint_id, "identity")
    statement = await read_part(tx, ring, complaint_id, "statement")
    return (*identity.values(), *withheld_phrases(statement.get("withhold", "")))


async def supplements(tx: Transaction, complaint_id: UUID) -> list[SealedSupplement]:
    """Return the supplements of a complaint that can still be decrypted, oldest first."""
    records = await tx.fetch(
        """
        select s.id, s.at, s.ciphertext, s.wrapped_key, s.key_version, a.display_name
        from supplements s left join accounts a on a.id = s.by
        where s.complaint_id = $1 and s.wrapped_key is not null order by s.at, s.id
        """,
        complaint_id,
    )
    return read_rows(SealedSupplement, records)


async def add_supplement(
    tx: Transaction,
    supplement_id: UUID,
    complaint_id: UUID,
    *,
    by: UUID,
    sealed: SealedRecord,
) -> None:
    """Insert an encrypted supplement."""
    await tx.run(
        "insert into supplements "
        "(id, complaint_id, by, at, ciphertext, wrapped_key, key_version) "
        "values ($1, $2, $3, $4, $5, $6, $7)",
        supplement_id,
        complaint_id,
        by,
        tx.now,
        sealed.ciphertext,
        sealed.wrapped_key,
        sealed.key_version,
    )


async def reveals_since(
    tx: Transaction,
    account_id: UUID,
    since: datetime,
) -> int:
    """Return how many identities an account revealed since then."""
    count: int = await tx.fetchval(
        "select count(*) from audit where actor = $1 and action = 'identity.revealed' and at > $2",
        str(account_id),
        since,
    )
    return count


# ── erasure ───────────────────────────────────────────────────────────────────────────────────────

# A complaint is settled when its case was closed or refused. A complaint of a kind that opens no
# case (`caseless`) is settled by its registration; a repetition, when the complaint it repeats is
# settled too.
_LONG_SETTLED: Final = """
with caseless as (select * from unnest($2::text[], $3::text[]) as k (campaign_id, kind))
select c.id from complaints c
left join progress p on p.complaint_id = c.id
left join complaints first on first.id = c.merged_into
left join progress of_first on of_first.complaint_id = first.id
where c.registered_at < $1
  and case when first.id is not null then true
           when p.complaint_id is not null then coalesce(p.closed_at, p.refused_at) < $1
           else (c.campaign_id, c.kind) in (select * from caseless) end
  and case when first.id is null then true
           when of_first.complaint_id is not null
             then coalesce(of_first.closed_at, of_first.refused_at) < $1
           else first.registered_at < $1
             and (first.campaign_id, first.kind) in (select * from caseless) end
  and (c.complainant_fingerprint is not null
       or exists (select from vault v where v.complaint_id = c.id and v.wrapped_key is not null)
       or exists (select from supplements s
                  where s.complaint_id = c.id and s.wrapped_key is not null)
       or exists (select from files f where f.subject = 'complaint' and f.subject_id = c.id
                    and f.wrapped_key is not null))
order by c.id limit $4 for update of c skip locked
"""
_ERASE: Final = (
    "update vault set wrapped_key = null where complaint_id = any($1::uuid[])",
    "update supplements set wrapped_key = null where complaint_id = any($1::uuid[])",
    "delete from summary_drafts where subject_id = any($1::uuid[])",
    "update complaints set complainant_fingerprint = null where id = any($1::uuid[])",
    "update files set wrapped_key = null "
    "where subject = 'complaint' and subject_id = any($1::uuid[])",
)


async def long_settled(
    tx: Transaction,
    *,
    before: datetime,
    caseless: Mapping[str, Sequence[str]],
    batch: int,
) -> list[UUID]:
    """Lock and return complaints settled before then that still hold complainant data.

    `caseless`: by campaign, the kinds of complaint that open no case.
    """
    pairs = [(campaign, kind) for campaign, kinds in caseless.items() for kind in kinds]
    records = await tx.fetch(
        _LONG_SETTLED,
        before,
        [campaign for campaign, _ in pairs],
        [kind for _, kind in pairs],
        batch,
    )
    return [record["id"] for record in records]


async def erase_complainant_data(tx: Transaction, ids: Sequence[UUID]) -> None:
    """Destroy the keys and the phone fingerprints of these complaints."""
    for statement in _ERASE:
        await tx.run(statement, ids)
