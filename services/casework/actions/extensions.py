"""延期: asked by the unit before lapse, decided by every role that the scheme names; until then the
old deadline counts.
"""

from collections.abc import Sequence

from services.casework.actions.cases import keys, load, refuse_personal_data, take_step
from services.casework.actions.deadlines import CaseDeadlines, pauses_of
from services.casework.domain import (
    DeadlineState,
    DeadlineTerms,
    Verb,
    lengthened,
    missing_approvals,
    refuse_extension,
)
from services.casework.store import cases
from services.casework.tables import Case, Extension, Suspension
from shared.appraisal.errors import Rejected
from shared.appraisal.events import CaseExtended
from shared.appraisal.labels import Role
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

REASON_MIN = 10


async def ask_extension(
    tx: Transaction,
    *,
    number: str,
    amount: int,
    reason: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """申请延期 by `amount` (in the unit of the scheme's rule). Rejected after lapse, beyond the cap,
    or once too often.
    """
    case = await load(tx, number, Verb.ASK_EXTENSION, by, expected_version=expected_version)
    case_deadlines = await CaseDeadlines.of(tx, case)
    row = case_deadlines.active("handle")
    if row is None or row.state != DeadlineState.RUNNING:
        raise Rejected("办理期限已过，不能再申请延期")
    asked = [
        one for one in await cases.extensions(tx, case.id) if one.state in ("asked", "approved")
    ]
    if any(one.state == "asked" for one in asked):
        raise Rejected("已有一份延期申请在审批中")
    refuse_extension(
        amount,
        len(asked),
        due=row.due_at,
        now=tx.now,
        rules=case_deadlines.campaign.scheme.case_rules,
    )
    if len(reason.strip()) < REASON_MIN:
        raise Rejected(f"请写明延期理由，至少 {REASON_MIN} 个字", status=422, field="reason")
    refuse_personal_data(reason, field="reason", label="延期理由")
    tx.add(
        Extension(
            id=new_id(),
            case_id=case.id,
            amount=amount,
            reason=reason.strip(),
            asked_at=tx.now,
            asked_by_id=by.id,
            asked_by_name=by.display_name,
            state="asked",
        )
    )
    take_step(tx, case, Verb.ASK_EXTENSION, by, reason.strip(), amount=amount)
    return case


async def decide_extension(
    tx: Transaction,
    *,
    number: str,
    agree: bool,
    opinion: str,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """One approver's word. The last agreement moves the deadline; one refusal ends the request."""
    case = await load(tx, number, Verb.DECIDE_EXTENSION, by, expected_version=expected_version)
    refuse_personal_data(opinion, field="opinion", label="说明")
    request = next(
        (one for one in await cases.extensions(tx, case.id) if one.state == "asked"), None
    )
    if request is None:
        raise Rejected("没有待审批的延期申请")
    case_deadlines = await CaseDeadlines.of(tx, case)
    missing = missing_approvals(case_deadlines.campaign.scheme.case_rules, request.approved_by)
    if by.role.value not in missing:
        names = "、".join(Role(role).label for role in missing)
        raise Rejected(f"本申请尚待{names}审批", status=403)
    if request.asked_by_id == by.id:
        raise Rejected("不能审批自己提出的延期申请")
    if agree:
        _agree(tx, case, request, case_deadlines, by, opinion, await cases.suspensions(tx, case.id))
    else:
        request.state, request.decided_at = "refused", tx.now
        take_step(tx, case, Verb.DECIDE_EXTENSION, by, opinion.strip(), agreed=False)
    return case


def _agree(
    tx: Transaction,
    case: Case,
    request: Extension,
    case_deadlines: CaseDeadlines,
    by: Account,
    opinion: str,
    suspensions: Sequence[Suspension],
) -> None:
    """Note the agreement; with the last one the deadline moves. Too late is too late: a lapse was
    told and is not taken back.
    """
    row = case_deadlines.active("handle")
    if row is None or row.state != DeadlineState.RUNNING or row.due_at <= tx.now:
        raise Rejected("办理期限已过，不能再批准延期")
    request.approved_by = [*request.approved_by, by.role.value]
    rules = case_deadlines.campaign.scheme.case_rules
    whole = not missing_approvals(rules, request.approved_by)
    if whole:
        request.state, request.decided_at = "approved", tx.now
        case_deadlines.recompute(
            row,
            lengthened(DeadlineTerms.from_json(row.terms), request.amount, rules.extension.limit),
            pauses_of(suspensions),
        )
        tx.publish(
            CaseExtended(
                occurred_at=tx.now, deadlines=case_deadlines.deadline_sets("handle"), **keys(case)
            )
        )
    take_step(
        tx,
        case,
        Verb.DECIDE_EXTENSION,
        by,
        opinion.strip(),
        agreed=True,
        due_at=row.due_at.isoformat() if whole else "",
    )
