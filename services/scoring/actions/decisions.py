"""Decisions (认定): rules that only a person applies."""

from uuid import UUID

from services.scoring.actions.ledger import insert_entries
from services.scoring.domain.campaign import Campaign
from services.scoring.domain.decisions import is_decidable
from services.scoring.domain.ledger import LedgerEntry
from services.scoring.store import campaigns, ledger
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id


async def decide(
    tx: Transaction,
    *,
    campaign_id: str,
    unit_id: str,
    rule_id: str,
    grounds: str,
    document: str,
    by: Account,
    decision_id: UUID | None = None,
) -> UUID:
    """Apply a rule to a unit, with grounds and the document that proves them.

    Returns the id of the decision. Raises Rejected when a person may not decide on the rule, or the
    unit is unknown.
    """
    campaign = await campaigns.get_campaign(tx, campaign_id)
    check_decision(campaign, unit_id, rule_id)
    decision_id = decision_id or new_id()
    entry = LedgerEntry(
        event_id=new_id(),
        measure="decision",
        subject_id=decision_id,
        version=1,
        occurred_at=tx.now,
        number=document,
        detail=rule_id,
        unit_no=campaign.numbers[unit_id],
        text=grounds,
    )
    await insert_entries(tx, campaign, [entry])
    tx.audit(
        "score.decided", decision_id, str(by.id), campaign=campaign_id, unit=unit_id, rule=rule_id
    )
    return decision_id


def check_decision(
    campaign: Campaign,
    unit_id: str,
    rule_id: str,
) -> None:
    """Raise Rejected unless people decide on the rule (422) and the unit takes part (404)."""
    if not is_decidable(campaign.scheme, rule_id):
        raise Rejected("这条规则不由人工认定", status=422, field="rule_id")
    if unit_id not in campaign.numbers:
        raise Rejected("单位不在本次评议的参评名册中", status=404, field="unit_id")


async def standing_decision(
    tx: Transaction,
    campaign_id: str,
    decision_id: UUID,
) -> LedgerEntry:
    """Return a decision that stands. Raises Rejected: 404 unknown, 409 if it was revoked."""
    entries = await ledger.entries_about(tx, campaign_id, decision_id)
    if not entries or entries[0].measure not in ("decision", "revoked"):
        raise Rejected("没有这项认定", status=404)
    if entries[-1].measure == "revoked":
        raise Rejected("这项认定已经撤销")
    return entries[-1]


async def revoke(
    tx: Transaction,
    *,
    campaign_id: str,
    decision_id: UUID,
    grounds: str,
    by: Account,
) -> None:
    """Revoke a decision; both stay in the ledger. Revoking it again changes nothing."""
    campaign = await campaigns.get_campaign(tx, campaign_id)
    entries = await ledger.entries_about(tx, campaign_id, decision_id)
    if not entries or entries[0].measure not in ("decision", "revoked"):
        raise Rejected("没有这项认定", status=404)
    newest = entries[-1]
    if newest.measure != "revoked":
        await insert_entries(tx, campaign, [_revocation(tx, newest, grounds)])
        tx.audit("score.decision_revoked", decision_id, str(by.id), campaign=campaign_id)


def _revocation(
    tx: Transaction,
    decision: LedgerEntry,
    grounds: str,
) -> LedgerEntry:
    return LedgerEntry(
        event_id=new_id(),
        measure="revoked",
        subject_id=decision.subject_id,
        version=decision.version + 1,
        occurred_at=tx.now,
        unit_no=decision.unit_no,
        detail=decision.detail,
        number=decision.number,
        text=grounds,
    )
