"""Who is told which fact, in which words, when it may leave the house, and when to give up. Pure
rules.

A notification is addressed to an audience, never to a person: a role, and for roles of a unit the
responsible unit. Of a case it says its number, its stage, its due time and where to look. The
accused unit of a 举报 is never the responsible one, so it is never told.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

from shared.appraisal.calendar.deadlines import due_label
from shared.appraisal.calendar.working_days import SHANGHAI, WorkCalendar, civil_day, closing
from shared.appraisal.events import (
    CaseAccepted,
    CaseAssigned,
    CaseClosed,
    CaseEvent,
    CaseExtended,
    CaseNotAccepted,
    CaseOpened,
    CaseRescheduled,
    CaseReturned,
    CaseSentBack,
    CaseStruckOff,
    CaseSubmitted,
    CaseUrged,
    DeadlineLapsed,
    DeadlineSet,
    DeadlineWarned,
    Event,
    Meta,
    ObligationEvent,
    ObligationFulfilled,
    ObligationLapsed,
    ObligationWarned,
    ScoreChanged,
    VisitSubmitted,
)
from shared.appraisal.labels import Role


class Audience(StrEnum):
    """Roles that are told something."""

    REVIEWER = Role.REVIEWER
    HANDLER = Role.HANDLER
    UNIT_HEAD = Role.UNIT_HEAD
    SUPERVISOR = Role.SUPERVISOR
    OFFICE = Role.OFFICE
    LEADER = Role.LEADER


R = Audience
UNIT_ROLES: Final = frozenset({R.HANDLER, R.UNIT_HEAD})
"""They are told what concerns their own unit; the others act for all units."""

# ── the table of rules ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Stage:
    """Something that somebody must do by a deadline. `label` is the deadline's name, `owners` those
    who must act.
    """

    label: str
    owners: tuple[Audience, ...]


STAGES: Final[Mapping[str, Stage]] = {
    "assign": Stage("分办期限", (R.REVIEWER,)),
    "accept": Stage("签收期限", (R.HANDLER,)),
    "handle": Stage("办理期限", (R.HANDLER,)),
    "review": Stage("审核期限", (R.SUPERVISOR,)),
    "supervise": Stage("督办期限", (R.HANDLER,)),
    "rectify": Stage("整改期限", (R.HANDLER,)),
    "obligation": Stage("报送期限", (R.HANDLER,)),
}
"""By the wire's `DeadlineSet.kind`; obligations of a unit are one stage more."""
ALL_STAGES: Final = tuple(STAGES)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a fact sets off. `roles` are told, besides the owners of the stage where `owners` says
    so.

    `stage`: what the notification asks for ("": nothing; a deadline brings its own). `answers`: earlier
    notifications about the same subject that asked for these stages are settled. `urgent`: leaves the
    house at any hour.
    """

    kind: str = ""
    title: str = ""
    text: str = ""
    roles: tuple[Audience, ...] = ()
    owners: bool = False
    stage: str = ""
    answers: tuple[str, ...] = ()
    urgent: bool = False


ABOVE: Final = (R.UNIT_HEAD, R.SUPERVISOR, R.OFFICE)
UNIT: Final = (R.HANDLER, R.UNIT_HEAD)
TOLD: Final[Mapping[type[Event], Rule]] = {
    CaseOpened: Rule(
        "case_opened",
        "来件待分办",
        "来件{编号}待受理分办，期限{期限}。",
        (R.REVIEWER,),
        stage="assign",
    ),
    CaseAssigned: Rule(
        "case_assigned",
        "新分办工单",
        "工单{编号}已分办到本单位，请于{期限}前签收。",
        (R.HANDLER,),
        stage="accept",
        answers=("assign",),
    ),
    CaseNotAccepted: Rule(answers=ALL_STAGES),
    CaseAccepted: Rule(answers=("accept",)),
    CaseReturned: Rule(
        "case_returned",
        "单位退回",
        "{单位}退回工单{编号}，请重新分办。",
        (R.REVIEWER,),
        stage="assign",
        answers=("accept", "handle"),
    ),
    CaseExtended: Rule(
        "case_extended",
        "延期获批",
        "工单{编号}延期已获批准，办理期限延至{期限}。",
        UNIT,
        stage="handle",
        answers=("handle",),
    ),
    CaseRescheduled: Rule(
        "case_rescheduled",
        "期限重算",
        "因节假日安排调整，工单{编号}的期限已重新计算，请到工单中查看。",
        (R.HANDLER,),
    ),
    CaseSubmitted: Rule(
        "case_submitted",
        "办理结果待审核",
        "{单位}已报送工单{编号}的办理结果，请审核。",
        (R.SUPERVISOR,),
        stage="review",
        answers=("accept", "handle"),
    ),
    CaseSentBack: Rule(
        "case_sent_back",
        "退回修改",
        "工单{编号}的办理结果未通过审核，请修改后重新报送。",
        UNIT,
        stage="handle",
        answers=("review",),
    ),
    CaseClosed: Rule("case_closed", "工单办结", "工单{编号}已办结。", UNIT, answers=ALL_STAGES),
    CaseStruckOff: Rule(
        "case_struck_off", "整改销号", "{编号}的整改已核实销号。", UNIT, answers=ALL_STAGES
    ),
    CaseUrged: Rule(
        "case_urged", "催办", "督办部门催办工单{编号}，请抓紧办理。", UNIT, urgent=True
    ),
    DeadlineWarned: Rule(
        "deadline_warned", "临期提醒", "工单{编号}{环节}临近，请于{期限}前办理。", owners=True
    ),
    DeadlineLapsed: Rule(
        "deadline_lapsed",
        "超期告警",
        "工单{编号}{环节}已过（{期限}），责任单位：{单位}。",
        ABOVE,
        owners=True,
        urgent=True,
    ),
    ObligationWarned: Rule(
        "obligation_warned", "报送提醒", "请于{期限}前完成“{编号}”。", UNIT, stage="obligation"
    ),
    ObligationLapsed: Rule(
        "obligation_lapsed",
        "逾期未报送",
        "{单位}未在{期限}前完成“{编号}”。",
        (R.HANDLER, *ABOVE),
        stage="obligation",
        urgent=True,
    ),
    ObligationFulfilled: Rule(answers=("obligation",)),
    VisitSubmitted: Rule(
        "visit_submitted", "检查记录已提交", "检查记录{编号}已提交，请查看。", (R.OFFICE,)
    ),
    ScoreChanged: Rule(
        "score_fell",
        "试算得分下降",
        "{编号}的试算得分较上次下降较多，请核对变动记录。",
        (R.OFFICE,),
    ),
}
ESCALATION: Final = Rule(
    "deadline_unanswered",
    "超期升级",
    "{单位}承办的工单{编号}{环节}已过 3 个工作日仍未办理，请督办。",
    (*ABOVE, R.LEADER),
    urgent=True,
)
"""What follows when a lapse stays unanswered for ESCALATION_WORKING_DAYS."""
ESCALATION_WORKING_DAYS: Final = 3
ESCALATED: Final = frozenset({"deadline_lapsed"})
RULES: Final[Mapping[str, Rule]] = {
    rule.kind: rule for rule in (*TOLD.values(), ESCALATION) if rule.kind
}
KINDS: Final = tuple(RULES)
SCORE_FALL: Final = Decimal(5)
"""Points a unit's running score must fall before the office is told."""

