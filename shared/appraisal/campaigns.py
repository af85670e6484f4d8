"""Campaigns as the services that receive them keep them in memory."""

from collections import OrderedDict
from datetime import datetime
from typing import Final, Generic, TypeVar

CAMPAIGNS_MAX: Final = 64

CampaignT = TypeVar("CampaignT")


class CampaignCache(Generic[CampaignT]):
    """Parsed campaigns by id, each in one version; the least recently used one is dropped first.

    Parsing a scheme costs milliseconds, so a service does it once per publication. The caller reads
    `published_at` from its own table in the current transaction; an entry of another version is
    never returned.
    """

    def __init__(self, size: int = CAMPAIGNS_MAX) -> None:
        self._size = size
        self._entries: OrderedDict[str, tuple[datetime, CampaignT]] = OrderedDict()

    def get(self, campaign_id: str, published_at: datetime) -> CampaignT | None:
        """Return the campaign in the version published at that instant; None if it is not kept."""
        version, campaign = self._entries.get(campaign_id, (None, None))
        if version != published_at:
            return None
        self._entries.move_to_end(campaign_id)
        return campaign

    def put(self, campaign_id: str, published_at: datetime, campaign: CampaignT) -> None:
        """Keep a campaign instead of its earlier version."""
        self._entries[campaign_id] = (published_at, campaign)
        self._entries.move_to_end(campaign_id)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
