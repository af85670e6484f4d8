"""Campaigns as the services that receive them keep them in memory."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from shared.foundation.clock import monotonic_seconds

CAMPAIGNS_MAX: Final = 64

CampaignT = TypeVar("CampaignT")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[CampaignT]):
    version: Hashable
    campaign: CampaignT
    checked_at: float


class CampaignCache(Generic[CampaignT]):
    """Parsed campaigns by id, each in one version; the least recently used one is dropped first.

    Parsing a scheme costs milliseconds, so a service does it once per version. The caller reads the
    version (a revision, or the instant of publication) from its own table in the current
    transaction; an entry of another version is never returned. A service that accepts a version up
    to `trusted_seconds` old asks for `recent` first and saves that query.
    """

    def __init__(self, size: int = CAMPAIGNS_MAX, *, trusted_seconds: float = 0.0) -> None:
        self._size = size
        self._trusted_seconds = trusted_seconds
        self._entries: OrderedDict[str, _Entry[CampaignT]] = OrderedDict()

    def recent(self, campaign_id: str) -> CampaignT | None:
        """Return the campaign if it was put within the last `trusted_seconds`."""
        entry = self._entries.get(campaign_id)
        if entry is None:
            return None
        age_seconds = monotonic_seconds() - entry.checked_at
        return entry.campaign if age_seconds < self._trusted_seconds else None

    def get(self, campaign_id: str, version: Hashable) -> CampaignT | None:
        """Return the campaign in that version; None if it is not kept."""
        entry = self._entries.get(campaign_id)
        if entry is None or entry.version != version:
            return None
        self._entries.move_to_end(campaign_id)
        return entry.campaign

    def put(
        self,
        campaign_id: str,
        version: Hashable,
        campaign: CampaignT,
    ) -> None:
        """Keep a campaign instead of its earlier version."""
        self._entries[campaign_id] = _Entry(version, campaign, monotonic_seconds())
        self._entries.move_to_end(campaign_id)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
