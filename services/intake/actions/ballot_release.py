"""Release waiting ballots to be counted: several at once, in random order, under random ids.

An id of version 4 tells nothing, not even its time.
"""

import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from services.intake.domain.ballot_release import plan_releases, units_of
from services.intake.domain.ballots import hour_of
from services.intake.settings import context_of
from services.intake.store import ballots as store
from services.intake.store import token_batches
from services.intake.store.ballots import ReleasedRow, WaitingBallot, WaitingGroup
from shared.appraisal.ballots import ANSWER_BYTES, unpack
from shared.appraisal.calendar.working_days import civil_day
from shared.appraisal.events import BallotsReleased, ReleasedBallot
from shared.storage.transaction import Transaction

WAITING_MAX: Final = 20_000
"""Waiting ballots of a group that one pass looks at, chosen at random."""
_random: Final = secrets.SystemRandom()


async def release_ballots(tx: Transaction) -> bool:
    """Release what may be released now. Returns True if there may be more.

    When no code of a group can be used any more, its last ballots are released whatever their
    number, because every ballot counts.
    """
    groups = await store.waiting_groups(tx, civil_day(tx.now))
    more = [await _release_group(tx, group) for group in groups]
    return any(more)


async def _release_group(tx: Transaction, group: WaitingGroup) -> bool:
    """Release ballots of one group; return whether another pass may release more."""
    waiting = await store.lock_waiting(tx, group, WAITING_MAX)
    planned = plan_releases(
        {ballot: units_of(ballot.answers) for ballot in waiting},
        at_least=1 if group.closed else context_of(tx).settings.ballot_release_min,
        answers=answer_count,
    )
    for chosen in planned:
        await release_together(tx, group, chosen)
    return bool(planned) and len(waiting) == WAITING_MAX


def answer_count(ballot: WaitingBallot) -> int:
    """Return how many answers a ballot has."""
    return len(ballot.answers) // ANSWER_BYTES


async def release_together(
    tx: Transaction,
    group: WaitingGroup,
    chosen: Sequence[WaitingBallot],
) -> None:
    """Store ballots under new ids in random order, and publish them in one event."""
    hour = hour_of(tx.now)
    shuffled = _random.sample(chosen, len(chosen))
    rows = [
        ReleasedRow(ballot.campaign_id, uuid4(), ballot.batch_id, ballot.answers, hour)
        for ballot in shuffled
    ]
    await store.release(tx, rows, [ballot.id for ballot in chosen])
    await token_batches.count_released(tx, Counter(row.batch_id for row in rows))
    tx.publish(
        BallotsReleased(
            occurred_at=hour,
            release_id=uuid4(),
            campaign_id=group.campaign_id,
            instrument=group.instrument,
            group=group.group,
            ballots=tuple(_released(row) for row in rows),
        )
    )


def _released(row: ReleasedRow) -> ReleasedBallot:
    return ReleasedBallot(ballot_id=row.id, answers=tuple(unpack(row.answers)))
