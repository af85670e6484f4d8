"""Forgetting what has had its time: forms nobody finished, drafts, old positions and logins, and in
the end the complainants.
"""

from datetime import timedelta
from typing import Final

from services.intake.actions.complaints import DRAFTS_KEPT
from services.intake.actions.sittings import KEPT
from services.intake.settings import context_of
from services.intake.store import accounts, ballots, campaigns, complaints, visits
from services.intake.store.files import remove_file
from shared.storage.transaction import Transaction

BATCH: Final = 500
POSITIONS_KEPT: Final = timedelta(days=30)
"""An exact position is for checking a visit; afterwards it would only tell where an inspector goes.
"""


async def forget_abandoned(tx: Transaction) -> bool:
    """Forms, drafts and files that nobody went on with. True: there may be more."""
    files = await visits.abandoned_files(tx, before=tx.now - KEPT, batch=BATCH)
    for file_id in files:
        remove_file(context_of(tx).files, file_id)
    sittings = await ballots.forget_sittings(tx, batch=BATCH)
    drafts = await complaints.forget_drafts(tx, before=tx.now - DRAFTS_KEPT, batch=BATCH)
    return max(len(files), sittings, drafts) == BATCH


async def erase_complainant_data(tx: Transaction) -> bool:
    """按保存期限销毁: who told a matter that was settled long ago, in what words, from which
    number, with which files.

    The redacted summary, the case and the scores stay: nothing personal is in them. Each leaves a
    mark in the audit log. True: there may be more. Does nothing while no period is set. Files lose
    their key first and their bytes the next time: a pass that is undone in the end leaves
    everything as it was.
    """
    days = context_of(tx).settings.complainant_retention_days
    if not days:
        return False
    caseless = {
        campaign.id: campaign.scheme.case_rules.no_case for campaign in await campaigns.running(tx)
    }
    for file_id in await complaints.forget_keyless_files(tx):
        remove_file(context_of(tx).files, file_id)
    ids = await complaints.long_settled(
        tx, before=tx.now - timedelta(days=days), caseless=caseless, batch=BATCH
    )
    await complaints.erase_complainant_data(tx, ids)
    for complaint_id in ids:
        tx.audit("complainant.data_erased", complaint_id, "system", retention_days=days)
    return len(ids) == BATCH


async def forget_tracks(tx: Transaction) -> bool:
    """Positions and logins. True: there may be more."""
    coarse = await visits.coarsen(tx, before=tx.now - POSITIONS_KEPT, batch=BATCH)
    return max(coarse, await accounts.forget_logins(tx, batch=BATCH)) == BATCH
