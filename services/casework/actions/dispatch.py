"""Whose case it is: 分办, 不予受理, 退回."""

from services.casework.actions.cases import keys, load, refuse_personal_data, take_step
from services.casework.actions.deadlines import CaseDeadlines
from services.casework.domain import Verb, refuse_late_return, reject_excluded
from services.casework.store import cases, reference
from services.casework.tables import Case
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseAssigned, CaseNotAccepted, CaseReturned
from shared.appraisal.schemes import Reason
from shared.security.policies import Account
from shared.storage.transaction import Transaction

TEXT_MIN = 20


async def assign_case(
    tx: Transaction,
    *,
    number: str,
    unit_id: str,
    by: Account,
    expected_version: int | None = None,
    opinion: str = "",
) -> Case:
    """分办 to the responsible unit, or 改派 to another. A unit whose objection is refused gets the
    case back with its old deadlines.
    """
    case = await load(tx, number, Verb.ASSIGN, by, expected_version=expected_version)
    reject_excluded(unit_id, case.excluded_unit_id)
    refuse_personal_data(opinion, field="opinion", label="分办意见")
    if unit_id == case.unit_id:
        raise Rejected("本件已由该单位承办", field="unit_id")
    if not await reference.is_listed(tx, case.campaign_id, unit_id):
        raise Rejected("参评单位中没有这个单位", status=422, field="unit_id")
    case_deadlines = await CaseDeadlines.of(tx, case)
    case_deadlines.complete("assign")
    case_deadlines.cancel("accept", "handle")
    runs_on = await cases.last_returned_by(tx, case.id) == unit_id
    case.unit_id, case.handler_id, case.handler_name = unit_id, None, None
    if not (runs_on and case_deadlines.resume("accept")):
        case_deadlines.start("accept")
    if not (runs_on and case_deadlines.resume("handle")):
        case_deadlines.start("handle")
        case.assigned_at = tx.now
    take_step(tx, case, Verb.ASSIGN, by, opinion)
    tx.publish(
        CaseAssigned(
            occurred_at=tx.now,
            deadlines=case_deadlines.deadline_sets("accept", "handle"),
            **keys(case),
        )
    )
    return case


async def refuse_case(
    tx: Transaction,
    *,
    number: str,
    reason: str,
    explanation: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """不予受理, with a reason of the rules and the sentence the public reads (empty: the rule's
    own).
    """
    case = await load(tx, number, Verb.REFUSE, by, expected_version=expected_version)
    case_deadlines = await CaseDeadlines.of(tx, case)
    chosen = reason_of(case_deadlines.campaign.scheme.case_rules.not_accepted_reasons, reason)
    sentence = explanation.strip() or chosen.public
    if not sentence:
        raise Rejected("请写明不予受理的理由，来件人会看到", status=422, field="explanation")
    refuse_personal_data(sentence, field="explanation", label="告知来件人的理由")
    case_deadlines.complete("assign")
    take_step(tx, case, Verb.REFUSE, by, sentence, reason=chosen.code)
    tx.publish(
        CaseNotAccepted(occurred_at=tx.now, reason=chosen.code, explanation=sentence, **keys(case))
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
    """退回 by a unit that is not responsible: in time, with a reason and its basis. The reviewer's
    clock begins anew.
    """
    case = await load(tx, number, Verb.RETURN, by, expected_version=expected_version)
    case_deadlines = await CaseDeadlines.of(tx, case)
    rules = case_deadlines.campaign.scheme.case_rules
    assert case.assigned_at is not None, "a case with a unit was assigned to it"
    assert case.unit_id is not None, "a case that can be returned has a unit"
    refuse_late_return(case.assigned_at, rules, case_deadlines.calendar, tx.now)
    chosen = reason_of(rules.return_reasons, reason)
    if len(basis.strip()) < TEXT_MIN:
        raise Rejected(f"请写明退回依据，至少 {TEXT_MIN} 个字", status=422, field="basis")
    refuse_personal_data(basis, field="basis", label="退回依据")
    case_deadlines.cancel("accept", "handle")
    case.returns += 1
    from_unit = case.unit_id
    take_step(
        tx,
        case,
        Verb.RETURN,
        by,
        basis.strip(),
        reason=chosen.code,
        suggested_unit=suggested_unit_id or "",
    )
    case.unit_id, case.handler_id, case.handler_name = None, None, None
    case_deadlines.start("assign")
    tx.publish(
        CaseReturned(
            occurred_at=tx.now,
            from_unit_id=from_unit,
            reason=chosen.code,
            returns=case.returns,
            **keys(case),
        )
    )
    return case


def reason_of(reasons: tuple[Reason, ...], code: str) -> Reason:
    """The reason of that code. Raises Rejected when the rules have none."""
    chosen = next((one for one in reasons if one.code == code), None)
    if chosen is None:
        raise Rejected("请从列出的理由中选择", status=422, field="reason")
    return chosen
