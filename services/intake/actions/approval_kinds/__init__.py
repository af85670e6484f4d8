"""The acts of intake that two people must agree on: one module each, and this table."""

from typing import Final

from services.intake.actions.approval_kinds.ballot_verdict import BALLOT_VERDICT
from services.intake.actions.approval_kinds.identity_opening import IDENTITY_OPENING
from services.intake.actions.approval_kinds.privileged_accounts import PRIVILEGED_ACTS
from shared.security.approvals import ApprovalKinds

APPROVAL_KINDS: Final = ApprovalKinds(BALLOT_VERDICT, IDENTITY_OPENING, *PRIVILEGED_ACTS)
