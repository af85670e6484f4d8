"""Events of topic `campaigns`, published by scoring."""

from typing import ClassVar

import msgspec

from shared.appraisal.events.base import Event


class UnitEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A unit enrolled in a campaign. `unit_no` is its number on ballots."""

    unit_id: str
    unit_no: int
    name: str
    category: str
    aliases: tuple[str, ...] = ()


class CampaignPublished(Event, frozen=True, kw_only=True):
    """评议活动 with its scheme and units, complete. A later version replaces the earlier one."""

    topic: ClassVar[str] = "campaigns"
    name: ClassVar[str] = "campaign.published.v1"
    campaign_id: str
    title: str
    year: int
    scheme: str
    """JSON of `shared.appraisal.schemes.Scheme`, byte-stable."""
    scheme_version: str
    units: tuple[UnitEntry, ...]

    @property
    def key(self) -> str:
        return self.campaign_id
