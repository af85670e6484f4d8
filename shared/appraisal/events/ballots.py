"""Events of topic `ballots`, published by intake."""

from typing import ClassVar
from uuid import UUID

import msgspec

from shared.appraisal.events.base import Event


class ReleasedBallot(msgspec.Struct, frozen=True, kw_only=True):
    """One ballot of a release. `answers` are (unit_no, item_no, option_no) in the numbers of
    campaign and scheme; `ballot_id` is random and leads to no code.
    """

    ballot_id: UUID
    answers: tuple[tuple[int, int, int], ...]


class BallotsReleased(Event, frozen=True, kw_only=True):
    """测评票: ballots of one group, released together in random order.

    The event carries no person, no token, no trace and no exact time: `occurred_at` is the hour of
    the release, not of the votes. The ballots of an event are counted in one transaction, so that
    no observer of the tallies sees the answers of one person.
    """

    topic: ClassVar[str] = "ballots"
    name: ClassVar[str] = "ballots.released.v1"
    single_event: ClassVar[bool] = True
    traced: ClassVar[bool] = False
    release_id: UUID
    campaign_id: str
    instrument: str
    group: str
    ballots: tuple[ReleasedBallot, ...]

    @property
    def key(self) -> str:
        return str(self.release_id)
