"""巡查发现的问题: findings of visits. What the inspector wrote is sealed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.store.rows import SealedRow, read_optional, read_rows
from shared.appraisal.labels import Severity
from shared.security.keyring import KeyRing, SealedRecord
from shared.storage.transaction import Transaction


class NewFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding to insert."""

    id: UUID
    visit_id: UUID
    position: int
    number: str
    item_id: str
    severity: Severity
    sealed: SealedRecord


class Finding(SealedRow, frozen=True, kw_only=True):
    """A stored finding with what its visit says of it. `release` 0: nobody released its text."""

    id: UUID
    visit_id: UUID
    batch_id: UUID
    number: str
    item_id: str
    severity: Severity
    redacted_summary: str
    release: int
    release_due_at: datetime | None
    campaign_id: str
    unit_id: str
    visited_at: datetime
    handed_over_at: datetime | None

    def original(self, ring: KeyRing) -> str:
        """Return what the inspector wrote."""
        return ring.unseal(_record_id(self.id), self.sealed)["summary"]


def seal_original(ring: KeyRing, finding_id: UUID, summary: str) -> SealedRecord:
    """Return what the inspector wrote, encrypted."""
    return ring.seal(_record_id(finding_id), {"summary": summary})


def _record_id(finding_id: UUID) -> str:
    return f"finding/{finding_id}"


async def add(tx: Transaction, findings: Sequence[NewFinding]) -> None:
    for each in findings:
        await tx.run(
            """
            insert into findings (id, visit_id, position, number, item_id, severity,
                                  redacted_summary, ciphertext, wrapped_key, key_version)
            values ($1, $2, $3, $4, $5, $6, '', $7, $8, $9)
            """,
            each.id,
            each.visit_id,
            each.position,
            each.number,
            each.item_id,
            each.severity,
            each.sealed.ciphertext,
            each.sealed.wrapped_key,
            each.sealed.key_version,
        )


_SELECT: Final = """
select f.id, f.visit_id, v.batch_id, f.number, f.item_id, f.severity, f.redacted_summary,
       f.release_due_at, v.campaign_id, v.unit_id, v.visited_at, v.handed_over_at, f.ciphertext,
       f.wrapped_key, f.key_version,
       (select coalesce(max(release), 0) from summary_releases where subject_id = f.id) as release
from findings f join visits v on v.id = f.visit_id
"""
REGISTERED: Final = "v.registered_at is not null and v.unit_id <> all($4::text[])"
"""SQL: findings that reviewers may see: never before their round has ended, and never of a unit for
which the reviewer acts. $4 as in `complaints.VISIBLE`.
"""


async def find_registered(
    tx: Transaction,
    number: str,
    *,
    hidden_units: Sequence[str],
    lock: bool = False,
) -> Finding | None:
    """Return the finding of that number once the reviewers may see it.

    `lock`: until the transaction ends.
    """
    suffix = " for update of f" if lock else ""
    record = await tx.fetchrow(
        f"{_SELECT} where f.number = $1 and v.registered_at is not null "
        f"and v.unit_id <> all($2::text[]){suffix}",
        number,
        hidden_units,
    )
    return read_optional(Finding, record)


async def of_visits(tx: Transaction, visit_ids: Sequence[UUID]) -> Mapping[UUID, list[Finding]]:
    """Return the findings of each visit, in the order of the report."""
    records = await tx.fetch(
        f"{_SELECT} where f.visit_id = any($1::uuid[]) order by f.visit_id, f.position", visit_ids
    )
    by_visit: dict[UUID, list[Finding]] = {visit_id: [] for visit_id in visit_ids}
    for finding in read_rows(Finding, records):
        by_visit[finding.visit_id].append(finding)
    return by_visit


async def set_deadlines(tx: Transaction, due: Mapping[UUID, tuple[UUID, datetime | None]]) -> None:
    """Store the case of each finding, and until when its text has to be released."""
    await tx.run(
        """
        update findings f set case_id = d.case_id, release_due_at = d.due_at
        from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as d (id, case_id, due_at)
        where f.id = d.id
        """,
        list(due),
        [case_id for case_id, _ in due.values()],
        [due_at for _, due_at in due.values()],
    )


async def change_deadlines(tx: Transaction, due: Mapping[UUID, datetime]) -> None:
    """Store until when the texts of cases have to be released. `due`: by case."""
    await tx.run(
        "update findings f set release_due_at = d.due_at "
        "from unnest($1::uuid[], $2::timestamptz[]) as d (case_id, due_at) "
        "where f.case_id = d.case_id",
        list(due),
        list(due.values()),
    )


async def drop_drafts_of_cases(tx: Transaction, case_ids: Sequence[UUID]) -> None:
    """Delete the summary drafts of refused cases: no unit will read them."""
    await tx.run(
        "delete from summary_drafts d using findings f "
        "where f.id = d.subject_id and f.case_id = any($1::uuid[])",
        case_ids,
    )
