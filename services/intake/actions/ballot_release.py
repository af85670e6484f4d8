"""Release waiting ballots to be counted: several at once, in random order, under random ids.

An id of version 4 tells nothing, not even its time.
"""

import secrets
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from services.intake.domain.ballot_release import releasable, units_of
from services.intake.domain.ballots import hour_of
from services.intake.settings import context_of
from services.intake.store import ballots as store
from services.intake.store.ballots import ReleasedRow, WaitingBallot, WaitingGroup
from shared.appraisal.ballots import ANSWER_BYTES, unpack
from shared.appraisal.events import BallotsReleased, ReleasedBallot
from shared.foundation.clock import CHINA
from shared.storage.transaction import Transaction

BALLOTS_MAX: Final = 400
"""Ballots of one event."""
ANSWERS_MAX: Final = 40_000
"""Answers of one event, so that it stays well below Kafka's limit of one megabyte."""
_random: Final = secrets.SystemRandom()


async def release_ballots(tx: Transaction) -> bool:
    """Release what may be released now. Returns True if there may be more.

    When no code of a group can be used any more, its last ballots are released whatever their
    number, because every ballot counts.
    """
    groups = await store.waiting_groups(tx, tx.now.astimezone(CHINA).date())
    released = [await _release_group(tx, group) for group in groups]
    return any(count == BALLOTS_MAX for count in released)


async def _release_group(tx: Transaction, group: WaitingGroup) -> int:
    """Release ballots of one group and return their number."""
    waiting = _bounded(await store.lock_waiting(tx, group, BALLOTS_MAX))
    at_least = 1 if group.closed else context_of(tx).settings.ballot_release_min
    units = {ballot: units_of(ballot.answers) for ballot in waiting}
    chosen = releasable(units, at_least=at_least)
    if chosen:
        await _release(tx, group, chosen)
    return len(chosen)


def _bounded(waiting: Sequence[WaitingBallot]) -> list[WaitingBallot]:
    """Return the first ballots, as many as fit into one event."""
    bounded: list[WaitingBallot] = []
    answers = 0
    for ballot in waiting:
        answers += len(ballot.answers) // ANSWER_BYTES
        if bounded and answers > ANSWERS_MAX:
            break
        bounded.append(ballot)
    return bounded


async def _release(
    tx: Transaction,
    group: WaitingGroup,
    chosen: Sequence[WaitingBallot],
) -> None:
    hour = hour_of(tx.now)
    shuffled = _random.sample(chosen, len(chosen))
    rows = [
        ReleasedRow(ballot.campaign_id, uuid4(), ballot.batch_id, ballot.answers, hour)
        for ballot in shuffled
    ]
    await store.release(tx, rows, [ballot.id for ballot in chosen])
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
