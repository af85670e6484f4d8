"""Keeps the names of units and obligations."""

from services.notify.store import reference
from shared.appraisal.events import CampaignPublished, OrganisationPublished
from shared.appraisal.schemes import Scheme
from shared.storage.transaction import Transaction


async def store_organisation(tx: Transaction, event: OrganisationPublished) -> None:
    """Store the current name of an organisation and its heir."""
    await reference.upsert_unit(tx, event.organisation)


async def store_labels(tx: Transaction, event: CampaignPublished) -> None:
    """Store the labels of a campaign's obligations, and the names of units not known yet."""
    await reference.insert_units(tx, {unit.unit_id: unit.name for unit in event.units})
    obligations = Scheme.from_json(event.scheme).obligations
    labels = {obligation.id: obligation.label for obligation in obligations}
    await reference.upsert_obligations(tx, event.campaign_id, labels)
