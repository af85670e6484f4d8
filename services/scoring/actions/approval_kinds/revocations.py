"""撤销认定: lift a veto or another decision; both lines stay in the ledger."""

from typing import Final
from uuid import UUID

import msgspec

from services.scoring.actions.approval_kinds.roles import APPROVERS, REQUESTERS
from services.scoring.actions.decisions import revoke, standing_decision
from services.scoring.store import campaigns
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


class RevocationPayload(msgspec.Struct, frozen=True):
    """The decision that is lifted, and why."""

    campaign_id: str
    decision_id: UUID
    grounds: str


class RevocationKind(ApprovalKind[RevocationPayload]):
    """Revokes a decision. The subject is campaign and decision."""

    key = "revocation"
    label = "撤销认定"
    requesters = REQUESTERS
    approvers = APPROVERS
    audited = ("campaign_id",)
    payload_type = RevocationPayload

    async def basis(self, tx: Transaction, subject: str, payload: RevocationPayload) -> str:
        await campaigns.lock_campaign(tx, payload.campaign_id)
        decision = await standing_decision(tx, payload.campaign_id, payload.decision_id)
        return str(decision.version)

    async def facts(self, tx: Transaction, subject: str, payload: RevocationPayload) -> list[Fact]:
        campaign = await campaigns.get_campaign(tx, payload.campaign_id)
        decision = await standing_decision(tx, payload.campaign_id, payload.decision_id)
        rule = campaign.scheme.rule(decision.detail)
        unit = campaign.by_no[decision.unit_no] if decision.unit_no else None
        return [
            Fact("评议活动", campaign.title),
            Fact("单位", unit.name if unit else ""),
            Fact("撤销的认定", f"{decision.detail} {rule.label if rule else ''}"),
            Fact("原认定理由", decision.text),
            Fact("原依据文件", decision.number),
        ]

    async def apply(self, tx: Transaction, granted: Granted[RevocationPayload]) -> None:
        payload = granted.payload
        await revoke(
            tx,
            campaign_id=payload.campaign_id,
            decision_id=payload.decision_id,
            grounds=payload.grounds,
            by=granted.approver,
        )

    def result_url(self, approval: Approval) -> str:
        campaign_id, _, _ = approval.subject.partition("/")
        return f"/scoring/{campaign_id}/rank"


REVOCATION: Final = RevocationKind()


async def request_revocation(tx: Transaction, payload: RevocationPayload, *, by: Account) -> UUID:
    """Ask to revoke a decision; the grounds are the reason.

    Raises Rejected (403, 404, 409, 422).
    """
    subject = f"{payload.campaign_id}/{payload.decision_id}"
    wanted = NewRequest(subject=subject, payload=payload, reason=payload.grounds)
    return await request_approval(tx, REVOCATION, wanted, by=by)
