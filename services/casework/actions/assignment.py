"""Which unit is responsible for a case: 分办, 不予受理, 退回."""

from services.casework.actions.cases import event_fields, load_case, record_transition, reject_pii
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain.assignment import (
    awaits_accused,
    check_returnable,
    find_reason,
    reject_excluded,
)
from services.casework.domain.deadlines import DeadlineKind
from services.casework.domain.opening import DIRECT_ASSIGNMENT
from services.casework.domain.states import CaseAction
from services.casework.store import campaigns, cases
from services.casework.tables import Case
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseAssigned, CaseNotAccepted, CaseReturned
from shared.appraisal.labels import ComplaintKind
from shared.security.policies import Account
from shared.storage.transaction import Transaction

BASIS_MIN = 20


async def assign_case(
    tx: Transaction,
    *,
    number: str,
    unit_id: str,
    by: Account,
    expected_version: int | None = None,
    opinion: str = "",
) -> Case:
    """分办: assign a case to the responsible unit, or to another one (改派).

    A unit whose return was not accepted gets the case back with its old deadlines.
    """
    case = await load_case(tx, number, CaseAction.ASSIGN, by, expected_version=expected_version)
    _check_released(case)
    await _check_accused_recorded(tx, case)
    reject_excluded(unit_id, case.excluded_unit_ids)
    await reject_pii(opinion, field="opinion", label="分办意见")
    await _check_assignable(tx, case, unit_id)
    returned_before = await cases.last_returned_by(tx, case.id) == unit_id
    deadlines = await CaseDeadlines.of(tx, case)
    deadlines.complete(DeadlineKind.ASSIGN)
    deadlines.cancel(DeadlineKind.ACCEPT, DeadlineKind.HANDLE)
    _set_unit(case, unit_id)
    _start_for_unit(deadlines, returned_before=returned_before)
    record_transition(tx, case, CaseAction.ASSIGN, by, opinion)
    _publish_assigned(tx, deadlines)
    return case


def assign_as_named(tx: Transaction, deadlines: CaseDeadlines, unit_id: str) -> None:
    """Assign a case that was just released to the unit it names, without a reviewer."""
    case = deadlines.case
    deadlines.complete(DeadlineKind.ASSIGN)
    _set_unit(case, unit_id)
    _start_for_unit(deadlines, returned_before=False)
    record_transition(tx, case, CaseAction.ASSIGN, None, DIRECT_ASSIGNMENT)
    _publish_assigned(tx, deadlines)


def _publish_assigned(tx: Transaction, deadlines: CaseDeadlines) -> None:
    tx.publish(
        CaseAssigned(
            occurred_at=tx.now,
            deadlines=deadlines.sets(DeadlineKind.ACCEPT, DeadlineKind.HANDLE),
            **event_fields(deadlines.case),
        )
    )


def _check_released(case: Case) -> None:
    if case.released_at is None:
        raise Rejected("转办摘要还没有审核放行，放行后才能分办")


async def _check_accused_recorded(tx: Transaction, case: Case) -> None:
    rules = (await campaigns.get(tx, case.campaign_id)).case_rules
    if awaits_accused(ComplaintKind(case.kind), case.accused_record, rules):
        raise Rejected("还没有登记被举报单位，登记（或注明无法指明）后才能分办")


async def _check_assignable(
    tx: Transaction,
    case: Case,
    unit_id: str,
) -> None:
    if unit_id == case.unit_id:
        raise Rejected("本件已由该单位承办", field="unit_id")
    if not await campaigns.is_listed(tx, case.campaign_id, unit_id):
        raise Rejected("参评单位中没有这个单位", status=422, field="unit_id")


def _set_unit(case: Case, unit_id: str | None) -> None:
    case.unit_id = unit_id
    case.handler_id = None
    case.handler_name = None


def _start_for_unit(deadlines: CaseDeadlines, *, returned_before: bool) -> None:
    if not (returned_before and deadlines.resume(DeadlineKind.ACCEPT)):
        deadlines.start(DeadlineKind.ACCEPT)
    if not (returned_before and deadlines.resume(DeadlineKind.HANDLE)):
        deadlines.start(DeadlineKind.HANDLE)
        deadlines.case.assigned_at = deadlines.tx.now


async def refuse_case(
    tx: Transaction,
    *,
    number: str,
    reason: str,
    by: Account,
    explanation: str = "",
    expected_version: int | None = None,
) -> Case:
    """不予受理 for a reason of the rules.

    The public reads `explanation`, or the rule's own text.
    """
    case = await load_case(tx, number, CaseAction.REFUSE, by, expected_version=expected_version)
    deadlines = await CaseDeadlines.of(tx, case)
    chosen = find_reason(deadlines.rules.not_accepted_reasons, reason)
    public_text = explanation.strip() or chosen.public
    if not public_text:
        raise Rejected("请写明不予受理的理由，来件人会看到", status=422, field="explanation")
    await reject_pii(public_text, field="explanation", label="告知来件人的理由")
    deadlines.complete(DeadlineKind.RELEASE)
    deadlines.complete(DeadlineKind.ASSIGN)
    record_transition(tx, case, CaseAction.REFUSE, by, public_text, reason=chosen.code)
    tx.publish(
        CaseNotAccepted(
            occurred_at=tx.now,
            reason=chosen.code,
            explanation=public_text,
            **event_fields(case),
        )
    )
    return case


async def return_case(
    tx: Transaction,
    *,
    number: str,
    reason: str,
    basis: str,
    by: Account,
    expected_version: int | None = None,
    suggested_unit_id: str | None = None,
) -> Case:
    """退回: a unit that is not responsible returns the case in time, with a reason and its basis.

    The reviewer's deadline starts again.
    """
    case = await load_case(tx, number, CaseAction.RETURN, by, expected_version=expected_version)
    deadlines = await CaseDeadlines.of(tx, case)
    assert case.assigned_at is not None, "a case with a unit was assigned to it"
    assert case.unit_id is not None, "a case that can be returned has a unit"
    check_returnable(case.assigned_at, deadlines.rules, deadlines.calendar, tx.now)
    chosen = find_reason(deadlines.rules.return_reasons, reason)
    await _check_basis(basis)
    returned_by = case.unit_id
    case.returns += 1
    deadlines.cancel(DeadlineKind.ACCEPT, DeadlineKind.HANDLE)
    record_transition(
        tx,
        case,
        CaseAction.RETURN,
        by,
        basis.strip(),
        reason=chosen.code,
        suggested_unit=suggested_unit_id or "",
    )
    _set_unit(case, None)
    deadlines.start(DeadlineKind.ASSIGN)
    tx.publish(
        CaseReturned(
            occurred_at=tx.now,
            from_unit_id=returned_by,
            reason=chosen.code,
            returns=case.returns,
            **event_fields(case),
        )
    )
    return case


async def _check_basis(basis: str) -> None:
    if len(basis.strip()) < BASIS_MIN:
        raise Rejected(f"请写明退回依据，至少 {BASIS_MIN} 个字", status=422, field="basis")
    await reject_pii(basis, field="basis", label="退回依据")
