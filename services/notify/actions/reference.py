"""Keeps the names of units and obligations."""

from services.notify.store import reference
from shared.appraisal.events import CampaignPublished
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction


async def store_labels(tx: Transaction, event: CampaignPublished) -> None:
    """Store the names of a campaign's units and obligations."""
    await reference.upsert_units(tx, {unit.unit_id: unit.name for unit in event.units})
    obligations = Scheme.from_json(event.scheme).obligations
    labels = {obligation.id: obligation.label for obligation in obligations}
    await reference.upsert_obligations(tx, event.campaign_id, labels)
