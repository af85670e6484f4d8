"""Ballots as they are counted, and which ballots belong to a campaign."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.appraisal.ballots import FOREIGN_ANSWER, Answer, pack
from shared.appraisal.errors import Rejected
from shared.appraisal.events import BallotsReleased
from shared.appraisal.schemes import Scheme


@dataclass(frozen=True, slots=True)
class Ballot:
    """One ballot of a release. `answers`: packed (`shared.appraisal.ballots.pack`)."""

    id: UUID
    instrument: str
    group: str
    answers: bytes
    released_hour: datetime


def ballots_of(event: BallotsReleased) -> list[Ballot]:
    """Return the ballots of a release. Raises Rejected for numbers that no campaign has."""
    return [
        Ballot(
            id=ballot.ballot_id,
            instrument=event.instrument,
            group=event.group,
            answers=pack(ballot.answers),
            released_hour=event.occurred_at,
        )
        for ballot in event.ballots
    ]


def check_answers(
    answers: Iterable[Answer],
    *,
    scheme: Scheme,
    instrument: str,
    group: str,
    units: Collection[int],
) -> None:
    """Raise Rejected when the questionnaire, the group, a unit, an item or an option is not the
    campaign's.

    `answers` are the distinct answers of any number of ballots.
    """
    questionnaire = next((one for one in scheme.questionnaires if one.key == instrument), None)
    if questionnaire is None or questionnaire.group(group) is None:
        raise Rejected("答卷的问卷或评议主体不属于本次评议")
    offered = scheme.offered_choices[questionnaire.key]
    for unit_no, item_no, option_no in answers:
        if unit_no not in units or option_no not in offered.get(item_no, ()):
            raise Rejected(FOREIGN_ANSWER)
