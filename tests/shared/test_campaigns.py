"""The cache of parsed campaigns."""

from shared.appraisal.campaigns import CampaignCache


def test_a_campaign_is_returned_in_its_version_only():
    cache: CampaignCache[str] = CampaignCache()
    cache.put("j-2026", 1, "old rules")
    cache.put("j-2026", 2, "new rules")

    assert cache.get("j-2026", 2) == "new rules"
    assert cache.get("j-2026", 1) is None
    assert cache.get("t-2026", 1) is None


def test_the_least_recently_used_campaign_is_dropped():
    cache: CampaignCache[str] = CampaignCache(size=2)
    cache.put("a", 1, "A")
    cache.put("b", 1, "B")
    cache.get("a", 1)

    cache.put("c", 1, "C")

    assert [cache.get(id, 1) for id in "abc"] == ["A", None, "C"]


def test_a_campaign_is_recent_only_within_the_trusted_seconds():
    trusting: CampaignCache[str] = CampaignCache(trusted_seconds=60)
    strict: CampaignCache[str] = CampaignCache()
    trusting.put("a", 1, "A")
    strict.put("a", 1, "A")

    assert trusting.recent("a") == "A"
    assert trusting.recent("b") is None
    assert strict.recent("a") is None