assert all(
    rule.stage in {"", *STAGES} and set(rule.answers) <= set(STAGES) for rule in TOLD.values()
), "rules name known stages"

# ── notifications ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Known:
    """What the words of notifications need: names of units and obligations, urgent cases, current texts, the
    working calendar.
    """

    calendar: WorkCalendar
    units: Mapping[str, str] = field(default_factory=dict)
    obligations: Mapping[tuple[str, str], str] = field(default_factory=dict)
    critical: frozenset[UUID] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)

    def unit(self, unit_id: str | None) -> str:
        return self.units.get(unit_id or "", "承办单位")


@dataclass(frozen=True, slots=True)
class Draft:
    """A notification to be written, one row of `notifications` but for its id. `unit_id`: the responsible unit."""

    event_id: UUID
    role: Audience
    unit_id: str | None
    kind: str
    subject: str
    subject_id: str
    version: int
    stage: str
    text: str
    link: str
    urgent: bool
    due_at: datetime | None
    occurred_at: datetime
    escalate_at: datetime | None = None

    @property
    def order(self) -> datetime:
        """Notifications of one batch are written and sent in the order in which their matters are due."""
        return self.due_at or self.occurred_at

    @property
    def audience_unit(self) -> str | None:
        """The unit in which it is read; None for roles that act for all units."""
        return self.unit_id if self.role in UNIT_ROLES else None


