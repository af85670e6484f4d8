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


class BallotsHeld(Event, frozen=True, kw_only=True):
    """疑似异常: a detector raised an event of this kind against a batch of codes, whose waiting
    ballots are held until two people decide.

    `ballots`: those of the batch, released ones included, rounded down to a multiple of ten.
    """

    topic: ClassVar[str] = "ballots"
    name: ClassVar[str] = "ballots.held.v1"
    traced: ClassVar[bool] = False
    integrity_event_id: UUID
    campaign_id: str
    instrument: str
    group: str
    kind: str
    ballots: int

    @property
    def key(self) -> str:
        return str(self.integrity_event_id)


class BallotsVoided(Event, frozen=True, kw_only=True):
    """作废: released ballots that do not count, as one person proposed and another decided.

    It may arrive before the release of its ballots. A large batch is voided by several events.
    """

    topic: ClassVar[str] = "ballots"
    name: ClassVar[str] = "ballots.voided.v1"
    traced: ClassVar[bool] = False
    integrity_event_id: UUID
    campaign_id: str
    instrument: str
    group: str
    kind: str
    reason: str
    proposed_by: UUID
    decided_by: UUID
    ballot_ids: tuple[UUID, ...]

    @property
    def key(self) -> str:
        return str(self.integrity_event_id)


class BallotsHoldEnded(Event, frozen=True, kw_only=True):
    """Two people decided about an integrity event. `verdict`: `count` or `void`."""

    topic: ClassVar[str] = "ballots"
    name: ClassVar[str] = "ballots.hold_ended.v1"
    traced: ClassVar[bool] = False
    integrity_event_id: UUID
    campaign_id: str
    verdict: str
    reason: str
    proposed_by: UUID
    decided_by: UUID

    @property
    def key(self) -> str:
        return str(self.integrity_event_id)
