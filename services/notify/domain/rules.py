"""The notification table: what each event sends to whom, and which stages it resolves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.notify.domain.audience import Audience
from services.notify.domain.stages import STAGES
from shared.appraisal.events import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseExtended,
    CaseMerged,
    CaseNotAccepted,
    CaseOpened,
    CasePaused,
    CaseReleased,
    CaseRescheduled,
    CaseReturned,
    CaseSentBack,
    CaseStruckOff,
    CaseSubmitted,
    CaseSummaryCorrected,
    CaseUnmerged,
    CaseUrged,
    CaseWithdrawn,
    DeadlineLapsed,
    DeadlineWarned,
    Event,
    ObligationFulfilled,
    ObligationLapsed,
    ObligationWarned,
    ScoreChanged,
    VisitHandedOver,
)


class NotificationKind(StrEnum):
    """Kinds of notifications; each has one rule and one template."""

    CASE_OPENED = "case_opened"
    CASE_RELEASED = "case_released"
    CASE_ASSIGNED = "case_assigned"
    CASE_SUMMARY_CORRECTED = "case_summary_corrected"
    CASE_RETURNED = "case_returned"
    CASE_WITHDRAWN = "case_withdrawn"
    CASE_MERGED = "case_merged"
    CASE_UNMERGED = "case_unmerged"
    CASE_EXTENDED = "case_extended"
    CASE_PAUSED = "case_paused"
    CASE_RESCHEDULED = "case_rescheduled"
    CASE_SUBMITTED = "case_submitted"
    CASE_SENT_BACK = "case_sent_back"
    CASE_CLOSED = "case_closed"
    CASE_STRUCK_OFF = "case_struck_off"
    CASE_URGED = "case_urged"
    DEADLINE_WARNED = "deadline_warned"
    DEADLINE_LAPSED = "deadline_lapsed"
    OBLIGATION_WARNED = "obligation_warned"
    OBLIGATION_LAPSED = "obligation_lapsed"
    VISIT_HANDED_OVER = "visit_handed_over"
    SCORE_FELL = "score_fell"
    DEADLINE_UNANSWERED = "deadline_unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRule:
    """How one kind of notification is written and addressed.

    `text` is the preset template. `stage` is the work that the notification asks for; deadline
    events bring their own. `due_field` is the field of the event that holds the date of the text;
    without it, that is the due date of `stage`. `notifies_owners` adds the owners of that stage to
    `roles`. An `urgent` notification is sent at any hour. `badge` is its look on pages; "" shows a
    plain tag. `escalates`: the supervisors' notification escalates unless the stage is resolved in
    time.
    """

    kind: NotificationKind
    title: str
    text: str
    roles: tuple[Audience, ...] = ()
    notifies_owners: bool = False
    stage: str = ""
    due_field: str = ""
    urgent: bool = False
    badge: str = ""
    escalates: bool = False

    @property
    def recipients_label(self) -> str:
        """The recipients in Chinese, for the table of rules."""
        owners = ["该环节责任人"] if self.notifies_owners else []
        return "、".join([*owners, *(role.label for role in self.roles)])

    @property
    def send_time_label(self) -> str:
        """When notifications of this kind leave the installation."""
        return "随时" if self.urgent else "工作时间"


UNIT: Final = (Audience.HANDLER, Audience.UNIT_HEAD)
UPPER_ROLES: Final = (Audience.UNIT_HEAD, Audience.SUPERVISOR, Audience.OFFICE)

RULES_BY_EVENT: Final[Mapping[type[Event], NotificationRule]] = {
    CaseOpened: NotificationRule(
        kind=NotificationKind.CASE_OPENED,
        title="新来件",
        text="来件{编号}待受理审核，分办期限{期限}。",
        roles=(Audience.REVIEWER,),
        stage="assign",
    ),
    CaseReleased: NotificationRule(
        kind=NotificationKind.CASE_RELEASED,
        title="来件待分办",
        text="来件{编号}的转办摘要已放行，请分办。",
        roles=(Audience.REVIEWER,),
        stage="assign",
    ),
    CaseAssigned: NotificationRule(
        kind=NotificationKind.CASE_ASSIGNED,
        title="新分办工单",
        text="工单{编号}已分办到本单位，请于{期限}前签收。",
        roles=(Audience.HANDLER,),
        stage="accept",
    ),
    CaseSummaryCorrected: NotificationRule(
        kind=NotificationKind.CASE_SUMMARY_CORRECTED,
        title="摘要更正",
        text="工单{编号}的转办摘要已更正，请按更正后的内容办理。",
        roles=UNIT,
    ),
    CaseReturned: NotificationRule(
        kind=NotificationKind.CASE_RETURNED,
        title="单位退回",
        text="{单位}退回工单{编号}，请重新分办。",
        roles=(Audience.REVIEWER,),
        stage="assign",
    ),
    CaseWithdrawn: NotificationRule(
        kind=NotificationKind.CASE_WITHDRAWN,
        title="回避收回",
        text="来件{编号}的承办单位应当回避，已收回，请于{期限}前重新分办。",
        roles=(Audience.REVIEWER, Audience.SUPERVISOR),
        stage="assign",
        urgent=True,
    ),
    CaseMerged: NotificationRule(
        kind=NotificationKind.CASE_MERGED,
        title="并案",
        text="工单{编号}反映的问题已并入其他来件一并办理，本件不再单独办理。",
        roles=UNIT,
    ),
    CaseUnmerged: NotificationRule(
        kind=NotificationKind.CASE_UNMERGED,
        title="撤销并案",
        text="工单{编号}的并案已撤销，请按原期限继续办理。",
        roles=(*UNIT, Audience.REVIEWER),
    ),
    CaseExtended: NotificationRule(
        kind=NotificationKind.CASE_EXTENDED,
        title="延期获批",
        text="工单{编号}延期已获批准，办理期限延至{期限}。",
        roles=UNIT,
        stage="handle",
    ),
    CasePaused: NotificationRule(
        kind=NotificationKind.CASE_PAUSED,
        title="暂停计时",
        text="工单{编号}经批准暂停计时，期间不计入办理期限，至{期限}自动恢复。",
        roles=UNIT,
        due_field="until",
    ),
    CaseRescheduled: NotificationRule(
        kind=NotificationKind.CASE_RESCHEDULED,
        title="期限重算",
        text="因节假日安排调整、恢复计时或提高紧急程度，工单{编号}的期限已重新计算，请到工单中查看。",
        roles=(Audience.HANDLER,),
    ),
    CaseSubmitted: NotificationRule(
        kind=NotificationKind.CASE_SUBMITTED,
        title="办理结果待审核",
        text="{单位}已报送工单{编号}的办理结果，请审核。",
        roles=(Audience.SUPERVISOR,),
        stage="review",
    ),
    CaseSentBack: NotificationRule(
        kind=NotificationKind.CASE_SENT_BACK,
        title="退回修改",
        text="工单{编号}的办理结果未通过审核，请修改后重新报送。",
        roles=UNIT,
        stage="handle",
    ),
    CaseClosed: NotificationRule(
        kind=NotificationKind.CASE_CLOSED,
        title="工单办结",
        text="工单{编号}已办结。",
        roles=UNIT,
        badge="done",
    ),
    CaseStruckOff: NotificationRule(
        kind=NotificationKind.CASE_STRUCK_OFF,
        title="整改销号",
        text="{编号}的整改已核实销号。",
        roles=UNIT,
        badge="done",
    ),
    CaseUrged: NotificationRule(
        kind=NotificationKind.CASE_URGED,
        title="催办",
        text="督办部门催办工单{编号}，请抓紧办理。",
        roles=UNIT,
        urgent=True,
    ),
    DeadlineWarned: NotificationRule(
        kind=NotificationKind.DEADLINE_WARNED,
        title="临期提醒",
        text="工单{编号}{环节}临近，请于{期限}前办理。",
        due_field="due_at",
        notifies_owners=True,
        badge="warn",
    ),
    DeadlineLapsed: NotificationRule(
        kind=NotificationKind.DEADLINE_LAPSED,
        title="超期告警",
        text="工单{编号}{环节}已过（{期限}），责任单位：{单位}。",
        due_field="due_at",
        roles=UPPER_ROLES,
        notifies_owners=True,
        urgent=True,
        badge="over",
        escalates=True,
    ),
    ObligationWarned: NotificationRule(
        kind=NotificationKind.OBLIGATION_WARNED,
        title="报送提醒",
        text="请于{期限}前完成“{编号}”。",
        due_field="due_at",
        roles=UNIT,
        stage="obligation",
        badge="warn",
    ),
    ObligationLapsed: NotificationRule(
        kind=NotificationKind.OBLIGATION_LAPSED,
        title="逾期未报送",
        text="{单位}未在{期限}前完成“{编号}”。",
        due_field="due_at",
        roles=(Audience.HANDLER, *UPPER_ROLES),
        stage="obligation",
        urgent=True,
        badge="over",
    ),
    VisitHandedOver: NotificationRule(
        kind=NotificationKind.VISIT_HANDED_OVER,
        title="检查记录已移交",
        text="检查记录{编号}已移交，请查看。",
        roles=(Audience.OFFICE,),
    ),
    ScoreChanged: NotificationRule(
        kind=NotificationKind.SCORE_FELL,
        title="试算得分下降",
        text="{编号}的试算得分较上次下降较多，请核对变动记录。",
        roles=(Audience.OFFICE,),
        badge="warn",
    ),
}

ESCALATION_RULE: Final = NotificationRule(
    kind=NotificationKind.DEADLINE_UNANSWERED,
    title="超期升级",
    text="{单位}承办的工单{编号}{环节}已过 3 个工作日仍未办理，请督办。",
    roles=(*UPPER_ROLES, Audience.LEADER),
    urgent=True,
    badge="over",
)
"""Follows a lapsed deadline that is not resolved within ESCALATION_WORKING_DAYS."""

RULES: Final[Mapping[str, NotificationRule]] = {
    rule.kind: rule for rule in (*RULES_BY_EVENT.values(), ESCALATION_RULE)
}
"""Every rule by its kind, in the order of a case's life."""

