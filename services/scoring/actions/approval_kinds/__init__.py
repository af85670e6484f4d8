"""The acts of scoring that two people must agree on: one module each, and this table."""

from typing import Final

from services.scoring.actions.approval_kinds.decisions import DECISION
from services.scoring.actions.approval_kinds.outcomes import OUTCOMES
from services.scoring.actions.approval_kinds.revocations import REVOCATION
from services.scoring.actions.approval_kinds.rules import RULES
from shared.security.approvals import ApprovalKinds

APPROVAL_KINDS: Final = ApprovalKinds(RULES, DECISION, REVOCATION, OUTCOMES)
