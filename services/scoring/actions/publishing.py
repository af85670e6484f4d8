"""Publishing of changed scores: each unit at most once a second, the latest value."""

from collections.abc import Collection

from services.scoring.domain.campaign import Campaign
from services.scoring.domain.score import UnitScore
from services.scoring.store import campaigns, scores
from services.scoring.store.scores import PUBLISH_BATCH_MAX, UnpublishedScore
from shared.appraisal.events import ScoreChanged
from shared.storage.transaction import Transaction


async def publish_scores(tx: Transaction) -> bool:
    """Publish the scores of all campaigns that changed. Returns whether there may be more."""
    unpublished = await scores.take_unpublished(tx)
    campaign_ids = {row.campaign_id for row in unpublished}
    known = await campaigns.find_campaigns(tx, campaign_ids)
    for row in unpublished:
        _publish(tx, known[row.campaign_id], row)
    return len(unpublished) == PUBLISH_BATCH_MAX


async def publish_unit_scores(
    tx: Transaction,
    campaign: Campaign,
    unit_nos: Collection[int],
) -> None:
    """Publish the scores of these units, unless they were published within the last second."""
    for row in await scores.take_unpublished(tx, campaign_id=campaign.id, unit_nos=unit_nos):
        _publish(tx, campaign, row)


def _publish(
    tx: Transaction,
    campaign: Campaign,
    row: UnpublishedScore,
) -> None:
    if row.score and row.unit_no in campaign.by_no:
        tx.publish(_score_changed(tx, campaign, row.score))


def _score_changed(
    tx: Transaction,
    campaign: Campaign,
    score: UnitScore,
) -> ScoreChanged:
    return ScoreChanged(
        occurred_at=tx.now,
        campaign_id=campaign.id,
        unit_id=campaign.by_no[score.unit_no].unit_id,
        scheme_version=score.scheme_version,
        total=score.total if score.ranked else None,
        components=score.marks,
    )
