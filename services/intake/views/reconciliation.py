"""材料核对 as its page shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.intake.store import reconciliation as store
from services.intake.store.reconciliation import MissingRecord, Reconciliation
from shared.storage.transaction import Transaction

MISSING_LABELS: Final = {
    "complaint": "工单记录缺失",
    "statement": "诉求原文缺失",
    "supplement": "补充说明缺失",
    "attachment": "附件记录缺失",
    "visit": "检查记录缺失",
    "photo": "检查照片记录缺失",
    "entry": "登记的审计记录缺失",
    "file": "磁盘上的文件缺失或不完整",
}


@dataclass(frozen=True, slots=True)
class ReconciliationPage:
    """The last comparison; None before the first night."""

    last: Reconciliation | None

    @property
    def missing(self) -> Sequence[MissingRecord]:
        """What was missing then."""
        return self.last.missing if self.last else ()

    def label(self, record: MissingRecord) -> str:
        """Return what is missing, in words."""
        return MISSING_LABELS[record.kind]


async def reconciliation_page(tx: Transaction) -> ReconciliationPage:
    """Return the newest outcome for the page."""
    return ReconciliationPage(await store.last_reconciliation(tx))
