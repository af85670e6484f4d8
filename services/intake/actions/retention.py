"""Retention: delete unfinished forms, old positions and logins, and erase complainant data."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from services.intake.actions import form_drafts, hotline_drafts
from services.intake.settings import context_of
from services.intake.store import accounts, campaigns, files, vault, visits
from services.intake.store import form_drafts as form_draft_store
from services.intake.store import hotline_drafts as hotline_draft_store
from shared.storage.transaction import Transaction

BATCH: Final = 500
TRACKS_KEPT: Final = timedelta(days=30)
"""An exact position and time serve to verify a visit; afterwards they would only track the
inspector."""


async def delete_abandoned(tx: Transaction) -> bool:
    """Delete abandoned form drafts, hotline drafts and their files. True: there may be more."""
    file_ids = await files.delete_abandoned(tx, before=tx.now - form_drafts.KEPT, batch=BATCH)
    _remove_bytes(tx, file_ids)
    expired = await form_draft_store.delete_expired(tx, batch=BATCH)
    abandoned_before = tx.now - hotline_drafts.KEPT
    hotline = await hotline_draft_store.delete_abandoned(tx, before=abandoned_before, batch=BATCH)
    return max(len(file_ids), expired, hotline) == BATCH


async def erase_complainant_data(tx: Transaction) -> bool:
    """Erase the personal data of complaints settled before the retention period (按保存期限销毁).

    Destroys the keys of identity, complaint text, supplements and files, and the phone
    fingerprint. The redacted summary, the case and the scores stay: they contain no personal data.
    Writes one audit entry per complaint. Returns True if there may be more. Does nothing while no
    period is set.

    Files lose their key in this run and their bytes in the next one, so that a run that is rolled
    back leaves every file readable.
    """
    days = context_of(tx).settings.complainant_retention_days
    if not days:
        return False
    _remove_bytes(tx, await files.delete_unreadable(tx))
    ids = await vault.long_settled(
        tx,
        before=tx.now - timedelta(days=days),
        caseless=await _kinds_without_case(tx),
        batch=BATCH,
    )
    await vault.erase_complainant_data(tx, ids)
    for complaint_id in ids:
        tx.audit("complainant.data_erased", complaint_id, "system", retention_days=days)
    return len(ids) == BATCH


def _remove_bytes(tx: Transaction, file_ids: Sequence[UUID]) -> None:
    folder = context_of(tx).files
    for file_id in file_ids:
        folder.remove(file_id)


async def _kinds_without_case(tx: Transaction) -> dict[str, tuple[str, ...]]:
    """Return, by campaign, the kinds of complaint for which casework opens no case."""
    return {
        campaign.id: tuple(campaign.scheme.case_rules.no_case)
        for campaign in await campaigns.list_all(tx)
    }


async def delete_tracks(tx: Transaction) -> bool:
    """Coarsen old positions and times of visits and delete old logins. True: there may be more."""
    coarsened = await visits.coarsen_tracks(tx, before=tx.now - TRACKS_KEPT, batch=BATCH)
    forgotten = await accounts.delete_old_logins(tx, batch=BATCH)
    return max(coarsened, forgotten) == BATCH
