"""The review of a result: 审核通过, 退回修改, 销号."""

from services.casework.actions.cases import event_fields, load_case, record_transition, reject_pii
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.deadlines import DeadlineKind, working_days_taken
from services.casework.domain.review import ReviewDecision, check_opinion
from services.casework.domain.states import CaseAction
from services.casework.store import cases
from services.casework.tables import Case, Submission
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseClosed, CaseSentBack, CaseStruckOff
from shared.appraisal.labels import CaseFinding, CaseSource
from shared.foundation import telemetry
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def approve_result(
    tx: Transaction,
    *,
    number: str,
    by: Account,
    opinion: str = "",
    expected_version: int | None = None,
) -> Case:
    """审核通过: close the case and send the reply to the complainant.

    Raises Rejected if `by` submitted the result.
    """
    case = await load_case(tx, number, CaseAction.APPROVE, by, expected_version=expected_version)
    await reject_pii(opinion, field="opinion", label="审核意见")
    submission = await _under_review(tx, case)
    if submission.by_id == by.id:
        raise Rejected("不能审核自己提交的办理结果")
    deadlines = await CaseDeadlines.of(tx, case)
    deadlines.complete(DeadlineKind.REVIEW)
    handling = deadlines.last(DeadlineKind.HANDLE)
    _decide(tx, submission, ReviewDecision.APPROVED, opinion, by)
    case.closed_at = tx.now
    case.finding = submission.finding
    case.late = handling is not None and handling.lapsed_at is not None
    record_transition(tx, case, CaseAction.APPROVE, by, opinion.strip())
    _publish_closure(tx, case, submission, deadlines)
    return case


def _publish_closure(
    tx: Transaction,
    case: Case,
    submission: Submission,
    deadlines: CaseDeadlines,
) -> None:
    assert case.assigned_at is not None, "a case that was handled was assigned"
    days = working_days_taken(case.assigned_at, submission.at, deadlines.calendar)
    telemetry.cases_closed.labels("no" if case.late else "yes").inc()
    telemetry.case_working_days.observe(days)
    tx.publish(
        CaseClosed(
            occurred_at=tx.now,
            source=CaseSource(case.source),
            source_id=case.source_id,
            late=case.late,
            finding=CaseFinding(submission.finding),
            working_days=days,
            reply=submission.reply,
            **event_fields(case),
        )
    )


async def send_back_result(
    tx: Transaction,
    *,
    number: str,
    opinion: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """退回修改: the unit handles the case again; its handling deadline keeps its end."""
    case = await load_case(tx, number, CaseAction.SEND_BACK, by, expected_version=expected_version)
    check_opinion(opinion, "退回修改的意见")
    await reject_pii(opinion, field="opinion", label="审核意见")
    deadlines = await CaseDeadlines.of(tx, case)
    deadlines.complete(DeadlineKind.REVIEW)
    deadlines.resume(DeadlineKind.HANDLE)
    submission = await _under_review(tx, case)
    _decide(tx, submission, ReviewDecision.SENT_BACK, opinion, by)
    record_transition(tx, case, CaseAction.SEND_BACK, by, opinion.strip())
    tx.publish(CaseSentBack(occurred_at=tx.now, reason=opinion.strip(), **event_fields(case)))
    return case


async def _under_review(tx: Transaction, case: Case) -> Submission:
    submissions = await cases.submissions(tx, case.id)
    assert submissions, "a case under review has a result"
    assert submissions[0].decision is None, "the newest result awaits its decision"
    return submissions[0]


def _decide(
    tx: Transaction,
    submission: Submission,
    decision: ReviewDecision,
    opinion: str,
    by: Account,
) -> None:
    submission.decision = decision
    submission.decided_at = tx.now
    submission.decided_by_name = by.display_name
    submission.opinion = opinion.strip()


async def strike_off_case(
    tx: Transaction,
    *,
    number: str,
    opinion: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """销号: somebody outside the unit has verified the rectification."""
    case = await load_case(tx, number, CaseAction.STRIKE_OFF, by, expected_version=expected_version)
    check_opinion(opinion, "核查情况")
    await reject_pii(opinion, field="opinion", label="核查情况")
    record_transition(tx, case, CaseAction.STRIKE_OFF, by, opinion.strip())
    tx.publish(CaseStruckOff(occurred_at=tx.now, **event_fields(case)))
    return case
