"""Running scores: locked before their sums are read, written together, published once a second."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from services.scoring.domain.explanation import Explanation
from services.scoring.domain.score import UnitScore
from shared.storage.transaction import Transaction

PUBLISH_INTERVAL_SECONDS: Final = 1.0
PUBLISH_BATCH_MAX: Final = 500
"""Scores published in one transaction."""
_scores = msgspec.json.Decoder(UnitScore)
_explanations = msgspec.json.Decoder(Explanation)

_LOCK = """
select unit_no, body from scores
where campaign_id = $1 and scheme_version = $2 and unit_no = any($3)
order by unit_no for update
"""
_WRITE = """
update scores s
set total = n.total, ranked = n.ranked, sample = n.sample, body = n.body,
  scored_at = clock_timestamp(), unpublished = s.unpublished or n.publish
from unnest($3::int[], $4::numeric[], $5::boolean[], $6::int[], $7::text[], $8::boolean[])
  as n (unit_no, total, ranked, sample, body, publish)
where s.campaign_id = $1 and s.scheme_version = $2 and s.unit_no = n.unit_no
"""
# Rate and latency use the real clock, because legal time may stand still in a test or a demo. A
# published_at in the future was written by a clock that had jumped, so it is ignored.
_TAKE_UNPUBLISHED = f"""
with due as (
  select s.campaign_id, s.unit_no, s.scheme_version from scores s
  join campaigns c on c.id = s.campaign_id and c.scheme_version = s.scheme_version
  where s.unpublished
    and (s.published_at is null or s.published_at not between
      clock_timestamp() - interval '{PUBLISH_INTERVAL_SECONDS} seconds' and clock_timestamp())
    and ($2::text is null or (s.campaign_id = $2 and s.unit_no = any($3)))
  order by s.campaign_id, s.unit_no limit $1 for update of s skip locked
)
update scores s set unpublished = false, published_at = clock_timestamp() from due d
where (s.campaign_id, s.unit_no, s.scheme_version) = (d.campaign_id, d.unit_no, d.scheme_version)
returning s.campaign_id, s.unit_no, s.body
"""
_RUNNING_SCORES = """
select unit_no, body from scores
where campaign_id = $1 and scheme_version = $2 and body is not null
  and ($3::int[] is null or unit_no = any($3))
"""
_INSERT_SCORES = """
insert into scores (campaign_id, unit_no, scheme_version, ranked, sample, unpublished)
select campaign_id, unit_no, $2, false, 0, false from units where campaign_id = $1
on conflict do nothing
"""
_STORE_EXPLANATION = """
update scores set explanation = $4
where campaign_id = $1 and scheme_version = $2 and unit_no = $3 and explanation is null
"""
_STORED_EXPLANATION = """
select explanation from scores where campaign_id = $1 and scheme_version = $2 and unit_no = $3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreUpdate:
    """A changed score. `publish`: consumers of `scores` have to know."""

    score: UnitScore
    publish: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpublishedScore:
    """A score that changed since it was last published; None when it was never computed."""

    campaign_id: str
    unit_no: int
    score: UnitScore | None


async def insert_scores(
    tx: Transaction,
    campaign_id: str,
    version: str,
) -> None:
    """Insert an empty score under this version for every unit that has none."""
    await tx.run(_INSERT_SCORES, campaign_id, version)


async def lock_scores(
    tx: Transaction,
    campaign_id: str,
    version: str,
    unit_nos: Collection[int],
    *,
    wait: bool = True,
) -> dict[int, UnitScore | None]:
    """Lock the score rows of these units and return the scores, None for one never computed.

    Without `wait`, rows that another transaction holds are skipped. A transaction that locks a row
    and reads the sums in a later statement sees everything committed before, so the last one to
    lock writes the newest score.
    """
    query = _LOCK if wait else _LOCK + " skip locked"
    rows = await tx.fetch(query, campaign_id, version, sorted(unit_nos))
    return {unit_no: _score(body) for unit_no, body in rows}


def _score(body: str | None) -> UnitScore | None:
    return _scores.decode(body) if body else None


async def write_scores(
    tx: Transaction,
    campaign_id: str,
    version: str,
    updates: Sequence[ScoreUpdate],
) -> None:
    """Update the scores of these units."""
    scores = [update.score for update in updates]
    await tx.run(
        _WRITE,
        campaign_id,
        version,
        [score.unit_no for score in scores],
        [score.total for score in scores],
        [score.ranked for score in scores],
        [score.sample for score in scores],
        [encode_score(score) for score in scores],
        [update.publish for update in updates],
    )


def encode_score(score: UnitScore) -> str:
    """Return a score as it is stored; equal scores give equal text."""
    return msgspec.json.encode(score).decode()


def decode_score(body: str) -> UnitScore:
    """Return a stored score."""
    return _scores.decode(body)


async def take_unpublished(
    tx: Transaction,
    *,
    campaign_id: str | None = None,
    unit_nos: Collection[int] = (),
) -> list[UnpublishedScore]:
    """Mark scores as published and return them, of all campaigns or of these units only."""
    rows = await tx.fetch(_TAKE_UNPUBLISHED, PUBLISH_BATCH_MAX, campaign_id, list(unit_nos))
    return [
        UnpublishedScore(campaign_id=campaign_id, unit_no=unit_no, score=_score(body))
        for campaign_id, unit_no, body in rows
    ]


async def running_scores(
    tx: Transaction,
    campaign_id: str,
    version: str,
    unit_nos: Collection[int] | None = None,
) -> dict[int, UnitScore]:
    """Unit → its score; units that were never scored are missing."""
    units = None if unit_nos is None else list(unit_nos)
    rows = await tx.fetch(_RUNNING_SCORES, campaign_id, version, units)
    return {unit_no: _scores.decode(body) for unit_no, body in rows}


# ── explanations of superseded scores ─────────────────────────────────────────────────────────────


async def store_explanation(
    tx: Transaction,
    campaign_id: str,
    version: str,
    explanation: Explanation,
) -> None:
    """Store what explains a score under rules that are about to be superseded."""
    body = msgspec.json.encode(explanation).decode()
    await tx.run(_STORE_EXPLANATION, campaign_id, version, explanation.score.unit_no, body)


async def stored_explanation(
    tx: Transaction,
    campaign_id: str,
    version: str,
    unit_no: int,
) -> Explanation | None:
    """Return what explains a score under superseded rules, None when it was not stored."""
    body = await tx.fetchval(_STORED_EXPLANATION, campaign_id, version, unit_no)
    return _explanations.decode(body) if body else None
