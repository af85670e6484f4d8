"""The states of a case, the actions that lead from one to the next, and who may take them.

`TRANSITIONS` is the whole life of a case: an action that a state does not list is rejected.
`ALLOWED_ROLES` is the only list of who may do what; the policies of pages and API, the buttons and
the actions all read it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintKind, LabelledEnum, Role


class CaseState(LabelledEnum):
    """Where a case stands."""

    PENDING = "pending", "待受理"
    ASSIGNED = "assigned", "已分办"
    HANDLING = "handling", "办理中"
    JOINT_HANDLING = "joint_handling", "会办"
    PAUSED = "paused", "暂停办理"
    REVIEWING = "reviewing", "待审核"
    CLOSED = "closed", "已办结"
    STRUCK_OFF = "struck_off", "已销号"
    NOT_ACCEPTED = "not_accepted", "不予受理"
    MERGED = "merged", "已并案"


ENDED_STATES: Final = (
    CaseState.CLOSED,
    CaseState.STRUCK_OFF,
    CaseState.NOT_ACCEPTED,
    CaseState.MERGED,
)
"""States in which no deadline of the case runs any more."""
OPEN_STATES: Final = tuple(state for state in CaseState if state not in ENDED_STATES)
WITH_UNIT: Final = tuple(state for state in OPEN_STATES if state is not CaseState.PENDING)
"""States in which a unit is working on the case."""
IN_HANDLING: Final = (CaseState.HANDLING, CaseState.JOINT_HANDLING, CaseState.PAUSED)
"""States between acceptance (签收) and submission (办结送审)."""


class CaseAction(LabelledEnum):
    """What a person does with a case."""

    ASSIGN = "assign", "分办"
    REFUSE = "refuse", "不予受理"
    ACCEPT = "accept", "签收"
    TAKE_OVER = "take_over", "接办"
    RETURN = "return", "退回"
    WITHDRAW = "withdraw", "回避收回"
    NOTE = "note", "记录办理情况"
    START_JOINT_HANDLING = "start_joint_handling", "会办"
    END_JOINT_HANDLING = "end_joint_handling", "结束会办"
    REQUEST_EXTENSION = "request_extension", "申请延期"
    DECIDE_EXTENSION = "decide_extension", "审批延期"
    PAUSE = "pause", "暂停计时"
    RESUME = "resume", "恢复计时"
    SUBMIT = "submit", "办结送审"
    APPROVE = "approve", "审核通过"
    SEND_BACK = "send_back", "退回修改"
    STRIKE_OFF = "strike_off", "销号"
    URGE = "urge", "催办"
    MERGE = "merge", "并案"


OPENED: Final = "open"
"""The first entry in the history of a case; no person takes this action."""
URGENCY_RAISED: Final = "raise_urgency"
RELEASED: Final = "release"
SUMMARY_CORRECTED: Final = "correct_summary"
"""Entries about the redacted summary. A reviewer releases and corrects it in intake."""
ACCUSED_RECORDED: Final = "record_accused"
"""The entry about whom the case accuses. A reviewer or supervisor records it in intake."""
UNMERGED: Final = "unmerge"
"""The entry about a merger that was undone: the case is in the state again that it had before."""
ACTION_LABELS: Final = {
    OPENED: "立案",
    RELEASED: "摘要放行",
    SUMMARY_CORRECTED: "更正摘要",
    URGENCY_RAISED: "提高紧急程度",
    ACCUSED_RECORDED: "登记被举报单位",
    UNMERGED: "撤销并案",
} | dict(CaseAction.choices())
AUDIT_LABELS: Final = {
    "case.exclude": "确定回避单位",
    **{f"case.{action}": label for action, label in ACTION_LABELS.items()},
}
"""The same actions as keys of the audit log, and what follows from the register by itself."""

TRANSITIONS: Final[Mapping[CaseState, Mapping[CaseAction, CaseState]]] = {
    CaseState.PENDING: {
        CaseAction.ASSIGN: CaseState.ASSIGNED,
        CaseAction.REFUSE: CaseState.NOT_ACCEPTED,
        CaseAction.NOTE: CaseState.PENDING,
        CaseAction.MERGE: CaseState.MERGED,
    },
    CaseState.ASSIGNED: {
        CaseAction.ACCEPT: CaseState.HANDLING,
        CaseAction.RETURN: CaseState.PENDING,
        CaseAction.WITHDRAW: CaseState.PENDING,
        CaseAction.ASSIGN: CaseState.ASSIGNED,
        CaseAction.NOTE: CaseState.ASSIGNED,
        CaseAction.URGE: CaseState.ASSIGNED,
        CaseAction.MERGE: CaseState.MERGED,
    },
    CaseState.HANDLING: {
        CaseAction.SUBMIT: CaseState.REVIEWING,
        CaseAction.RETURN: CaseState.PENDING,
        CaseAction.WITHDRAW: CaseState.PENDING,
        CaseAction.PAUSE: CaseState.PAUSED,
        CaseAction.START_JOINT_HANDLING: CaseState.JOINT_HANDLING,
        CaseAction.TAKE_OVER: CaseState.HANDLING,
        CaseAction.REQUEST_EXTENSION: CaseState.HANDLING,
        CaseAction.DECIDE_EXTENSION: CaseState.HANDLING,
        CaseAction.NOTE: CaseState.HANDLING,
        CaseAction.URGE: CaseState.HANDLING,
        CaseAction.MERGE: CaseState.MERGED,
    },
    CaseState.JOINT_HANDLING: {
        CaseAction.SUBMIT: CaseState.REVIEWING,
        CaseAction.END_JOINT_HANDLING: CaseState.HANDLING,
        CaseAction.WITHDRAW: CaseState.PENDING,
        CaseAction.TAKE_OVER: CaseState.JOINT_HANDLING,
        CaseAction.REQUEST_EXTENSION: CaseState.JOINT_HANDLING,
        CaseAction.DECIDE_EXTENSION: CaseState.JOINT_HANDLING,
        CaseAction.NOTE: CaseState.JOINT_HANDLING,
        CaseAction.URGE: CaseState.JOINT_HANDLING,
        CaseAction.MERGE: CaseState.MERGED,
    },
    CaseState.PAUSED: {
        CaseAction.RESUME: CaseState.HANDLING,
        CaseAction.WITHDRAW: CaseState.PENDING,
        CaseAction.NOTE: CaseState.PAUSED,
        CaseAction.MERGE: CaseState.MERGED,
    },
    CaseState.REVIEWING: {
        CaseAction.APPROVE: CaseState.CLOSED,
        CaseAction.SEND_BACK: CaseState.HANDLING,
        CaseAction.WITHDRAW: CaseState.PENDING,
        CaseAction.NOTE: CaseState.REVIEWING,
        CaseAction.URGE: CaseState.REVIEWING,
        CaseAction.MERGE: CaseState.MERGED,
    },
    CaseState.CLOSED: {CaseAction.STRIKE_OFF: CaseState.STRUCK_OFF},
    CaseState.STRUCK_OFF: {},
    CaseState.NOT_ACCEPTED: {},
    CaseState.MERGED: {},
}
assert TRANSITIONS.keys() == set(CaseState), "every state lists what may follow it"
_USED_ACTIONS: Final = {action for following in TRANSITIONS.values() for action in following}
assert set(CaseAction) == _USED_ACTIONS, "every action belongs to a state"

UNIT_ROLES: Final = frozenset({Role.HANDLER, Role.UNIT_HEAD})
"""Roles that act for one unit and see only its cases."""
READER_ROLES: Final = UNIT_ROLES | {Role.REVIEWER, Role.SUPERVISOR, Role.OFFICE, Role.LEADER}
"""Roles that may open a case at all."""
ALLOWED_ROLES: Final[Mapping[CaseAction, frozenset[Role]]] = {
    CaseAction.ASSIGN: frozenset({Role.REVIEWER, Role.SUPERVISOR}),
    CaseAction.REFUSE: frozenset({Role.REVIEWER}),
    CaseAction.ACCEPT: UNIT_ROLES,
    CaseAction.TAKE_OVER: frozenset({Role.HANDLER}),
    CaseAction.RETURN: UNIT_ROLES,
    CaseAction.WITHDRAW: frozenset(),  # Follows from a record or from the register.
    CaseAction.NOTE: UNIT_ROLES | {Role.REVIEWER, Role.SUPERVISOR},
    CaseAction.START_JOINT_HANDLING: frozenset({Role.HANDLER, Role.REVIEWER}),
    CaseAction.END_JOINT_HANDLING: frozenset({Role.HANDLER, Role.REVIEWER}),
    CaseAction.REQUEST_EXTENSION: UNIT_ROLES,
    # The scheme names the approvers; these are the roles it can name that also see the case.
    CaseAction.DECIDE_EXTENSION: READER_ROLES - {Role.HANDLER},
    CaseAction.PAUSE: frozenset({Role.SUPERVISOR}),
    CaseAction.RESUME: frozenset({Role.SUPERVISOR}),
    CaseAction.SUBMIT: UNIT_ROLES,
    CaseAction.APPROVE: frozenset({Role.UNIT_HEAD, Role.SUPERVISOR}),
    CaseAction.SEND_BACK: frozenset({Role.UNIT_HEAD, Role.SUPERVISOR}),
    CaseAction.STRIKE_OFF: frozenset({Role.SUPERVISOR}),
    CaseAction.URGE: frozenset({Role.SUPERVISOR}),
    CaseAction.MERGE: frozenset(),  # A reviewer merges complaints in intake.
}
assert ALLOWED_ROLES.keys() == set(CaseAction), "every action names its roles"

UNVERSIONED_ACTIONS: Final = frozenset(
    {
        CaseAction.NOTE,
        CaseAction.URGE,
        RELEASED,
        SUMMARY_CORRECTED,
        URGENCY_RAISED,
        ACCUSED_RECORDED,
    }
)
"""Actions that change nothing another action depends on: the version of the case stays."""


AWAITING_RELEASE: Final = "（转办摘要待审核放行）"
"""What pages and API show in the place of a redacted summary that nobody released yet."""


def shown_summary(redacted_summary: str, released_at: datetime | None) -> str:
    """Return the redacted summary, or the sentence that it awaits its release."""
    return AWAITING_RELEASE if released_at is None else redacted_summary


COUNTS_REPEATED_REPORTS: Final = frozenset({Role.REVIEWER, Role.SUPERVISOR})
"""Roles that may know that a 举报 was made again: everybody else could guess that people talk."""


def shown_repeats(repeats: int, kind: ComplaintKind, role: Role) -> int:
    """Return how often a matter was reported again, as far as a role may know it."""
    hidden = kind is ComplaintKind.REPORT and role not in COUNTS_REPEATED_REPORTS
    return 0 if hidden else repeats


class IllegalTransition(Rejected):
    """The state of the case does not allow the action."""


class StaleVersion(Rejected):
    """The case changed after the person opened it. `version` is the current one."""

    def __init__(self, version: int) -> None:
        super().__init__(
            "办件在您打开之后已有变化，本次操作没有生效。请核对最新情况后再提交。", field="version"
        )
        self.version = version


def next_state(state: CaseState, action: CaseAction) -> CaseState:
    """Return the state after `action`. Raises IllegalTransition."""
    if action not in TRANSITIONS[state]:
        raise IllegalTransition(f"办件现为“{state.label}”，不能{action.label}")
    return TRANSITIONS[state][action]


def permitted_actions(state: CaseState, role: Role) -> list[CaseAction]:
    """Return what a role may do with a case in this state, in the order of the table."""
    return [action for action in TRANSITIONS[state] if role in ALLOWED_ROLES[action]]


def check_version(expected_version: int | None, version: int) -> None:
    """Raise StaleVersion if the decision was made on an older version.

    None means that the caller did not state a version; the check is skipped.
    """
    if expected_version is not None and expected_version != version:
        raise StaleVersion(version)
