"""The codes that several services share, each with the label that pages show."""

from enum import StrEnum
from typing import Self


class LabelledEnum(StrEnum):
    """A string enum whose members carry a Chinese `label`. The value is stored and published."""

    label: str

    def __new__(cls, value: str, label: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.label = label
        return member

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        """Return (value, label) of every member, in order, as form fields take them."""
        return [(member.value, member.label) for member in cls]


class ComplaintChannel(LabelledEnum):
    """受理渠道: how a complaint was received."""

    HOTLINE = "hotline", "热线"
    ONLINE = "online", "网上"
    LETTER = "letter", "来信"
    COUNTER = "counter", "来访"
    IMPORT = "import", "导入"


class ComplaintKind(LabelledEnum):
    """诉求类型: what a complainant asks for; `FINDING` is an inspection finding."""

    COMPLAINT = "complaint", "投诉"
    REPORT = "report", "举报"
    SUGGESTION = "suggestion", "建议"
    INQUIRY = "inquiry", "咨询"
    PRAISE = "praise", "表扬"
    FINDING = "finding", "巡查发现"


class Urgency(LabelledEnum):
    """紧急程度."""

    NORMAL = "normal", "一般"
    URGENT = "urgent", "紧急"
    CRITICAL = "critical", "特急"


class CaseSource(LabelledEnum):
    """What a case was opened from."""

    COMPLAINT = "complaint", "群众反映"
    VISIT = "visit", "明察暗访"


class CaseStage(LabelledEnum):
    """The stages of a case that have a deadline; `DeadlineSet.kind` carries the value."""

    RELEASE = "release", "摘要审核"
    ASSIGN = "assign", "分办"
    ACCEPT = "accept", "签收"
    HANDLE = "handle", "办理"
    REVIEW = "review", "审核"
    SUPERVISE = "supervise", "督办"
    RECTIFY = "rectify", "整改"


class CaseFinding(LabelledEnum):
    """反映是否属实: what the handling unit established about a complaint."""

    SUBSTANTIATED = "substantiated", "属实"
    PARTLY_SUBSTANTIATED = "partly_substantiated", "部分属实"
    UNSUBSTANTIATED = "unsubstantiated", "不属实"


class VisitMode(LabelledEnum):
    """明察 or 暗访: whether the inspected unit knew of the visit."""

    ANNOUNCED = "announced", "明察"
    COVERT = "covert", "暗访"


class Severity(LabelledEnum):
    """问题程度: how serious the finding of an inspection is."""

    MINOR = "minor", "轻微"
    ORDINARY = "ordinary", "一般"
    SERIOUS = "serious", "严重"


class Role(LabelledEnum):
    """What an account may do. Every account has one role."""

    OPERATOR = "operator", "坐席"
    REVIEWER = "reviewer", "受理审核"
    HANDLER = "handler", "承办人"
    UNIT_HEAD = "unit_head", "单位负责人"
    SUPERVISOR = "supervisor", "督办员"
    OFFICE = "office", "评议办"
    INSPECTOR = "inspector", "巡查员"
    LEADER = "leader", "审定领导"
    ADMIN = "admin", "管理员"
    AUDITOR = "auditor", "审计员"
    CUSTODIAN = "custodian", "身份保管员"


class OrganisationKind(LabelledEnum):
    """机构类型: what a body of the register is."""

    UNIT = "unit", "单位"
    SECTION = "section", "科室"
    STATION = "station", "站所、窗口"
    POST = "post", "岗位"
    GROUP = "group", "人员组"


class OrganisationLevel(LabelledEnum):
    """层级."""

    PROVINCE = "province", "省级"
    CITY = "city", "市级"
    COUNTY = "county", "县级"
    TOWNSHIP = "township", "乡镇（街道）级"


class OrganisationState(LabelledEnum):
    """`WITHDRAWN`: recorded by mistake. `ENDED`: merged into or split into other bodies."""

    ACTIVE = "active", "在册"
    ENDED = "ended", "已撤并"
    WITHDRAWN = "withdrawn", "登记撤回"


class SuccessionKind(LabelledEnum):
    """How one body became another."""

    MERGED = "merged", "合并"
    SPLIT = "split", "分设"


class Verdict(LabelledEnum):
    """What two people decide about suspicious ballots."""

    COUNT = "count", "计入"
    VOID = "void", "作废"


class IntegrityKind(LabelledEnum):
    """疑似异常: what is suspicious about the ballots of a batch."""

    EXCESS = "excess", "答卷超出应有份数"
    BURST = "burst", "短时间集中填写"
    IDENTICAL = "identical", "答案雷同"
    ONE_SOURCE = "one_source", "来自同一来源"
    STAFF_SOURCE = "staff_source", "来自工作人员的设备"
    CROSS_RATING = "cross_rating", "单位给自己打分或互相打分"
