"""What the responsible unit does with its case: 签收, 接办, 记录, 办结送审.

And 催办 from outside.
"""

from collections.abc import Sequence

from services.casework.actions.cases import event_fields, load_case, record_transition, reject_pii
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.extensions import ExtensionState
from services.casework.domain.review import check_result
from services.casework.domain.states import TRANSITIONS, CaseAction, CaseState
from services.casework.store import cases
from services.casework.tables import Case, Submission
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseAccepted, CaseSubmitted, CaseUrged
from shared.appraisal.labels import CaseFinding
from shared.security.policies import Account
from shared.storage.transaction import Transaction


async def accept_case(
    tx: Transaction,
    *,
    number: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """签收: the unit accepts the case, and `by` becomes its handler."""
    case = await load_case(tx, number, CaseAction.ACCEPT, by, expected_version=expected_version)
    deadlines = await CaseDeadlines.of(tx, case)
    late = deadlines.complete(DeadlineKind.ACCEPT)
    case.accepted_at = tx.now
    _set_handler(case, by)
    record_transition(tx, case, CaseAction.ACCEPT, by)
    tx.publish(
        CaseAccepted(
            occurred_at=tx.now,
            late=late,
            deadlines=deadlines.sets(DeadlineKind.HANDLE),
            **event_fields(case),
        )
    )
    return case


def _set_handler(case: Case, handler: Account) -> None:
    case.handler_id = handler.id
    case.handler_name = handler.display_name


async def accept_cases(
    tx: Transaction,
    *,
    numbers: Sequence[str],
    by: Account,
) -> int:
    """签收 of several cases; skip those that cannot be accepted any more. Returns how many were."""
    accepted = 0
    # Sorted, so that two people who accept overlapping lists cannot deadlock.
    for number in sorted(set(numbers)):
        if await _can_be_accepted(tx, number, by):
            await accept_case(tx, number=number, by=by)
            accepted += 1
    return accepted


async def _can_be_accepted(
    tx: Transaction,
    number: str,
    by: Account,
) -> bool:
    case = await cases.lock(tx, number, by)
    return case is not None and CaseAction.ACCEPT in TRANSITIONS[CaseState(case.state)]


async def take_over_case(
    tx: Transaction,
    *,
    number: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """接办: another handler of the unit takes over. No deadline moves."""
    case = await load_case(tx, number, CaseAction.TAKE_OVER, by, expected_version=expected_version)
    if case.handler_id == by.id:
        raise Rejected("本件已由您承办")
    text = f"原承办人 {case.handler_name}" if case.handler_name else ""
    _set_handler(case, by)
    record_transition(tx, case, CaseAction.TAKE_OVER, by, text)
    return case


async def note_progress(
    tx: Transaction,
    *,
    number: str,
    text: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """记录办理情况 in the history of the case. No deadline moves."""
    case = await load_case(tx, number, CaseAction.NOTE, by, expected_version=expected_version)
    await reject_pii(text, field="text", label="办理记录")
    record_transition(tx, case, CaseAction.NOTE, by, text.strip())
    return case


async def urge_unit(
    tx: Transaction,
    *,
    number: str,
    text: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """催办: notify the unit, and show the text at the head of the case. No deadline moves."""
    case = await load_case(tx, number, CaseAction.URGE, by, expected_version=expected_version)
    await reject_pii(text, field="text", label="催办意见")
    case.urges += 1
    record_transition(tx, case, CaseAction.URGE, by, text.strip())
    tx.publish(CaseUrged(occurred_at=tx.now, urges=case.urges, **event_fields(case)))
    return case


async def submit_result(
    tx: Transaction,
    *,
    number: str,
    account: str,
    finding: CaseFinding,
    measures: str,
    reply: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """办结送审: submit the result for review.

    The handling deadline is complete; if the result is sent back, it continues unchanged.
    """
    case = await load_case(tx, number, CaseAction.SUBMIT, by, expected_version=expected_version)
    check_result(account, finding, measures, reply)
    await _reject_pii_in_result(account, measures, reply)
    deadlines = await CaseDeadlines.of(tx, case)
    late = deadlines.complete(DeadlineKind.HANDLE)
    deadlines.start(DeadlineKind.REVIEW)
    await _withdraw_extension_request(tx, case)
    submission = Submission(
        case_id=case.id,
        no=len(await cases.submissions(tx, case.id)) + 1,
        at=tx.now,
        by_id=by.id,
        by_name=by.display_name,
        account=account.strip(),
        finding=finding,
        measures=measures.strip(),
        reply=reply.strip(),
        late=late,
    )
    tx.add(submission)
    case.submitted_at = tx.now
    record_transition(tx, case, CaseAction.SUBMIT, by, no=submission.no)
    tx.publish(CaseSubmitted(occurred_at=tx.now, late=late, **event_fields(case)))
    return case


async def _reject_pii_in_result(
    account: str,
    measures: str,
    reply: str,
) -> None:
    await reject_pii(account, field="account", label="办理情况")
    await reject_pii(measures, field="measures", label="整改措施")
    await reject_pii(reply, field="reply", label="公开答复")


async def _withdraw_extension_request(tx: Transaction, case: Case) -> None:
    """A request that awaits a decision has no purpose once the result is submitted."""
    request = cases.open_request(await cases.extensions(tx, case.id))
    if request is not None:
        request.state = ExtensionState.LAPSED
        request.decided_at = tx.now
