"""被举报单位登记: whom a 举报 accuses, and which bodies its texts mention."""

from collections.abc import Iterable

import msgspec

from services.intake.settings import context_of
from services.intake.store import accused, campaigns, complaints, vault
from services.intake.store.accused import AccusedRecord
from services.intake.store.complaints import VisibleComplaint
from services.intake.views.vault import summary_draft_of, supplements_of
from shared.appraisal.organisations import Organisation, OrganisationRegister
from shared.security.policies import Account
from shared.storage.organisations import known_register
from shared.storage.transaction import Transaction


class AccusedHistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A record with the names of its bodies."""

    row: AccusedRecord
    names: str


class AccusedPanel(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a complaint accuses.

    `is_needed`: the kind of the complaint accuses somebody. `bodies`: the accused, recorded or only
    named. `mentioned`: other bodies whose name or alias stands in the complaint text, a supplement
    or the summary. `excluded`: how many bodies may not learn of the complaint.
    """

    complaint: VisibleComplaint
    is_needed: bool
    record: int
    bodies: list[Organisation]
    mentioned: list[Organisation]
    excluded: int
    history: list[AccusedHistoryEntry]

    @property
    def is_awaited(self) -> bool:
        """A person still has to record the accused."""
        return self.is_needed and self.record == 0

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(id, name) of the bodies to choose from."""
        return [(each.id, each.name) for each in (*self.bodies, *self.mentioned)]


async def accused_panel(
    tx: Transaction,
    number: str,
    account: Account,
) -> AccusedPanel | None:
    """Return whom the complaint of that number accuses, if the account may see it.

    Reading is recorded in the audit log.
    """
    complaint = await complaints.find_visible(tx, number, account)
    if complaint is None:
        return None
    tx.audit("complaint.read", complaint.id, str(account.id), statement=True)
    return await accused_of(tx, complaint)


async def accused_of(tx: Transaction, complaint: VisibleComplaint) -> AccusedPanel:
    """Return whom this complaint accuses. The caller records the reading."""
    rules = (await campaigns.get(tx, complaint.campaign_id)).scheme.case_rules
    register = await known_register(tx, context_of(tx).organisations)
    records = await accused.records(tx, complaint.id)
    bodies = _known(register, complaint.accused_unit_ids)
    mentioned = register.mentioned_in(*await _texts(tx, complaint))
    return AccusedPanel(
        complaint=complaint,
        is_needed=rules.excludes_accused(complaint.kind),
        record=records[0].record if records else 0,
        bodies=bodies,
        mentioned=[each for each in mentioned if each not in bodies],
        excluded=len(complaint.excluded_unit_ids),
        history=[_entry(register, row) for row in records],
    )


def _known(register: OrganisationRegister, ids: Iterable[str]) -> list[Organisation]:
    found = (register.find(id) for id in ids)
    return [organisation for organisation in found if organisation is not None]


def _entry(register: OrganisationRegister, row: AccusedRecord) -> AccusedHistoryEntry:
    names = "、".join(register.name_of(id) for id in row.unit_ids)
    return AccusedHistoryEntry(row=row, names=names or "无法指明")


async def _texts(tx: Transaction, complaint: VisibleComplaint) -> list[str]:
    """Everything that may name a body: complaint text, place, supplements, summary, its draft."""
    statement = await vault.read_part(tx, context_of(tx).ring, complaint.id, "statement")
    supplements = await supplements_of(tx, complaint.id)
    return [
        statement.get("complaint_text", ""),
        statement.get("place", ""),
        *(each.text for each in supplements),
        complaint.redacted_summary,
        await summary_draft_of(tx, complaint.id),
    ]
