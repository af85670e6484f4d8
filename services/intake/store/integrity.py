"""Integrity events: suspicions against the ballots of a batch, and the decisions about them."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.integrity.facts import AnswerPattern
from services.intake.domain.token_batches import TokenUse
from services.intake.store.rows import read_optional, read_rows
from shared.appraisal.ballots import ANSWER_BYTES
from shared.appraisal.labels import IntegrityKind, Verdict
from shared.storage.transaction import Transaction

REFERENCE_MAX: Final = 20_000
"""Ballots of other batches with which a pattern is compared."""
LIST_MAX: Final = 500
_EVENT_COLUMNS: Final = """
e.id, e.kind, e.campaign_id, e.batch_id, b.instrument, b."group", b.unit_id, b.use, e.ballots,
e.evidence::text as evidence, e.raised_at, e.verdict, e.reason, e.proposed_by,
e.decided_by, e.decided_at
"""
_BATCH_ANSWERS: Final = """
select answers from waiting_ballots where batch_id = $1
union all select answers from ballots where campaign_id = $2 and batch_id = $1
"""
_OTHER_ANSWERS: Final = f"""
select answers from ballots c where campaign_id = $2 and batch_id in (
  select o.id from token_batches o join token_batches b using (campaign_id, instrument, "group")
  where b.id = $1 and o.id <> $1
) and not exists (
  select from voided_ballots v where v.campaign_id = c.campaign_id and v.ballot_id = c.id
)
limit {REFERENCE_MAX}
"""
_PATTERN: Final = f"""
with mine as ({_BATCH_ANSWERS}),
top as (
  select answers, count(*) as ballots, (select count(*) from mine) as batch_ballots
  from mine group by answers order by 2 desc, 1 limit 1
),
others as ({_OTHER_ANSWERS})
select length(top.answers) / {ANSWER_BYTES} as answers, top.ballots, top.batch_ballots,
  count(*) filter (where others.answers = top.answers) as others,
  count(others.answers) as other_ballots
from top left join others on true group by 1, 2, 3, top.answers
"""


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """A batch with waiting ballots. `ballots`: released and waiting ones together."""

    id: UUID
    campaign_id: str
    instrument: str
    use: str
    expected: int | None
    examined: int
    ballots: int


@dataclass(frozen=True, slots=True)
class BatchBallots:
    """Packed ballots of a batch, and of the other batches of its group that count."""

    waiting: int
    released: int
    of_batch: list[bytes]
    of_others: list[bytes]


@dataclass(frozen=True, slots=True)
class KnownSuspicion:
    """What was raised about a batch before. `decided_at_ballots`: its size at the last decision."""

    batch_id: UUID
    kind: str
    undecided: bool
    decided_at_ballots: int


@dataclass(frozen=True, slots=True)
class NewIntegrityEvent:
    """An event to raise. `evidence`: JSON of its counts."""

    id: UUID
    kind: str
    campaign_id: str
    batch_id: UUID
    ballots: int
    evidence: str
    raised_at: datetime


class IntegrityEventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An integrity event with its batch."""

    id: UUID
    kind: IntegrityKind
    campaign_id: str
    batch_id: UUID
    instrument: str
    group: str
    unit_id: str | None
    use: TokenUse
    ballots: int
    evidence: str
    raised_at: datetime
    verdict: Verdict | None
    reason: str
    proposed_by: UUID | None
    decided_by: UUID | None
    decided_at: datetime | None

    @property
    def counts(self) -> dict[str, int]:
        """The counts that raised the event."""
        return msgspec.json.decode(self.evidence, type=dict[str, int])

    @property
    def is_open(self) -> bool:
        return self.decided_at is None


async def waiting_batches(tx: Transaction) -> list[WaitingBatch]:
    """Return the batches with waiting ballots."""
    records = await tx.fetch(
        """
        select b.id, b.campaign_id, b.instrument, b.use, b.expected, b.examined,
               b.released + w.waiting::int as ballots
        from token_batches b
        join (select batch_id, count(*) as waiting from waiting_ballots group by 1) w
          on w.batch_id = b.id
        order by b.id
        """
    )
    return [WaitingBatch(**record) for record in records]


async def known_suspicions(tx: Transaction, batch_ids: Sequence[UUID]) -> list[KnownSuspicion]:
    """Return what was raised about these batches, one line for each kind."""
    records = await tx.fetch(
        """
        select batch_id, kind, bool_or(decided_at is null) as undecided,
               coalesce(max(ballots) filter (where decided_at is not null), 0)
                 as decided_at_ballots
        from integrity_events where batch_id = any($1::uuid[]) group by 1, 2
        """,
        batch_ids,
    )
    return [KnownSuspicion(**record) for record in records]


async def most_frequent_pattern(
    tx: Transaction,
    batch: WaitingBatch,
) -> AnswerPattern | None:
    """Return the most frequent pattern of a batch and how often other batches have it.

    Records that the answers were compared.
    """
    record = await tx.fetchrow(_PATTERN, batch.id, batch.campaign_id)
    await tx.run("update token_batches set examined = $2 where id = $1", batch.id, batch.ballots)
    return None if record is None else AnswerPattern(**record)