@dataclass(frozen=True, slots=True)
class About:
    """What a fact is about."""

    subject: str
    subject_id: str
    unit_id: str | None = None
    stage: str = ""
    due_at: datetime | None = None
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Earlier notifications about this subject that asked for `stage` are settled."""

    subject_id: str
    stage: str
    version: int


def drafts(event: Event, meta: Meta, known: Known) -> list[Draft]:
    """The notifications that a fact sets off; none when nobody is to be told."""
    rule = TOLD.get(type(event), Rule())
    if not rule.kind:
        return []
    about = about_of(event, rule, known)
    urgent = rule.urgent or (isinstance(event, CaseEvent) and event.case_id in known.critical)
    later = _escalation_at(event.occurred_at, known.calendar) if rule.kind in ESCALATED else None
    return [
        _draft(
            rule,
            about,
            role,
            known,
            event_id=meta.event_id,
            version=meta.version,
            urgent=urgent,
            occurred_at=event.occurred_at,
            escalate_at=later if role is R.SUPERVISOR else None,
        )
        for role in _roles(rule, about)
        if about.unit_id or role not in UNIT_ROLES
    ]


def escalated(lapse: Draft, known: Known, *, now: datetime) -> list[Draft]:
    """The notifications that follow an unanswered lapse. Always of the same event id for the same lapse,
    so that they are written once.
    """
    about = About(lapse.subject, lapse.subject_id, lapse.unit_id, lapse.stage, lapse.due_at)
    event_id = uuid5(lapse.event_id, ESCALATION.kind)
    return [
        _draft(
            ESCALATION,
            about,
            role,
            known,
            event_id=event_id,
            version=lapse.version,
            urgent=True,
            occurred_at=now,
        )
        for role in ESCALATION.roles
        if lapse.unit_id or role not in UNIT_ROLES
    ]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the table of rules, as an administrator reads it."""

    rule: Rule
    roles: tuple[Audience, ...]
    by_stage: bool


def ladder() -> list[Step]:
    """Who is told what, in the order of a case's life; `by_stage`: besides these roles, whoever
    must act in that stage.
    """
    return [Step(rule, rule.roles, rule.owners) for rule in RULES.values()]


def answers(event: Event, meta: Meta) -> list[Answer]:
    """What a fact settles among earlier notifications."""
    rule = TOLD.get(type(event), Rule())
    return [Answer(meta.key, stage, meta.version) for stage in rule.answers]


def about_of(event: Event, rule: Rule, known: Known) -> About:
    """The subject of a fact, in the words of the people who know it by its number."""
    match event:
        case DeadlineWarned() | DeadlineLapsed():
            return About(event.number, event.key, event.unit_id, event.deadline, event.due_at)
        case CaseReturned():
            return About(event.number, event.key, event.from_unit_id, rule.stage)
        case CaseEvent():
            clock = _clock(getattr(event, "deadlines", ()), rule.stage)
            due_at, provisional = (clock.due_at, clock.provisional) if clock else (None, False)
            return About(event.number, event.key, event.unit_id, rule.stage, due_at, provisional)
        case ObligationEvent():
            label = known.obligations.get((event.campaign_id, event.obligation_rule_id), "规定事项")
            return About(label, event.key, event.unit_id, rule.stage, event.due_at)
        case VisitSubmitted():
            # Not the unit: a covert visit must not be read off a preview (the office looks it up).
            return About(event.number, event.key)
        case ScoreChanged():
            return About(known.unit(event.unit_id), event.key, event.unit_id)
    raise AssertionError(f"{event.name} has a rule and no subject")


def _roles(rule: Rule, about: About) -> Sequence[Audience]:
    owners = STAGES[about.stage].owners if rule.owners and about.stage in STAGES else ()
    # A deadline of the house itself (分办, 审核) is no matter for the unit's head.
    above = [
        role
        for role in rule.roles
        if role is not R.UNIT_HEAD or not rule.owners or R.HANDLER in owners
    ]
    return tuple(dict.fromkeys((*owners, *above)))


def _draft(
    rule: Rule,
    about: About,
    role: Audience,
    known: Known,
    *,
    event_id: UUID,
    version: int,
    urgent: bool,
    occurred_at: datetime,
    escalate_at: datetime | None = None,
) -> Draft:
    link = link_of(rule.kind, about)
    words = {
        "编号": about.subject,
        "单位": known.unit(about.unit_id),
        "链接": link,
        "期限": due_label(about.due_at, about.provisional) if about.due_at else "规定期限",
        "环节": STAGES[about.stage].label if about.stage in STAGES else "期限",
    }
    return Draft(
        event_id,
        role,
        about.unit_id,
        rule.kind,
        about.subject,
        about.subject_id,
        version,
        about.stage,
        render(known.texts.get(rule.kind, rule.text), words),
        link,
        urgent,
        about.due_at,
        occurred_at,
        escalate_at,
    )


def link_of(kind: str, about: About) -> str:
    """The page of the house where something can be done about it."""
    if kind.startswith("obligation"):
        return "/casework/obligations"
    if kind == "visit_submitted":
        return "/intake/field/plans"
    if kind == "score_fell":
        campaign, _, unit = about.subject_id.partition(":")
        return f"/scoring/{campaign}/units/{unit}/changes"
    return f"/casework/cases/{about.subject}"


