"""The rules of two-person control: what a reason is, and who may decide."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import LabelledEnum
from shared.security.policies import Account

REASON_MIN: Final = 10
"""Letters and digits of a reason; punctuation and blanks do not count."""
REASON_DISTINCT_MIN: Final = 6
"""A reason of fewer different characters repeats a word."""
REASON_MAX: Final = 500
EXPIRES_AFTER: Final = timedelta(days=3)
COMMAND_LINE: Final = "system"
"""Who requests by the `fengping` command: no account, so every approver is another person."""
COMMAND_LINE_NAME: Final = "命令行"

PayloadT = TypeVar("PayloadT", bound=msgspec.Struct)


class ApprovalState(LabelledEnum):
    """What became of a request."""

    PENDING = "pending", "待审批"
    APPROVED = "approved", "已批准"
    REFUSED = "refused", "不予批准"
    WITHDRAWN = "withdrawn", "已撤回"
    EXPIRED = "expired", "逾期失效"


class Fact(msgspec.Struct, frozen=True):
    """One line of what is requested, as the approver reads it."""

    label: str
    text: str


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A request and, once it is made, the decision.

    `payload` is what the act needs; it is dropped with the decision, `facts` stay. `basis` stands
    for the state of the subject when the act was requested.
    """

    id: UUID
    kind: str
    subject: str
    payload: str | None
    basis: str
    facts: list[Fact]
    reason: str
    requested_by: str
    requester_name: str
    requested_at: datetime
    expires_at: datetime
    state: ApprovalState
    decided_by: str | None
    decider_name: str | None
    decided_at: datetime | None
    decision_reason: str | None

    def is_pending(self, now: datetime) -> bool:
        """Return whether the request can still be decided."""
        return self.state is ApprovalState.PENDING and now < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest(Generic[PayloadT]):
    """An act that somebody requests. `subject` is the id of what it changes."""

    subject: str
    payload: PayloadT
    reason: str


def check_reason(reason: str, *, previous: str | None = None) -> None:
    """Raise Rejected (422) for a placeholder, or for the text of the previous reason."""
    given = significant(reason)
    if len(given) < REASON_MIN:
        raise _bad_reason(f"请写明具体理由，至少 {REASON_MIN} 个字")
    if len(set(given)) < REASON_DISTINCT_MIN:
        raise _bad_reason("请写明具体理由，不要重复同一个字或词")
    if len(reason) > REASON_MAX:
        raise _bad_reason(f"理由最多 {REASON_MAX} 个字")
    if previous is not None and given == significant(previous):
        raise _bad_reason("这与您上一次填写的理由相同，请写明这一次的理由")


def _bad_reason(sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field="reason")


def significant(text: str) -> str:
    """Return the letters and digits of a text, in one form."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def check_other_person(approval: Approval, by: Account) -> None:
    """Raise Rejected (403) unless `by` is another person than the requester.

    Two accounts with one display name belong to one person.
    """
    if str(by.id) == approval.requested_by:
        raise Rejected("申请人不能审批自己的申请，请由另一人审批", status=403)
    if significant(by.display_name) == significant(approval.requester_name):
        raise Rejected("审批账号与申请账号属于同一人，请由另一人审批", status=403)


def check_pending(approval: Approval, now: datetime) -> None:
    """Raise Rejected (409) if the request was decided or has expired."""
    if approval.state is not ApprovalState.PENDING:
        raise Rejected(f"这项申请{approval.state.label}，不能再次处理")
    if not approval.is_pending(now):
        raise Rejected("这项申请已逾期失效，请申请人重新提出")
