"""Events of topic `ballots`, published by intake."""

from typing import ClassVar
from uuid import UUID

from shared.appraisal.events.base import Event


class BallotSubmitted(Event, frozen=True, kw_only=True):
    """测评票. `answers` are (unit_no, item_no, option_no) in the numbers of campaign and scheme.

    A ballot carries no person, no token and no exact time: `occurred_at` is cut to the hour.
    """

    topic: ClassVar[str] = "ballots"
    name: ClassVar[str] = "ballot.submitted.v1"
    single_event: ClassVar[bool] = True
    ballot_id: UUID
    campaign_id: str
    instrument: str
    group: str
    point: str | None
    answers: tuple[tuple[int, int, int], ...]

    @property
    def key(self) -> str:
        return str(self.ballot_id)
