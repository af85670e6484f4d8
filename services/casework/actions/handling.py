"""What the unit does with its case, and what is decided about it: 签收, 办结送审, 审核, 销号, 暂停,
催办.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from services.casework.actions.cases import keys, load, refuse_personal_data, take_step
from services.casework.actions.deadlines import CaseDeadlines, pauses_of
from services.casework.actions.dispatch import reason_of
from services.casework.domain import (
    NEXT,
    DeadlineState,
    DeadlineTerms,
    State,
    Verb,
    working_days_taken,
)
from services.casework.store import cases, context_of
from services.casework.tables import Case, Submission, Suspension
from shared.appraisal.errors import Rejected
from shared.appraisal.events import (
    CaseAccepted,
    CaseClosed,
    CaseRescheduled,
    CaseSentBack,
    CaseStruckOff,
    CaseSubmitted,
    CaseUrged,
)
from shared.foundation import telemetry
from shared.security.policies import Account
from shared.storage.transaction import Transaction

CaseFinding = Literal["substantiated", "partly_substantiated", "unsubstantiated"]
FINDING_LABELS: dict[str, str] = {
    "substantiated": "属实",
    "partly_substantiated": "部分属实",
    "unsubstantiated": "不属实",
}
ACCOUNT_MIN = 50
REPLY_MIN = 10
OPINION_MIN = 10
PAUSE_DAYS_MAX = 90


async def accept_case(
    tx: Transaction, *, number: str, by: Account, expected_version: int | None = None
) -> Case:
    """签收: the unit takes the case on; whoever signs handles it."""
    case = await load(tx, number, Verb.ACCEPT, by, expected_version=expected_version)
    case_deadlines = await CaseDeadlines.of(tx, case)
    late = case_deadlines.complete("accept")
    case.accepted_at, case.handler_id, case.handler_name = tx.now, by.id, by.display_name
    take_step(tx, case, Verb.ACCEPT, by)
    tx.publish(
        CaseAccepted(
            occurred_at=tx.now,
            late=late,
            deadlines=case_deadlines.deadline_sets("handle"),
            **keys(case),
        )
    )
    return case


async def accept_cases(tx: Transaction, *, numbers: Sequence[str], by: Account) -> int:
    """签收 of several at once; gives how many. One that is not to be signed any more is left alone."""
    signed = 0
    # In one order for everybody, so that two people who sign overlapping lists never wait for each
    # other.
    for number in sorted(set(numbers)):
        case = await cases.to_change(tx, number, by)
        if case is not None and Verb.ACCEPT in NEXT[State(case.state)]:
            await accept_case(tx, number=number, by=by)
            signed += 1
    return signed


async def take_case_over(
    tx: Transaction, *, number: str, by: Account, expected_version: int | None = None
) -> Case:
    """接办 by another handler of the unit. No deadline moves."""
    case = await load(tx, number, Verb.TAKE_OVER, by, expected_version=expected_version)
    if case.handler_id == by.id:
        raise Rejected("本件已由您承办")
    before, case.handler_id, case.handler_name = case.handler_name or "", by.id, by.display_name
    take_step(tx, case, Verb.TAKE_OVER, by, f"原承办人 {before}" if before else "")
    return case


async def note_progress(tx: Transaction, *, number: str, text: str, by: Account) -> Case:
    """记录办理情况 in the case's history. No deadline moves."""
    case = await load(tx, number, Verb.NOTE, by)
    refuse_personal_data(text, field="text", label="办理记录")
    take_step(tx, case, Verb.NOTE, by, text.strip())
    return case


async def urge_unit(tx: Transaction, *, number: str, text: str, by: Account) -> Case:
    """催办: the unit is told, and finds the words at the head of the case and in its history. No
    deadline moves.
    """
    case = await load(tx, number, Verb.URGE, by)
    refuse_personal_data(text, field="text", label="催办意见")
    case.urges += 1
    take_step(tx, case, Verb.URGE, by, text.strip())
    tx.publish(CaseUrged(occurred_at=tx.now, urges=case.urges, **keys(case)))
    return case


