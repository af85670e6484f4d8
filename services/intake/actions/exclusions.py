"""回避: which bodies may not learn of a 举报, from whom it accuses and from the register."""

from services.intake.settings import context_of
from services.intake.store import accused, campaigns
from shared.storage.organisations import excluded_bodies
from shared.storage.transaction import Transaction


async def refresh_exclusions(tx: Transaction) -> None:
    """Derive the excluded bodies of every complaint again, after register or scheme changed."""
    register = context_of(tx).organisations
    for row in await accused.accusing_complaints(tx):
        rules = (await campaigns.get(tx, row.campaign_id)).scheme.case_rules
        excluded = await excluded_bodies(tx, register, row.accused_unit_ids, rules)
        if excluded != frozenset(row.excluded_unit_ids):
            await accused.set_excluded(tx, row.id, excluded, accused=row.accused_unit_ids)
