"""打开来件人身份: a reviewer or supervisor requests it, the custodian approves it."""

from typing import Final
from uuid import UUID

import msgspec

from services.intake.domain.complaints import MAY_REVEAL
from services.intake.domain.identity_openings import APPROVAL_KEY, OpeningPurpose
from services.intake.store import identity_openings
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals import Approval, ApprovalKind, Fact, Granted
from shared.storage.transaction import Transaction


class OpeningPayload(msgspec.Struct, frozen=True):
    """What is opened, and for what."""

    number: str
    purpose: OpeningPurpose


class IdentityOpening(ApprovalKind[OpeningPayload]):
    """Lets the requester open one identity once. The subject is the id of the complaint."""

    key = APPROVAL_KEY
    label = "打开来件人身份"
    requesters = MAY_REVEAL
    approvers = frozenset({Role.CUSTODIAN})
    audited = ("purpose",)
    payload_type = OpeningPayload

    async def basis(self, tx: Transaction, subject: str, payload: OpeningPayload) -> str:
        if not await identity_openings.is_held(tx, UUID(subject)):
            raise Rejected("来件人没有留下联系方式，或已按保存期限销毁")
        return "held"

    async def facts(
        self,
        tx: Transaction,
        subject: str,
        payload: OpeningPayload,
    ) -> list[Fact]:
        return [Fact("诉求编号", payload.number), Fact("用途", payload.purpose.label)]

    async def apply(self, tx: Transaction, granted: Granted[OpeningPayload]) -> None:
        approval = granted.approval
        await identity_openings.add(
            tx,
            approval.id,
            UUID(approval.subject),
            granted.payload.purpose,
            granted_to=UUID(approval.requested_by),
        )
        tx.audit(
            "identity.opening_granted",
            approval.subject,
            str(granted.approver.id),
            granted_to=approval.requested_by,
        )

    def result_url(self, approval: Approval) -> str:
        numbers = [fact.text for fact in approval.facts if fact.label == "诉求编号"]
        return f"/intake/tickets/{numbers[0]}"


IDENTITY_OPENING: Final = IdentityOpening()
