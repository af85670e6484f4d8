"""Events of topic `organisations`, published by scoring."""

from typing import ClassVar

from shared.appraisal.events.base import Event
from shared.appraisal.organisations import Organisation


class OrganisationPublished(Event, frozen=True, kw_only=True):
    """A body of the register, complete. A later version replaces the earlier one."""

    topic: ClassVar[str] = "organisations"
    name: ClassVar[str] = "organisation.published.v1"
    organisation: Organisation

    @property
    def key(self) -> str:
        return self.organisation.id
