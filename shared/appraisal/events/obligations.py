"""Events of topic `cases` about the obligations of units, published by casework."""

from typing import ClassVar
from uuid import UUID

from shared.appraisal.events.base import Event, Instant


class ObligationEvent(Event, frozen=True, kw_only=True):
    """Base of the events of an obligation (方案、自评报告 …): something a unit owes by a date.

    `obligation_rule_id` is the id of the rule in the scheme.
    """

    topic: ClassVar[str] = "cases"
    obligation_id: UUID
    campaign_id: str
    unit_id: str
    obligation_rule_id: str
    due_at: Instant

    @property
    def key(self) -> str:
        return str(self.obligation_id)


class ObligationWarned(ObligationEvent, frozen=True, kw_only=True):
    """临期: the obligation falls due soon."""

    name: ClassVar[str] = "obligation.warned.v1"


class ObligationLapsed(ObligationEvent, frozen=True, kw_only=True):
    """逾期: the due date passed without a submission."""

    name: ClassVar[str] = "obligation.lapsed.v1"


class ObligationFulfilled(ObligationEvent, frozen=True, kw_only=True):
    """已报送: the unit submitted what it owed, in time or late."""

    name: ClassVar[str] = "obligation.fulfilled.v1"
    late: bool
