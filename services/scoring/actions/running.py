"""Running scores: what moved is scored again from all that is known about it, written, and told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from uuid import UUID

import msgspec

from services.scoring import store
from services.scoring.domain.entries import SOURCES, Entry
from services.scoring.domain.rank import Standing, rank_units
from services.scoring.domain.score import AnswerCounts, Material, Score, material_of, score_unit
from services.scoring.store import Campaign, Moved, Written
from shared.appraisal.events import ScoreChanged
from shared.foundation import telemetry
from shared.foundation.clock import CHINA, monotonic_seconds
from shared.storage.transaction import Transaction

BALLOTS_EVERY_SECONDS = 1.0
"""What ballots moved is scored at most so often by one process: a ballot moves all units at once, and
nobody reads faster.
"""
CHANGES_SHARE = 1 / 5
"""Scoring what transactions left word of takes no more than this share of the time; the rest is for
taking what comes.
"""
REST_SECONDS = 1.0
"""A unit that was just scored waits for the tick: in a stream of events about one unit, each would
score all those before it again.
"""
_scores = msgspec.json.Decoder(Score)


@dataclass(frozen=True, slots=True)
class Cause:
    """What moved units: where it came from, and which of the ledger's events it was."""

    source: str
    events: frozenset[UUID] = frozenset()


def is_due(tx: Transaction, cause: Cause) -> bool:
    """May this be scored now? What ballots moved waits while this process scored ballots within the
    last second.
    """
    if cause.source != "ballot":
        return True
    due = bool(monotonic_seconds() >= tx.context.ballots_due_at)
    if due:
        tx.context.ballots_due_at = monotonic_seconds() + BALLOTS_EVERY_SECONDS
    return due


def rested(
    tx: Transaction, campaign: Campaign, unit_nos: Collection[int], cause: Cause
) -> set[int]:
    """Which of these units this process has not scored within the last second; a person who decides
    sees the effect at once.
    """
    if cause.source == "decision":
        return set(unit_nos)
    scored_at, now = tx.context.scored_at, monotonic_seconds()
    return {
        no
        for no in unit_nos
        if now - scored_at.get((campaign.id, no), float("-inf")) >= REST_SECONDS
    }


async def rescore_changed(tx: Transaction) -> bool:
    """Score the units that transactions left word of. True: there may be more."""
    context, started = tx.context, monotonic_seconds()
    if started < context.changes_due_at:
        return False
    changes = await store.take_changes(
        tx, limit=context.sizes.changes_taken, ballots=started >= context.ballots_due_at
    )
    campaigns = (
        await context.campaign_cache.campaigns(tx, {row["campaign_id"] for row in changes})
        if changes
        else {}
    )
    for campaign_id, rows in groupby(
        sorted(changes, key=itemgetter("campaign_id")), key=itemgetter("campaign_id")
    ):
        noted = list(rows)
        unit_nos = {unit_no for row in noted for unit_no in row["unit_nos"]}
        cause = Cause(
            noted[-1]["source"], frozenset(event for row in noted for event in row["events"])
        )
        await rescore(tx, campaigns[campaign_id], unit_nos, cause)
    if any(row["source"] == "ballot" for row in changes):
        context.ballots_due_at = monotonic_seconds() + BALLOTS_EVERY_SECONDS
    context.changes_due_at = monotonic_seconds() + (monotonic_seconds() - started) / CHANGES_SHARE
    return bool(len(changes) == context.sizes.changes_taken)


async def rescore(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Collection[int],
    cause: Cause,
    *,
    wait: bool = True,
) -> set[int]:
    """Score these units from the sums as they are now. Without `wait` only those that nobody else
    is scoring. Gives those done.
    """
    before = await store.lock_scores(tx, campaign.id, campaign.scheme.version, unit_nos, wait=wait)
    if not before:
        return set()
    tx.context.scored_at |= dict.fromkeys(
        ((campaign.id, unit_no) for unit_no in before), monotonic_seconds()
    )
    materials = await materials_of(tx, campaign, before.keys())
    old = scores_of({unit_no: body for unit_no, body in before.items() if body})
    new = {unit_no: score_unit(material, unit_no) for unit_no, material in materials.items()}
    changed = {unit_no: score for unit_no, score in new.items() if score != old.get(unit_no)}
    if changed:
        await _write(tx, campaign, changed, old)
        await _note_moved(
            tx,
            campaign,
            changed,
            old,
            {
                no: [e for e in materials[no].entries if e.event_id in cause.events]
                for no in changed
            },
            cause,
        )
        await tell_scores(tx, campaign, changed.keys())
    return set(before)


async def materials_of(
    tx: Transaction, campaign: Campaign, unit_nos: Collection[int]
) -> dict[int, Material]:
    """Unit → all that is known about it now."""
    lines = await store.lines_of(tx, campaign.id, unit_nos)
    answer_counts = await answer_counts_by_unit(tx, campaign, unit_nos)
    return {
        unit_no: material_of(campaign.scheme, answer_counts[unit_no], lines[unit_no])
        for unit_no in unit_nos
    }


async def answer_counts_by_unit(
    tx: Transaction, campaign: Campaign, unit_nos: Collection[int]
) -> dict[int, AnswerCounts]:
    """Unit → counts of answers over all shards; of units without answers, too."""
    answer_counts: dict[int, dict[tuple[str, str, int, int], int]] = {
        unit_no: {} for unit_no in unit_nos
    }
    for row in await store.answer_counts_of(tx, campaign.response_groups, unit_nos):
        answer_counts[row["unit_no"]][
            *campaign.response_groups[row["response_group_id"]], row["item_no"], row["option_no"]
        ] = row["answer_count"]
    return dict(answer_counts)