RESOLVES_STAGES: Final[Mapping[type[Event], tuple[str, ...]]] = {
    CaseReleased: ("release",),
    CaseAssigned: ("release", "assign"),
    CaseNotAccepted: tuple(STAGES),
    CaseMerged: tuple(STAGES),
    CaseAccepted: ("accept",),
    CaseReturned: ("accept", "handle"),
    CaseWithdrawn: ("accept", "handle", "review", "supervise", "rectify"),
    CaseExtended: ("handle",),
    CasePaused: ("handle",),
    CaseSubmitted: ("accept", "handle"),
    CaseSentBack: ("review",),
    CaseClosed: tuple(STAGES),
    CaseStruckOff: tuple(STAGES),
    ObligationFulfilled: ("obligation",),
}
"""Earlier notifications about the same subject that asked for these stages are resolved."""

UNDOES: Final[Mapping[type[Event], type[Event]]] = {CaseUnmerged: CaseMerged}
"""What the event on the right resolved is open again after the event on the left."""

CONSUMED_EVENTS: Final = tuple(dict.fromkeys((*RULES_BY_EVENT, *RESOLVES_STAGES)))

assert set(RULES) == set(NotificationKind), "every kind has a rule"
assert all(rule.stage in {"", *STAGES} for rule in RULES.values()), "rules name known stages"
assert all(
    not rule.due_field or rule.due_field in event.__struct_fields__
    for event, rule in RULES_BY_EVENT.items()
), "rules name fields of their events"
assert all(set(stages) <= set(STAGES) for stages in RESOLVES_STAGES.values())
