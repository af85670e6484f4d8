"""认定: vetoes and the other rules that only people apply to a unit."""

from typing import Final
from uuid import UUID

import msgspec

from services.scoring.actions.approval_kinds.roles import APPROVERS, REQUESTERS
from services.scoring.actions.decisions import check_decision, decide
from services.scoring.store import campaigns, ledger
from shared.security.approvals import (
    Approval,
    ApprovalKind,
    Fact,
    Granted,
    NewRequest,
    request_approval,
)
from shared.security.policies import Account
from shared.storage.transaction import Transaction


class DecisionPayload(msgspec.Struct, frozen=True):
    """Which rule is applied to whom, and what proves it."""

    campaign_id: str
    unit_id: str
    rule_id: str
    grounds: str
    document: str


class DecisionKind(ApprovalKind[DecisionPayload]):
    """Enters a decision into the ledger; its id there is that of the request.

    The subject is campaign, unit and rule.
    """

    key = "decision"
    label = "认定"
    requesters = REQUESTERS
    approvers = APPROVERS
    audited = ("campaign_id", "unit_id", "rule_id")
    payload_type = DecisionPayload

    async def basis(self, tx: Transaction, subject: str, payload: DecisionPayload) -> str:
        await campaigns.lock_campaign(tx, payload.campaign_id)
        campaign = await campaigns.get_campaign(tx, payload.campaign_id)
        check_decision(campaign, payload.unit_id, payload.rule_id)
        unit_no = campaign.numbers[payload.unit_id]
        entries = await ledger.current_entries(tx, campaign.id, [unit_no])
        standing = [
            str(entry.subject_id)
            for entry in entries[unit_no]
            if entry.measure == "decision" and entry.detail == payload.rule_id
        ]
        return " ".join([campaign.scheme.fingerprint, *sorted(standing)])

    async def facts(self, tx: Transaction, subject: str, payload: DecisionPayload) -> list[Fact]:
        campaign = await campaigns.get_campaign(tx, payload.campaign_id)
        rule = campaign.scheme.rule(payload.rule_id)
        return [
            Fact("评议活动", campaign.title),
            Fact("单位", campaign.by_id[payload.unit_id].name),
            Fact("规则", f"{payload.rule_id} {rule.label if rule else ''}"),
            Fact("依据文件", payload.document),
        ]

    async def apply(self, tx: Transaction, granted: Granted[DecisionPayload]) -> None:
        payload = granted.payload
        await decide(
            tx,
            decision_id=granted.approval.id,
            campaign_id=payload.campaign_id,
            unit_id=payload.unit_id,
            rule_id=payload.rule_id,
            grounds=payload.grounds,
            document=payload.document,
            by=granted.approver,
        )

    def result_url(self, approval: Approval) -> str:
        campaign_id, unit_id, _ = approval.subject.split("/")
        return f"/scoring/{campaign_id}/units/{unit_id}"


DECISION: Final = DecisionKind()


async def request_decision(tx: Transaction, payload: DecisionPayload, *, by: Account) -> UUID:
    """Ask for a decision; its grounds are the reason. Raises Rejected (403, 404, 409, 422)."""
    subject = f"{payload.campaign_id}/{payload.unit_id}/{payload.rule_id}"
    wanted = NewRequest(subject=subject, payload=payload, reason=payload.grounds)
    return await request_approval(tx, DECISION, wanted, by=by)
