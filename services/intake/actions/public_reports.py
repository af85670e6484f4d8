"""Registering what complainants report on the public pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.intake.actions import attachments, form_drafts
from services.intake.actions.complaints import Entry, Registered, register_complaints
from services.intake.domain.complaints import Report
from shared.appraisal.errors import Rejected
from shared.storage.transaction import Transaction

RECEIPT_SHOWN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PublicReport:
    """A report with the tokens of the form draft that it ends and of the receipt that it leaves."""

    report: Report
    draft: str
    receipt: str


async def register_public_reports(
    tx: Transaction, reports: Sequence[PublicReport]
) -> list[Registered | Rejected]:
    """Register reports with their files; as `register_complaints`."""
    entries = [Entry(report=each.report, by=None) for each in reports]
    results = await register_complaints(tx, entries)
    for report, result in zip(reports, results, strict=True):
        if isinstance(result, Registered):
            await _finish_draft(tx, report, result)
    return results


async def _finish_draft(tx: Transaction, report: PublicReport, registered: Registered) -> None:
    """Move the files to the complaint, end the draft, keep the receipt for a short time."""
    await attachments.attach(tx, form_drafts.file_subject(report.draft), registered.id)
    await form_drafts.delete(tx, report.draft)
    receipt = {
        "complaint": str(registered.id),
        "number": registered.number,
        "until": (tx.now + RECEIPT_SHOWN).isoformat(),
    }
    await form_drafts.save(tx, report.receipt, receipt)
