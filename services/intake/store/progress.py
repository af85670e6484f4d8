"""Progress of complaints as casework publishes it, and the ratings of complainants."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.progress import Milestones
from services.intake.store.rows import read_optional, read_row
from shared.appraisal.events import CaseOpened
from shared.appraisal.labels import CaseFinding, ComplaintKind
from shared.storage.transaction import Transaction

_UPDATED: Final = ", ".join(
    (
        "unit_id",
        "release_due_at",
        "assigned_at",
        "accepted_at",
        "closed_at",
        "refused_at",
        "explanation",
        "due_at",
        "provisional",
        "finding",
        "reply",
        "updated_at",
    )
)


class ProgressRow(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint and its case. The case columns are None until casework opens a case.

    Of a merged complaint the case is that of the complaint it was merged into.
    """

    id: UUID
    number: str
    campaign_id: str
    received_at: datetime
    registered_at: datetime
    case_number: str | None
    opened_at: datetime | None
    release_due_at: datetime | None
    assigned_at: datetime | None
    accepted_at: datetime | None
    closed_at: datetime | None
    refused_at: datetime | None
    explanation: str | None
    due_at: datetime | None
    provisional: bool | None
    finding: CaseFinding | None
    reply: str | None
    updated_at: datetime | None
    rated: int | None
    kind: ComplaintKind
    merged_number: str | None

    @property
    def shows_merger(self) -> bool:
        """Whether the complainant may know that somebody else reported the same before."""
        return self.merged_number is not None and self.kind is not ComplaintKind.REPORT

    @property
    def milestones(self) -> Milestones:
        """When the complaint reached each stage."""
        return Milestones(
            received_at=self.received_at,
            opened_at=self.opened_at,
            assigned_at=self.assigned_at,
            accepted_at=self.accepted_at,
            closed_at=self.closed_at,
            refused_at=self.refused_at,
        )

    @property
    def may_rate(self) -> bool:
        """Whether the complainant may rate the handling: once, after closing."""
        return self.closed_at is not None and self.rated is None and self.merged_number is None

    @property
    def open_due_at(self) -> datetime | None:
        """The handling deadline while the case is open."""
        return None if self.closed_at else self.due_at


async def start(tx: Transaction, events: Sequence[CaseOpened]) -> set[UUID]:
    """Insert the progress of complaints whose cases were opened.

    Returns the cases inserted now: not those of complaints unknown to intake.
    """
    records = await tx.fetch(
        """
        insert into progress (complaint_id, case_id, case_number, opened_at, explanation,
                              provisional, reply, updated_at)
        select c.id, e.case_id, e.number, e.at, '', false, '', e.at
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
          as e (complaint_id, case_id, number, at)
        join complaints c on c.id = e.complaint_id
        on conflict (complaint_id) do nothing returning case_id
        """,
        [event.source_id for event in events],
        [event.case_id for event in events],
        [event.number for event in events],
        [event.occurred_at for event in events],
    )
    return {record["case_id"] for record in records}


async def update(tx: Transaction, changes: Mapping[UUID, Mapping[str, object]]) -> int:
    """Update the progress of cases (case id → changed columns); return how many are known."""
    return await tx.run(
        f"""
        update progress p
        set ({_UPDATED}) = (select {_UPDATED} from jsonb_populate_record(p, n.columns))
        from unnest($1::uuid[], $2::text[]) as t (case_id, columns)
        cross join lateral (select t.columns::jsonb as columns) n
        where p.case_id = t.case_id
        """,
        list(changes),
        [msgspec.json.encode(columns).decode() for columns in changes.values()],
    )


async def drop_drafts_of_cases(tx: Transaction, case_ids: Sequence[UUID]) -> None:
    """Delete the summary drafts of refused cases: no unit will read them."""
    await tx.run(
        "delete from summary_drafts d using progress p "
        "where p.complaint_id = d.subject_id and p.case_id = any($1::uuid[])",
        case_ids,
    )


class RegistrationSeal(msgspec.Struct, frozen=True, kw_only=True):
    """The entry of the audit log that proves when a complaint was registered."""

    position: int
    leaf_hash: bytes
    sealed_at: datetime

    @property
    def number(self) -> int:
        """Its number in the log, from 1."""
        return self.position + 1

    @property
    def short_hash(self) -> str:
        """The first 64 bits of its hash, in groups that can be copied by hand."""
        digits = self.leaf_hash.hex()[:16]
        return " ".join(digits[start : start + 4] for start in range(0, 16, 4))


async def get(tx: Transaction, complaint_id: UUID) -> ProgressRow:
    """Return the progress of a complaint that exists."""
    record = await tx.fetchrow(
        """
        select c.id, c.number, c.campaign_id, c.kind, c.received_at, c.registered_at, p.case_number,
               p.opened_at, p.release_due_at, p.assigned_at, p.accepted_at, p.closed_at,
               p.refused_at, p.explanation, p.due_at, p.provisional, p.finding, p.reply,
               p.updated_at, r.option as rated, m.number as merged_number
        from complaints c
        left join complaints m on m.id = c.merged_into
        left join progress p on p.complaint_id = coalesce(c.merged_into, c.id)
        left join ratings r on r.complaint_id = c.id
        where c.id = $1
        """,
        complaint_id,
    )
    assert record is not None, "callers pass the id of an existing complaint"
    return read_row(ProgressRow, record)


async def registration_seal(tx: Transaction, complaint_id: UUID) -> RegistrationSeal | None:
    """Return where the audit log has the registration of a complaint; None if not sealed yet."""
    record = await tx.fetchrow(
        "select position, leaf_hash, sealed_at from audit "
        "where subject = $1 and action = 'complaint.registered' and position is not null "
        "order by id limit 1",
        str(complaint_id),
    )
    return read_optional(RegistrationSeal, record)


async def rate(
    tx: Transaction,
    complaint_id: UUID,
    *,
    option: int,
    reason: str,
) -> bool:
    """Insert the complainant's rating; return False if the complaint was rated before."""
    inserted = await tx.fetchval(
        "insert into ratings (complaint_id, option, reason, at) values ($1, $2, $3, $4) "
        "on conflict do nothing returning 1",
        complaint_id,
        option,
        reason,
        tx.now,
    )
    return inserted is not None
