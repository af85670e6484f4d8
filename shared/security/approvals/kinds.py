"""What a service can have approved: one class per kind of act, and the table of a service."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Generic

import msgspec

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals.domain import EXPIRES_AFTER, Approval, Fact, PayloadT
from shared.security.policies import Account, Policy
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted(Generic[PayloadT]):
    """An act that a second person has just approved."""

    approval: Approval
    payload: PayloadT
    approver: Account


class ApprovalKind(ABC, Generic[PayloadT]):
    """A kind of act that two people must agree on.

    `requesters` and `approvers` are roles; the approver is always another person. `audited`: names
    of the payload's fields that the audit entry of the request keeps, none of them personal data.
    """

    key: ClassVar[str]
    label: ClassVar[str]
    requesters: ClassVar[frozenset[Role]]
    approvers: ClassVar[frozenset[Role]]
    expires_after: ClassVar[timedelta] = EXPIRES_AFTER
    audited: ClassVar[tuple[str, ...]] = ()
    payload_type: type[PayloadT]

    @abstractmethod
    async def basis(self, tx: Transaction, subject: str, payload: PayloadT) -> str:
        """Lock what the act changes and return what stands for its state.

        Called for the request and again for the approval: if the two differ, the approval is
        rejected. Raises Rejected if the act is not possible.
        """

    @abstractmethod
    async def facts(self, tx: Transaction, subject: str, payload: PayloadT) -> Sequence[Fact]:
        """Return what the approver reads, without personal data of complainants."""

    @abstractmethod
    async def apply(self, tx: Transaction, granted: Granted[PayloadT]) -> None:
        """Carry out the act in the transaction of the approval."""

    def concerned(self, subject: str, payload: PayloadT) -> Collection[str]:
        """Return ids of accounts that the act favours: they may not approve it."""
        return ()

    def result_url(self, approval: Approval) -> str:
        """Return where the requester sees the result; "" if nowhere in particular."""
        return ""

    def decode(self, approval: Approval) -> PayloadT:
        """Return the payload of a request that is not decided."""
        assert approval.payload is not None, "only a decision drops the payload"
        return msgspec.json.decode(approval.payload, type=self.payload_type)

    def may_request(self, account: Account) -> bool:
        """Return whether the account's role may request acts of this kind."""
        return account.role in self.requesters

    def may_approve(self, approval: Approval, account: Account) -> bool:
        """Return whether the account may decide on a request."""
        is_concerned = approval.payload is not None and str(account.id) in self.concerned(
            approval.subject, self.decode(approval)
        )
        is_requester = approval.requested_by == str(account.id)
        return account.role in self.approvers and not is_requester and not is_concerned


class ApprovalKinds:
    """The kinds of one service, by key."""

    def __init__(self, *kinds: ApprovalKind[Any]) -> None:
        self.by_key: Mapping[str, ApprovalKind[Any]] = {kind.key: kind for kind in kinds}

    def __bool__(self) -> bool:
        return bool(self.by_key)

    def get(self, key: str) -> ApprovalKind[Any]:
        """Return a kind. Raises Rejected (404) for one that is no longer offered."""
        kind = self.by_key.get(key)
        if kind is None:
            raise Rejected("本环节没有这类审批事项", status=404)
        return kind

    @property
    def policy(self) -> Policy:
        """Whoever may request or approve an act of any kind."""
        roles = [kind.requesters | kind.approvers for kind in self.by_key.values()]
        return Policy(frozenset().union(*roles))

    def approved_by(self, role: Role) -> list[str]:
        """Return the keys of the kinds that this role approves."""
        return [key for key, kind in self.by_key.items() if role in kind.approvers]

    def may_read(self, approval: Approval, account: Account) -> bool:
        """Return whether the account requested this, or decides on acts of this kind."""
        is_requester = approval.requested_by == str(account.id)
        return is_requester or approval.kind in self.approved_by(account.role)
