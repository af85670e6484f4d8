"""延期: requested by the unit before the lapse, approved by every role that the scheme names.

Until the last approval the old deadline applies.
"""

from services.casework.actions.cases import event_fields, load_case, record_transition, reject_pii
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.deadlines import DeadlineKind, DeadlineTerms
from services.casework.domain.extensions import (
    ExtensionState,
    check_extension,
    extend_terms,
    missing_approvals,
    role_names,
)
from services.casework.domain.states import CaseAction
from services.casework.store import cases
from services.casework.tables import Case, Deadline, Extension
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseExtended
from shared.appraisal.schemes import CaseRules
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

REASON_MIN = 10


async def request_extension(
    tx: Transaction,
    *,
    number: str,
    amount: int,
    reason: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """申请延期 by `amount`, in the unit of the scheme's rule.

    Raises Rejected after the lapse, beyond the cap, or if it was requested too often.
    """
    case = await load_case(
        tx, number, CaseAction.REQUEST_EXTENSION, by, expected_version=expected_version
    )
    deadlines = await CaseDeadlines.of(tx, case)
    row = deadlines.active(DeadlineKind.HANDLE)
    if row is None or not row.is_running:
        raise Rejected("办理期限已过，不能再申请延期")
    requested_before = await _count_requests(tx, case)
    check_extension(amount, requested_before, due=row.due_at, now=tx.now, rules=deadlines.rules)
    await _check_reason(reason)
    tx.add(
        Extension(
            id=new_id(),
            case_id=case.id,
            amount=amount,
            reason=reason.strip(),
            requested_at=tx.now,
            requested_by_id=by.id,
            requested_by_name=by.display_name,
            state=ExtensionState.REQUESTED,
        )
    )
    record_transition(tx, case, CaseAction.REQUEST_EXTENSION, by, reason.strip(), amount=amount)
    return case


async def _check_reason(reason: str) -> None:
    if len(reason.strip()) < REASON_MIN:
        raise Rejected(f"请写明延期理由，至少 {REASON_MIN} 个字", status=422, field="reason")
    await reject_pii(reason, field="reason", label="延期理由")


async def _count_requests(tx: Transaction, case: Case) -> int:
    """Count the requests so far. Raises Rejected if one awaits its decision."""
    states = [ExtensionState(each.state) for each in await cases.extensions(tx, case.id)]
    if ExtensionState.REQUESTED in states:
        raise Rejected("已有一份延期申请在审批中")
    return sum(state.counts for state in states)


async def decide_extension(
    tx: Transaction,
    *,
    number: str,
    agree: bool,
    by: Account,
    opinion: str = "",
    expected_version: int | None = None,
) -> Case:
    """审批延期: the last approval moves the deadline; one refusal ends the request."""
    case = await load_case(
        tx, number, CaseAction.DECIDE_EXTENSION, by, expected_version=expected_version
    )
    await reject_pii(opinion, field="opinion", label="说明")
    request = await _open_request(tx, case)
    deadlines = await CaseDeadlines.of(tx, case)
    _check_approver(request, deadlines.rules, by)
    if agree:
        await _approve(tx, deadlines, request, by, opinion)
    else:
        request.state = ExtensionState.REFUSED
        request.decided_at = tx.now
        record_transition(tx, case, CaseAction.DECIDE_EXTENSION, by, opinion.strip(), agreed=False)
    return case


async def _open_request(tx: Transaction, case: Case) -> Extension:
    request = cases.open_request(await cases.extensions(tx, case.id))
    if request is None:
        raise Rejected("没有待审批的延期申请")
    return request


def _check_approver(
    request: Extension,
    rules: CaseRules,
    by: Account,
) -> None:
    missing = missing_approvals(rules, request.approved_by)
    if by.role.value not in missing:
        raise Rejected(f"本申请尚待{role_names(missing)}审批", status=403)
    if request.requested_by_id == by.id:
        raise Rejected("不能审批自己提出的延期申请")


async def _approve(
    tx: Transaction,
    deadlines: CaseDeadlines,
    request: Extension,
    by: Account,
    opinion: str,
) -> None:
    row = deadlines.running(DeadlineKind.HANDLE)
    if row is None:
        # The lapse was published and is not taken back.
        raise Rejected("办理期限已过，不能再批准延期")
    request.approved_by = [*request.approved_by, by.role.value]
    complete = not missing_approvals(deadlines.rules, request.approved_by)
    if complete:
        await _extend(tx, deadlines, row, request)
    record_transition(
        tx,
        deadlines.case,
        CaseAction.DECIDE_EXTENSION,
        by,
        opinion.strip(),
        agreed=True,
        due_at=row.due_at.isoformat() if complete else "",
    )


async def _extend(
    tx: Transaction,
    deadlines: CaseDeadlines,
    row: Deadline,
    request: Extension,
) -> None:
    request.state = ExtensionState.APPROVED
    request.decided_at = tx.now
    rule = deadlines.rules.extension.limit
    terms = extend_terms(DeadlineTerms.from_json(row.terms), request.amount, rule)
    suspensions = await cases.suspensions(tx, deadlines.case.id)
    deadlines.recompute(row, terms, suspensions)
    tx.publish(
        CaseExtended(
            occurred_at=tx.now,
            deadlines=deadlines.sets(DeadlineKind.HANDLE),
            **event_fields(deadlines.case),
        )
    )
