"""审核: how detailed a result has to be, and the decision on it."""

from typing import Final

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import CaseFinding, LabelledEnum

ACCOUNT_MIN: Final = 50
REPLY_MIN: Final = 10
OPINION_MIN: Final = 10


class ReviewDecision(LabelledEnum):
    """The decision on a submitted result."""

    APPROVED = "approved", "通过"
    SENT_BACK = "sent_back", "退回修改"


def check_result(
    account: str,
    finding: CaseFinding,
    measures: str,
    reply: str,
) -> None:
    """Raise Rejected (422) if a result lacks its account, its reply or its measures."""
    if len(account.strip()) < ACCOUNT_MIN:
        raise Rejected(
            f"办理情况至少 {ACCOUNT_MIN} 个字，请写清核查经过和结果", status=422, field="account"
        )
    if len(reply.strip()) < REPLY_MIN:
        raise Rejected(f"公开答复至少 {REPLY_MIN} 个字，来件人会看到", status=422, field="reply")
    if finding != CaseFinding.UNSUBSTANTIATED and not measures.strip():
        raise Rejected("反映属实或部分属实的，请写明整改措施", status=422, field="measures")


def check_opinion(opinion: str, subject: str) -> None:
    """Raise Rejected (422) if an opinion is too short. `subject` names what it has to explain."""
    if len(opinion.strip()) < OPINION_MIN:
        raise Rejected(f"请写明{subject}，至少 {OPINION_MIN} 个字", status=422, field="opinion")