def _clock(deadlines: Iterable[DeadlineSet], stage: str) -> DeadlineSet | None:
    return next((deadline for deadline in deadlines if deadline.kind == stage), None)


def _escalation_at(lapsed_at: datetime, calendar: WorkCalendar) -> datetime:
    return closing(calendar.add_working_days(civil_day(lapsed_at), ESCALATION_WORKING_DAYS).day)


def score_mark(mark: Decimal | None, total: Decimal) -> tuple[Decimal, bool]:
    """(the mark to keep, has it fallen enough to tell the office?). The mark is the highest total
    since the office was last told.
    """
    if mark is not None and mark - total >= SCORE_FALL:
        return total, True
    return (total if mark is None else max(mark, total)), False


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────

FIELDS: Final = ("编号", "单位", "期限", "环节", "链接")
"""All that a text may name. Nothing of the person who complained is among them, and nothing of what
was said.
"""
TEXT_MAX: Final = 200
_FIELD: Final = re.compile(r"\{([^{}]*)\}")


def render(text: str, words: Mapping[str, str]) -> str:
    """The text with its fields filled in."""
    return _FIELD.sub(lambda found: words[found[1]], text)


def text_problem(text: str) -> str:
    """Why a template cannot be used, as a sentence; "" when it can."""
    if not text.strip():
        return "请填写模板内容"
    if len(text) > TEXT_MAX:
        return f"模板内容最多 {TEXT_MAX} 个字，已超出 {len(text) - TEXT_MAX} 字"
    unknown = [name for name in _FIELD.findall(text) if name not in FIELDS]
    if unknown:
        return f"没有“{unknown[0]}”这个字段，可用字段：{'、'.join(FIELDS)}"
    return "花括号不成对，字段应写成 {编号} 这样" if set("{}") & set(_FIELD.sub("", text)) else ""


def sample(kind: str, now: datetime) -> dict[str, str]:
    """Words for a preview: how a text of this kind would read today."""
    stage = RULES[kind].stage or "handle"
    link = link_of(kind, About("ZF2026-004512", "j-2026:unit"))
    return dict(
        zip(
            FIELDS,
            (
                "ZF2026-004512",
                "某某局",
                due_label(closing(civil_day(now))),
                STAGES[stage].label,
                link,
            ),
            strict=True,
        )
    )


# ── leaving the house ─────────────────────────────────────────────────────────────────────────────


class Channel(StrEnum):
    """How a notification leaves the house."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    APPRISE = "apprise"

    @property
    def label(self) -> str:
        return {"mail": "电子邮件", "webhook": "接口推送", "apprise": "即时通信"}[self]


class DeliveryState(StrEnum):
    """Where a delivery stands. 已撤回: the matter was settled, or the subscription stopped, before
    it went out.
    """

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"

    @property
    def label(self) -> str:
        return {
            "waiting": "待发送",
            "delivered": "已送达",
            "failed": "失败",
            "withdrawn": "已撤回",
        }[self]


def channel_of(address: str) -> Channel:
    """Which channel an address is for: `mailto:…`, `https://…`, anything else is an Apprise URL."""
    scheme = address.partition(":")[0].lower()
    return {"mailto": Channel.MAIL, "http": Channel.WEBHOOK, "https": Channel.WEBHOOK}.get(
        scheme, Channel.APPRISE
    )


OPENS_HOUR: Final = 8
CLOSES_HOUR: Final = 20


def leaves_at(now: datetime, urgent: bool, calendar: WorkCalendar) -> datetime:
    """When a notification may leave the house: at once, or (免打扰) at 8:00 of the next workday when it
    is night or a rest day.
    """
    local = now.astimezone(SHANGHAI)
    if urgent or (calendar.is_workday(local.date()) and OPENS_HOUR <= local.hour < CLOSES_HOUR):
        return now
    first = local.date() if local.hour < OPENS_HOUR else local.date() + timedelta(days=1)
    return closing(calendar.workday_on_or_after(first), f"{OPENS_HOUR:02}:00")


def end_of_day(now: datetime) -> datetime:
    """The next midnight in China."""
    return closing(civil_day(now), "24:00")


PAUSES_SECONDS: Final = (30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0)
"""Between one attempt and the next; after the last attempt the delivery has failed."""
ATTEMPTS_MAX: Final = len(PAUSES_SECONDS) + 1


def pause_after(attempts: int, pauses: Sequence[float] = PAUSES_SECONDS) -> float | None:
    """Seconds until the next attempt, None when this was the last one."""
    return pauses[attempts - 1] if attempts <= len(pauses) else None
