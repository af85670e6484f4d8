"""处理疑似异常答卷: one person requests that held ballots count or are void, another approves."""

from typing import Final
from uuid import UUID

import msgspec

from services.intake.actions.ballot_verdicts import carry_out, lock_undecided
from services.intake.domain.integrity.verdicts import BALLOT_VERDICT_KEY
from services.intake.store import campaigns
from shared.appraisal.labels import Role, Verdict
from shared.appraisal.small_cells import stepped
from shared.security.approvals import Approval, ApprovalKind, Fact, Granted
from shared.storage.transaction import Transaction

DECIDERS: Final = frozenset({Role.OFFICE, Role.REVIEWER})


class VerdictPayload(msgspec.Struct, frozen=True):
    """What becomes of the ballots."""

    verdict: Verdict


class BallotVerdict(ApprovalKind[VerdictPayload]):
    """Decides about the ballots of a batch. The subject is the id of the integrity event."""

    key = BALLOT_VERDICT_KEY
    label = "处理疑似异常答卷"
    requesters = DECIDERS
    approvers = DECIDERS
    audited = ("verdict",)
    payload_type = VerdictPayload

    async def basis(self, tx: Transaction, subject: str, payload: VerdictPayload) -> str:
        event = await lock_undecided(tx, UUID(subject))
        return event.kind.value

    async def facts(
        self,
        tx: Transaction,
        subject: str,
        payload: VerdictPayload,
    ) -> list[Fact]:
        event = await lock_undecided(tx, UUID(subject))
        campaign = await campaigns.get(tx, event.campaign_id)
        return [
            Fact("疑似异常", event.kind.label),
            Fact("问卷", campaign.questionnaire(event.instrument).label),
            Fact("本批答卷约", f"{stepped(event.ballots)} 份"),
            Fact("处理意见", payload.verdict.label),
        ]

    async def apply(self, tx: Transaction, granted: Granted[VerdictPayload]) -> None:
        approval = granted.approval
        await carry_out(
            tx,
            UUID(approval.subject),
            granted.payload.verdict,
            reason=approval.reason,
            proposed_by=UUID(approval.requested_by),
            by=granted.approver,
        )

    def result_url(self, approval: Approval) -> str:
        return f"/intake/integrity/{approval.subject}"


BALLOT_VERDICT: Final = BallotVerdict()
