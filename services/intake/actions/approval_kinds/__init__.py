"""The acts of intake that two people must agree on: one module each, and this table."""

from typing import Final

from services.intake.actions.approval_kinds.identity_opening import IDENTITY_OPENING
from shared.security.approvals import ApprovalKinds

APPROVAL_KINDS: Final = ApprovalKinds(IDENTITY_OPENING)
