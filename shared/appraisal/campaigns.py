"""Campaigns as the services that receive them keep them in memory."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

CAMPAIGNS_MAX: Final = 64

CampaignT = TypeVar("CampaignT")


class CampaignCache(Generic[CampaignT]):
    """Parsed campaigns by id, each in one version; the least recently used one is dropped first.

    Parsing a scheme costs milliseconds, so a service does it once per version. The caller reads the
    version (a revision, or the instant of publication) from its own table in the current
    transaction; an entry of another version is never returned.
    """

    def __init__(self, size: int = CAMPAIGNS_MAX) -> None:
        self._size = size
        self._entries: OrderedDict[str, tuple[Hashable, CampaignT]] = OrderedDict()

    def get(self, campaign_id: str, version: Hashable) -> CampaignT | None:
        """Return the campaign in that version; None if it is not kept."""
        kept_version, campaign = self._entries.get(campaign_id, (None, None))
        if kept_version != version:
            return None
        self._entries.move_to_end(campaign_id)
        return campaign

    def put(self, campaign_id: str, version: Hashable, campaign: CampaignT) -> None:
        """Keep a campaign instead of its earlier version."""
        self._entries[campaign_id] = (version, campaign)
        self._entries.move_to_end(campaign_id)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