async def answers_of_batch(
    tx: Transaction,
    batch_id: UUID,
    campaign_id: str,
) -> list[bytes]:
    """Return the packed ballots of a batch, waiting and released, up to `REFERENCE_MAX`."""
    query = f"{_BATCH_ANSWERS} limit {REFERENCE_MAX}"
    return [record["answers"] for record in await tx.fetch(query, batch_id, campaign_id)]


async def ballots_to_compare(tx: Transaction, event: IntegrityEventRow) -> BatchBallots:
    """Return the ballots of the event's batch, and those of its group that count beside them."""
    waiting = await tx.fetchval(
        "select count(*) from waiting_ballots where batch_id = $1", event.batch_id
    )
    others = await tx.fetch(_OTHER_ANSWERS, event.batch_id, event.campaign_id)
    of_batch = await answers_of_batch(tx, event.batch_id, event.campaign_id)
    return BatchBallots(
        waiting=waiting,
        released=await count_ballots(tx, event.batch_id) - waiting,
        of_batch=of_batch,
        of_others=[record["answers"] for record in others],
    )


async def count_open(tx: Transaction) -> int:
    """Return how many events wait for a decision."""
    counted: int = await tx.fetchval(
        "select count(*) from integrity_events where decided_at is null"
    )
    return counted


async def insert_event(tx: Transaction, event: NewIntegrityEvent) -> None:
    """Store an event that holds the waiting ballots of its batch."""
    columns = ("id", "kind", "campaign_id", "batch_id", "ballots", "evidence", "raised_at")
    await tx.run(
        f"insert into integrity_events ({', '.join(columns)}, reason) "
        "values ($1, $2, $3, $4, $5, $6::jsonb, $7, '')",
        *astuple(event),
    )


async def lock_event(tx: Transaction, event_id: UUID) -> IntegrityEventRow | None:
    """Lock and return an event, or None."""
    record = await tx.fetchrow(
        f"select {_EVENT_COLUMNS} from integrity_events e "
        "join token_batches b on b.id = e.batch_id where e.id = $1 for update of e",
        event_id,
    )
    return read_optional(IntegrityEventRow, record)


async def find_event(tx: Transaction, event_id: UUID) -> IntegrityEventRow | None:
    """Return an event, or None."""
    record = await tx.fetchrow(
        f"select {_EVENT_COLUMNS} from integrity_events e "
        "join token_batches b on b.id = e.batch_id where e.id = $1",
        event_id,
    )
    return read_optional(IntegrityEventRow, record)


async def list_events(tx: Transaction, campaign_id: str) -> list[IntegrityEventRow]:
    """Return the events of a campaign, undecided ones first, then newest first."""
    records = await tx.fetch(
        f"select {_EVENT_COLUMNS} from integrity_events e "
        "join token_batches b on b.id = e.batch_id where e.campaign_id = $1 "
        "order by e.decided_at is not null, e.raised_at desc, e.id limit $2",
        campaign_id,
        LIST_MAX,
    )
    return read_rows(IntegrityEventRow, records)


async def lock_open_events_of_batch(tx: Transaction, batch_id: UUID) -> list[IntegrityEventRow]:
    """Lock and return the undecided events of a batch."""
    records = await tx.fetch(
        f"select {_EVENT_COLUMNS} from integrity_events e "
        "join token_batches b on b.id = e.batch_id "
        "where e.batch_id = $1 and e.decided_at is null order by e.id for update of e",
        batch_id,
    )
    return read_rows(IntegrityEventRow, records)


async def decide(
    tx: Transaction,
    event_id: UUID,
    verdict: Verdict,
    *,
    reason: str,
    proposed_by: UUID,
    decided_by: UUID,
    ballots: int,
) -> None:
    """Store the decision; `ballots` are those of the batch now."""
    await tx.run(
        "update integrity_events set verdict = $2, reason = $3, proposed_by = $4, decided_by = $5, "
        "decided_at = $6, ballots = $7 where id = $1",
        event_id,
        verdict.value,
        reason,
        proposed_by,
        decided_by,
        tx.now,
        ballots,
    )


async def count_ballots(tx: Transaction, batch_id: UUID) -> int:
    """Return the ballots of a batch, waiting and released."""
    counted: int = await tx.fetchval(
        "select released + (select count(*) from waiting_ballots where batch_id = $1)::int "
        "from token_batches where id = $1",
        batch_id,
    )
    return counted


async def void_ballots(
    tx: Transaction,
    batch_id: UUID,
    *,
    campaign_id: str,
    event_id: UUID,
) -> list[UUID]:
    """Void every released ballot of a batch that is not void yet; return their ids."""
    records = await tx.fetch(
        """
        insert into voided_ballots (campaign_id, ballot_id, event_id)
        select campaign_id, id, $3 from ballots where campaign_id = $2 and batch_id = $1
        on conflict do nothing returning ballot_id
        """,
        batch_id,
        campaign_id,
        event_id,
    )
    return sorted(record["ballot_id"] for record in records)
