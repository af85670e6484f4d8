"""Audit entries for 举报 that a list showed.

Whoever sees that a 举报 exists may tell the accused, so a list leaves the same trace as the page of
one complaint or case.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from shared.appraisal.labels import ComplaintKind
from shared.security.policies import Account
from shared.storage.transaction import Transaction

LISTED: Final = "report.listed"
SAME_VIEW: Final = timedelta(minutes=10)
"""A list that is shown again within this time, for instance by its refresh, is the same view."""


async def audit_listed_reports(
    tx: Transaction,
    account: Account,
    listed: Iterable[tuple[str | None, object]],
) -> None:
    """Record which 举报 a list shows to an account.

    `listed`: the kind of each row and the subject under which the service audits it; rows of other
    kinds are ignored.
    """
    subjects = {str(subject) for kind, subject in listed if kind == ComplaintKind.REPORT}
    if not subjects:
        return
    recent = await tx.fetch(
        """
        select distinct subject from audit
        where actor = $1 and at > $2 and action = $3 and subject = any($4)
        """,
        str(account.id),
        tx.now - SAME_VIEW,
        LISTED,
        sorted(subjects),
    )
    for subject in sorted(subjects - {subject for (subject,) in recent}):
        tx.audit(LISTED, subject, str(account.id))