# ── the result and its review ─────────────────────────────────────────────────────────────────────


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
    """办结送审. The handling clock stops with it; should the result be sent back, it runs on as if
    it had never stopped.
    """
    case = await load(tx, number, Verb.SUBMIT, by, expected_version=expected_version)
    _refuse_thin(account, reply)
    for field, text, label in (
        ("account", account, "办理情况"),
        ("measures", measures, "整改措施"),
        ("reply", reply, "公开答复"),
    ):
        refuse_personal_data(text, field=field, label=label)
    if finding != "unsubstantiated" and not measures.strip():
        raise Rejected("反映属实或部分属实的，请写明整改措施", status=422, field="measures")
    case_deadlines = await CaseDeadlines.of(tx, case)
    late = case_deadlines.complete("handle")
    case_deadlines.start("review")
    await _withdraw_request(tx, case)
    sent = await cases.submissions(tx, case.id)
    tx.add(
        Submission(
            case_id=case.id,
            no=len(sent) + 1,
            at=tx.now,
            by_id=by.id,
            by_name=by.display_name,
            account=account.strip(),
            finding=finding,
            measures=measures.strip(),
            reply=reply.strip(),
            late=late,
        )
    )
    case.submitted_at = tx.now
    take_step(tx, case, Verb.SUBMIT, by, no=len(sent) + 1)
    tx.publish(CaseSubmitted(occurred_at=tx.now, late=late, **keys(case)))
    return case


def _refuse_thin(account: str, reply: str) -> None:
    if len(account.strip()) < ACCOUNT_MIN:
        raise Rejected(
            f"办理情况至少 {ACCOUNT_MIN} 个字，请写清核查经过和结果", status=422, field="account"
        )
    if len(reply.strip()) < REPLY_MIN:
        raise Rejected(f"公开答复至少 {REPLY_MIN} 个字，来件人会看到", status=422, field="reply")


async def _withdraw_request(tx: Transaction, case: Case) -> None:
    """An extension nobody decided is of no use once the result is there."""
    for request in await cases.extensions(tx, case.id):
        if request.state == "asked":
            request.state, request.decided_at = "lapsed", tx.now


async def approve_result(
    tx: Transaction, *, number: str, opinion: str, by: Account, expected_version: int | None = None
) -> Case:
    """审核通过: the case is closed (办结) and the complainant gets the reply. Nobody approves what they
    wrote themselves.
    """
    case = await load(tx, number, Verb.APPROVE, by, expected_version=expected_version)
    refuse_personal_data(opinion, field="opinion", label="审核意见")
    result = await _to_review(tx, case)
    if result.by_id == by.id:
        raise Rejected("不能审核自己提交的办理结果")
    case_deadlines = await CaseDeadlines.of(tx, case)
    case_deadlines.complete("review")
    handling = case_deadlines.last("handle")
    _decide(tx, result, "approved", opinion, by)
    case.closed_at, case.finding, case.late = (
        tx.now,
        result.finding,
        handling is not None and handling.lapsed_at is not None,
    )
    take_step(tx, case, Verb.APPROVE, by, opinion.strip())
    assert case.assigned_at, "a case that was handled was assigned"
    days = working_days_taken(case.assigned_at, result.at, case_deadlines.calendar)
    telemetry.cases_closed.labels("no" if case.late else "yes").inc()
    telemetry.case_working_days.observe(days)
    tx.publish(
        CaseClosed(
            occurred_at=tx.now,
            source=case.source,  # type: ignore[arg-type]
            source_id=case.source_id,
            late=case.late,
            finding=result.finding,  # type: ignore[arg-type]
            working_days=days,
            reply=result.reply,
            **keys(case),
        )
    )
    return case


async def send_result_back(
    tx: Transaction, *, number: str, opinion: str, by: Account, expected_version: int | None = None
) -> Case:
    """审核退回修改: the case is being handled again, and its handling clock runs on with the end it
    had.
    """
    case = await load(tx, number, Verb.SEND_BACK, by, expected_version=expected_version)
    if len(opinion.strip()) < OPINION_MIN:
        raise Rejected(
            f"请写明退回修改的意见，至少 {OPINION_MIN} 个字", status=422, field="opinion"
        )
    refuse_personal_data(opinion, field="opinion", label="审核意见")
    case_deadlines = await CaseDeadlines.of(tx, case)
    case_deadlines.complete("review")
    case_deadlines.resume("handle")
    _decide(tx, await _to_review(tx, case), "sent_back", opinion, by)
    take_step(tx, case, Verb.SEND_BACK, by, opinion.strip())
    tx.publish(CaseSentBack(occurred_at=tx.now, reason=opinion.strip(), **keys(case)))
    return case