async def _write(
    tx: Transaction, campaign: Campaign, changed: Mapping[int, Score], old: Mapping[int, Score]
) -> None:
    rows = [
        Written(
            unit_no=unit_no,
            total=score.total,
            ranked=score.ranked,
            sample=score.sample,
            body=msgspec.json.encode(score).decode(),
            tell=_told(score) != _told(old.get(unit_no)),
        )
        for unit_no, score in sorted(changed.items())
    ]
    await store.write_scores(tx, campaign.id, campaign.scheme.version, rows)
    telemetry.score_updates.labels(campaign.id).inc(len(changed))
    telemetry.score_board_updated.labels(campaign.id).set_to_current_time()


def _told(score: Score | None) -> object:
    """What of a score its hearers know; None while no component counts."""
    marks = [one.mark for one in score.components] if score else []
    return (
        (score.total, score.ranked, marks)
        if score and any(mark is not None for mark in marks)
        else None
    )


# ── what moved ────────────────────────────────────────────────────────────────────────────────────


async def _note_moved(
    tx: Transaction,
    campaign: Campaign,
    changed: Mapping[int, Score],
    old: Mapping[int, Score],
    lines: Mapping[int, list[Entry]],
    cause: Cause,
) -> None:
    """A line for every total that moved, with its rank before and after in its category."""
    moving = {
        no: score
        for no, score in changed.items()
        if score.total != (old[no].total if no in old else None)
    }
    if not moving:
        return
    categories = {campaign.by_no[unit_no].category for unit_no in moving}
    unit_nos = [unit.unit_no for unit in campaign.units if unit.category in categories]
    now = scores_of(await store.bodies(tx, campaign.id, campaign.scheme.version, unit_nos))
    ranks_before, ranks_after = (
        _ranks(campaign, {**now, **{no: old[no] for no in moving if no in old}}),
        _ranks(campaign, now),
    )
    moved = [
        Moved(
            unit_no=no,
            source=_source(
                lines[no], ballots := score.sample - (old[no].sample if no in old else 0), cause
            ),
            ballots=ballots,
            events=list(dict.fromkeys(line.event_id for line in lines[no])),
            before=old[no].total if no in old else None,
            after=score.total,
            rank_before=ranks_before.get(no) if no in old else None,
            rank_after=ranks_after.get(no),
        )
        for no, score in sorted(moving.items())
    ]
    await store.note_moved(
        tx, campaign.id, campaign.scheme.version, tx.now.astimezone(CHINA).date(), moved
    )


def _source(lines: Sequence[Entry], ballots: int, cause: Cause) -> str:
    """The ledger's line that came last names the source; without one it was ballots, or what the
    word left says.
    """
    return SOURCES[lines[-1].measure] if lines else "ballot" if ballots else cause.source


def _ranks(campaign: Campaign, scores: Mapping[int, Score]) -> dict[int, int | None]:
    by_category: dict[str, list[Standing]] = {}
    for score in scores.values():
        standing = standing_of(campaign, score)
        by_category.setdefault(standing.category, []).append(standing)
    return {
        place.standing.unit_no: place.rank
        for units in by_category.values()
        for place in rank_units(units)
    }


def standing_of(campaign: Campaign, score: Score) -> Standing:
    """What a unit goes into the ranking of its category with."""
    unit = campaign.by_no[score.unit_no]
    return Standing(
        unit_no=unit.unit_no,
        unit_id=unit.unit_id,
        category=unit.category,
        total=score.total,
        ties=score.ties,
        unranked=score.unranked,
        grade=score.grade,
        decided=score.decided,
    )


def scores_of(bodies: Mapping[int, str]) -> dict[int, Score]:
    """Unit → its score, from the rows' JSON."""
    return {unit_no: _scores.decode(body) for unit_no, body in bodies.items()}


# ── telling ───────────────────────────────────────────────────────────────────────────────────────


async def tell_scores(
    tx: Transaction, campaign: Campaign | None = None, unit_nos: Collection[int] = ()
) -> bool:
    """Say scores that changed, each unit at most once a second, the last value. Of these units, or
    of all. True: there may be more.
    """
    untold = await store.take_untold(
        tx, campaign_id=campaign.id if campaign else None, unit_nos=unit_nos
    )
    campaigns = (
        {campaign.id: campaign}
        if campaign
        else await tx.context.campaign_cache.campaigns(tx, {row["campaign_id"] for row in untold})
    )
    for row in untold:
        owner = campaigns[row["campaign_id"]]
        if row["body"] and row["unit_no"] in owner.by_no:
            tx.publish(_score_changed(tx, owner, _scores.decode(row["body"])))
    return len(untold) == store.TELL_MAX


def _score_changed(tx: Transaction, campaign: Campaign, score: Score) -> ScoreChanged:
    return ScoreChanged(
        occurred_at=tx.now,
        campaign_id=campaign.id,
        unit_id=campaign.by_no[score.unit_no].unit_id,
        scheme_version=score.scheme_version,
        total=score.total if score.ranked else None,
        components={one.key: one.mark for one in score.components},
    )
