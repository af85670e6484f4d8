"""回避: which bodies may not learn of a 举报, from whom it accuses and from the register."""

from collections.abc import Collection

from services.intake.settings import context_of
from services.intake.store import accused, campaigns
from shared.appraisal.schemes import CaseRules
from shared.storage.organisations import known_register
from shared.storage.transaction import Transaction


async def excluded_bodies(
    tx: Transaction,
    accused_ids: Collection[str],
    rules: CaseRules,
) -> frozenset[str]:
    """Return the bodies whose people may not learn of a complaint against `accused_ids`."""
    if not accused_ids:
        return frozenset()
    register = await known_register(tx, context_of(tx).organisations)
    return register.excluded(accused_ids, ancestors=rules.not_by_superiors)


async def refresh_exclusions(tx: Transaction) -> None:
    """Derive the excluded bodies of every complaint again, after register or scheme changed."""
    for row in await accused.accusing_complaints(tx):
        rules = (await campaigns.get(tx, row.campaign_id)).scheme.case_rules
        excluded = await excluded_bodies(tx, row.accused_unit_ids, rules)
        if excluded != frozenset(row.excluded_unit_ids):
            await accused.set_excluded(tx, row.id, excluded, accused=row.accused_unit_ids)