async def _to_review(tx: Transaction, case: Case) -> Submission:
    sent = await cases.submissions(tx, case.id)
    assert sent, "a case under review has a result"
    assert sent[0].decision is None, "nobody has decided on it yet"
    return sent[0]


def _decide(tx: Transaction, result: Submission, decision: str, opinion: str, by: Account) -> None:
    result.decision, result.decided_at, result.decided_by_name, result.opinion = (
        decision,
        tx.now,
        by.display_name,
        opinion.strip(),
    )


async def strike_off(
    tx: Transaction, *, number: str, opinion: str, by: Account, expected_version: int | None = None
) -> Case:
    """销号: somebody outside the unit verified the rectification."""
    case = await load(tx, number, Verb.STRIKE_OFF, by, expected_version=expected_version)
    if len(opinion.strip()) < OPINION_MIN:
        raise Rejected(f"请写明核查情况，至少 {OPINION_MIN} 个字", status=422, field="opinion")
    refuse_personal_data(opinion, field="opinion", label="核查情况")
    take_step(tx, case, Verb.STRIKE_OFF, by, opinion.strip())
    tx.publish(CaseStruckOff(occurred_at=tx.now, **keys(case)))
    return case


# ── the clock stands still ────────────────────────────────────────────────────────────────────────


async def pause_case(
    tx: Transaction,
    *,
    number: str,
    reason: str,
    until: datetime,
    by: Account,
    expected_version: int | None = None,
) -> Case:
    """暂停计时 for a reason of the rules, until an instant at which it goes on by itself."""
    case = await load(tx, number, Verb.PAUSE, by, expected_version=expected_version)
    case_deadlines = await CaseDeadlines.of(tx, case)
    chosen = reason_of(case_deadlines.campaign.scheme.case_rules.pause_reasons, reason)
    if not 0 < (until - tx.now).total_seconds() <= PAUSE_DAYS_MAX * 86_400:
        raise Rejected(f"恢复日期应在今天之后、{PAUSE_DAYS_MAX} 日之内", status=422, field="until")
    row = case_deadlines.active("handle")
    if row is None or row.state != DeadlineState.RUNNING or row.due_at <= tx.now:
        raise Rejected("办理期限已过，不能暂停计时")
    row.state, row.next_warn_at = DeadlineState.PAUSED, None
    tx.add(Suspension(case_id=case.id, reason=chosen.code, since=tx.now, until=until))
    take_step(tx, case, Verb.PAUSE, by, chosen.label, reason=chosen.code, until=until.isoformat())
    return case


async def resume_case(
    tx: Transaction, *, number: str, by: Account, expected_version: int | None = None
) -> Case:
    """恢复计时 before the agreed day."""
    case = await load(tx, number, Verb.RESUME, by, expected_version=expected_version)
    await _resume(
        tx,
        case,
        next(one for one in await cases.suspensions(tx, case.id) if one.ended_at is None),
        by,
    )
    return case


async def resume_due(tx: Transaction) -> bool:
    """Resume the deadlines whose agreed day has come. True: there may be more."""
    batch = context_of(tx).sweep_batch
    due = await cases.due_resumptions(tx, batch)
    for case, suspension in due:
        await _resume(tx, case, suspension, None)
    return len(due) == batch


async def _resume(tx: Transaction, case: Case, suspension: Suspension, by: Account | None) -> None:
    suspension.ended_at = tx.now
    case_deadlines = await CaseDeadlines.of(tx, case)
    row = case_deadlines.active("handle")
    assert row is not None, "a paused case has a handling deadline"
    row.state = DeadlineState.RUNNING
    case_deadlines.recompute(
        row, DeadlineTerms.from_json(row.terms), pauses_of(await cases.suspensions(tx, case.id))
    )
    take_step(tx, case, Verb.RESUME, by, due_at=row.due_at.isoformat())
    told = case_deadlines.deadline_sets("handle")
    tx.publish(
        CaseRescheduled(
            occurred_at=tx.now, calendar_version=row.calendar_version, deadlines=told, **keys(case)
        )
    )
