"""Invented texts in official Chinese, generated from a `random.Random`.

Complaints contain invented names and numbers, so that the detection of personal data is exercised.
The numbers have the shape of real ones but belong to no one: mobile numbers begin with 141, a range
for machines, and the area code of the identity cards was never issued.
"""

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Final, TypeVar

from services.simulate import scenes
from services.simulate.units import DemoUnit
from shared.appraisal.labels import CaseFinding, ComplaintKind, Urgency

T = TypeVar("T")


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


SURNAMES: Final = "李王张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
GIVEN: Final = _listed("""
    建国 桂兰 志强 秀英 晓东 海燕 文博 雨晴 立新 淑芬 永刚 春梅 俊杰 玉华 国庆 丽娜 德福 艳红 天佑 凤琴 长江 雪松 明远 静怡 宝成 慧敏
""")
TOWNS: Final = _listed(
    "东山县 青河县 柳泉县 临江区 双塔县 石桥镇 永安镇 白桦乡 龙潭县 清水镇 松岭县 南湖区"
)
PLACES: Final = (
    "省政务大厅",
    "{unit}一楼服务大厅",
    "{unit}办事窗口",
    "{unit}信访接待室",
    "省政务大厅{unit}窗口",
)
STREETS: Final = _listed("幸福路 和平街 人民大街 建设路 文昌路 新民胡同 朝阳街 光明路")
WAITS: Final = ("一个多小时", "两个钟头", "整整一上午", "四十多分钟", "半天", "三个小时")
SPANS: Final = ("半个月", "一个多月", "两个月", "三个多月", "快半年", "二十多天", "一个季度")
TIMES: Final = ("两次", "三次", "四次", "五六次", "七八次", "十来次")
CLERKS: Final = (
    "一位姓{staff}的工作人员",
    "一个戴眼镜的男同志",
    "值班的女同志",
    "窗口里的年轻人",
    "一位姓{staff}的科长",
    "接电话的人",
)
CARD_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CARD_CHECK_DIGITS: Final = "10X98765432"
HALVES: Final = ("上午", "下午", "上午九点多", "下午三点左右", "快下班的时候", "中午")
URGENT: Final[tuple[tuple[Urgency, str], ...]] = (
    (Urgency.URGENT, "涉及老人就医，拖延有风险"),
    (Urgency.URGENT, "多户居民停暖，室温低"),
    (Urgency.URGENT, "群众已在现场聚集等候"),
    (Urgency.CRITICAL, "可能危及人身安全，需立即处置"),
)
KINDS: Final = (
    (ComplaintKind.COMPLAINT, 70),
    (ComplaintKind.REPORT, 9),
    (ComplaintKind.INQUIRY, 9),
    (ComplaintKind.SUGGESTION, 8),
    (ComplaintKind.PRAISE, 4),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InventedComplaint:
    """A complaint in both texts. `identity` is real_name, confidential or anonymous."""

    unit_id: str
    kind: ComplaintKind
    urgency: Urgency
    urgency_reason: str
    problem_item: str | None
    complaint_text: str
    redacted_summary: str
    identity: str
    name: str
    phone: str
    address: str
    place: str
    occurred: str


def pick(rng: Random, weighted: tuple[tuple[T, int], ...]) -> T:
    """Return one of the values by weight."""
    values, weights = zip(*weighted, strict=True)
    chosen: T = rng.choices(values, weights)[0]
    return chosen


def complaint(rng: Random, unit: DemoUnit, day: date, item: str | None = None) -> InventedComplaint:
    """Return a complaint about `unit` on `day`, filed under a catalogue `item` if one is given."""
    kind = pick(rng, KINDS) if item is None else ComplaintKind.COMPLAINT
    problem, (narrative, summary) = _scene(rng, kind, item)
    slots = _slots(rng, unit, day)
    wish, wish_summary = _wish(rng, kind)
    identity = rng.choices(("confidential", "anonymous", "real_name"), (60, 20, 20))[0]
    person = complainant(rng)
    tail = _tail(rng, identity).format_map(person)
    urgency, reason = _urgency(rng, kind)
    opening = rng.choice(scenes.OPENINGS)
    contact = {} if identity == "anonymous" else person
    return InventedComplaint(
        unit_id=unit.unit_id,
        kind=kind,
        urgency=urgency,
        urgency_reason=reason,
        problem_item=problem,
        complaint_text=_joined(opening, narrative.format_map(slots), wish, tail),
        redacted_summary=_joined(summary.format_map(slots), wish_summary),
        identity=identity,
        name=contact.get("name", ""),
        phone=contact.get("phone", ""),
        address=contact.get("address", ""),
        place=slots["place"],
        occurred=slots["when"],
    )


def _wish(rng: Random, kind: ComplaintKind) -> tuple[str, str]:
    """Return what the complainant asks for, in full and redacted."""
    asks = kind in (ComplaintKind.COMPLAINT, ComplaintKind.REPORT)
    return rng.choice(scenes.WISHES) if asks else ("", "")


def _tail(rng: Random, identity: str) -> str:
    tails = scenes.QUIET_TAILS if identity == "anonymous" else scenes.TAILS
    return rng.choice(tails)


def _urgency(rng: Random, kind: ComplaintKind) -> tuple[Urgency, str]:
    is_urgent = kind is ComplaintKind.COMPLAINT and rng.random() < 0.06
    return rng.choice(URGENT) if is_urgent else (Urgency.NORMAL, "")


_SCENES_WITHOUT_ITEM: Final = {
    ComplaintKind.INQUIRY: scenes.INQUIRIES,
    ComplaintKind.SUGGESTION: scenes.SUGGESTIONS,
    ComplaintKind.PRAISE: scenes.PRAISES,
}


def _scene(rng: Random, kind: ComplaintKind, item: str | None) -> tuple[str | None, scenes.Scene]:
    if kind in _SCENES_WITHOUT_ITEM:
        return None, rng.choice(_SCENES_WITHOUT_ITEM[kind])
    chosen = item or _item(rng, kind)
    return chosen, rng.choice(scenes.SCENES[chosen])


def _item(rng: Random, kind: ComplaintKind) -> str:
    items = scenes.REPORTED if kind is ComplaintKind.REPORT else tuple(scenes.SCENES)
    weighted = tuple((item, scenes.OFTEN.get(item, 1)) for item in items)
    return pick(rng, weighted)


def _slots(rng: Random, unit: DemoUnit, day: date) -> dict[str, str]:
    return {
        "unit": unit.name,
        "matter": rng.choice(unit.matters),
        "town": rng.choice(TOWNS),
        "when": f"{day.month}月{day.day}日{rng.choice(HALVES)}",
        "place": rng.choice(PLACES).format(unit=unit.name),
        "window": f"{rng.randint(1, 28)}号窗口",
        "clerk": rng.choice(CLERKS).format(staff=rng.choice(SURNAMES)),
        "wait": rng.choice(WAITS),
        "span": rng.choice(SPANS),
        "times": rng.choice(TIMES),
        "many": str(rng.randint(3, 19)),
    }


def _joined(*parts: str) -> str:
    return "".join(part for part in parts if part)


def complainant(rng: Random) -> dict[str, str]:
    """Return an invented person: name, surname, phone, address, card, email."""
    surname = rng.choice(SURNAMES)
    name = surname + rng.choice(GIVEN)
    return {
        "name": name,
        "surname": surname,
        "phone": mobile(rng),
        "card": identity_card(rng),
        "address": f"{rng.choice(STREETS)}{rng.randint(1, 399)}号{rng.randint(1, 20)}栋{rng.randint(101, 1802)}室",
        "email": f"reader{rng.randint(10_000, 99_999)}@example.com",
    }


def mobile(rng: Random) -> str:
    """Return a mobile number of the right shape that is never assigned."""
    return f"141{rng.randrange(10**8):08d}"


def identity_card(rng: Random) -> str:
    """Return an identity card number with a valid check digit and an unused area code."""
    born = f"{rng.randint(1950, 2001)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    bare = f"229999{born}{rng.randint(1, 999):03d}"
    weighted = zip(bare, CARD_WEIGHTS, strict=True)
    checksum = sum(int(digit) * weight for digit, weight in weighted)
    return bare + CARD_CHECK_DIGITS[checksum % 11]


# ── inspection visits ─────────────────────────────────────────────────────────────────────────────

_SEEN: Final[dict[str, tuple[str, ...]]] = {
    "V01": (
        "{clock}，{window}无人在岗，未摆放离岗告示，{wait}后工作人员返回。",
        "{clock}，抽查三间办公室，一间锁门、两间无人，电话询问未能说明去向。",
    ),
    "V02": (
        "以办事人身份咨询{matter}，工作人员只说“材料不全”，未出具一次性告知单。",
        "{window}未备{matter}一次性告知单，口头告知漏项两处。",
    ),
    "V03": (
        "咨询{matter}时，{window}工作人员始终未抬头，回答“墙上有，自己看”。",
        "群众询问{matter}进度，工作人员语气生硬，打断群众讲话。",
    ),
    "V04": (
        "查阅登记，{matter}有{many}件超过承诺时限，未见延期告知。",
        "{matter}申请在两个处室之间流转{span}，无人签署意见。",
    ),
    "V05": (
        "门户网站未公布评议电话；拨打公开电话三次，均无人接听。",
        "大厅公示栏电话已停机，职责公示为机构调整前内容。",
    ),
    "V06": (
        "门户网站“{matter}”栏目{span}未更新，办事指南仍为旧版。",
        "政务公众号最近一条信息为{span}前发布，留言未回复。",
    ),
    "V07": (
        "{clock}，{window}工作人员浏览购物网站，提醒后关闭。",
        "{clock}，一间办公室两名工作人员观看视频，声音可闻。",
    ),
    "V08": (
        "抽查发文登记，近一个月就{matter}发文{many}份，内容多有重复。",
        "会议台账显示一周内同类会议{many}次，无明确议定事项。",
    ),
    "V09": (
        "抽查公务接待清单，{many}次接待缺少公函。",
        "{clock}，一辆公务用车停放于商场停车场，用车登记无记录。",
    ),
    "V10": ("{clock}，无人会议室照明、空调均开启。", "卫生间水龙头滴漏，值班人员称已报修{span}。"),
    "V11": (
        "大厅入口未设老年人代办通道，群众需往返登记{times}。",
        "入口查验点仅一人值守，群众排队{wait}。",
    ),
    "V12": (
        "上次通报的“{matter}窗口排队”问题仍存在，整改台账已写“完成”。",
        "上次检查指出的公示栏过期问题未整改，台账无整改记录。",
    ),
}
CLOCKS: Final = (
    "上午9时05分",
    "上午10时20分",
    "上午11时35分",
    "下午1时40分",
    "下午2时15分",
    "下午4时50分",
)
REMARKS: Final = (
    "现场秩序总体正常。",
    "已当场向值班负责人指出问题。",
    "暗访，未亮明身份。",
    "群众对取号机使用提出意见，已转告。",
    "",
)


def finding(rng: Random, unit: DemoUnit, item_id: str, day: date) -> str:
    """Return what an inspector found at `unit` on `day` under a checklist item."""
    return rng.choice(_SEEN[item_id]).format(**_slots(rng, unit, day), clock=rng.choice(CLOCKS))


def remark(rng: Random) -> str:
    """Return a general remark on a visit, or ""."""
    return rng.choice(REMARKS)


# ── handling ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class HandlingResult:
    """办理结果 of a unit. `account` is what was established, `reply` what the public reads."""

    finding: CaseFinding
    account: str
    measures: str
    reply: str


_CHECKED: Final = (
    "经调取窗口监控和叫号记录，并向当班人员、带班负责人逐一了解，",
    "经查阅该事项办理卷宗、系统流转日志，并与经办处室核对，",
    "我单位成立由机关纪委、办公室组成的核查组，通过查看台账、现场走访、询问当事人员，",
)
_FOUND: Final = {
    CaseFinding.SUBSTANTIATED: (
        "反映的情况属实：当日确有{fault}，带班负责人未及时补位，也未向群众说明。",
        "反映的情况属实：经办人员{fault}，责任在我单位。",
    ),
    CaseFinding.PARTLY_SUBSTANTIATED: (
        "反映的情况部分属实：确有{fault}，但所述次数与记录不完全一致，已与来件渠道核对。",
        "反映的情况部分属实：{fault}确实存在，其余情节未发现证据。",
    ),
    CaseFinding.UNSUBSTANTIATED: (
        "未发现反映的情况：记录显示当日窗口按规定办理，所需材料已一次性告知，有告知单存根为证。",
        "反映的情况不属实：该事项已在承诺时限内办结，流转日志完整，各环节签收时间均有记录。",
    ),
}
_FAULTS: Final = (
    "窗口空岗、未按规定摆放离岗告示",
    "未一次性告知所需材料",
    "答复前后不一、未说明依据",
    "来电未按时接听、留言未回复",
    "超过承诺时限未说明原因",
)
_MEASURES: Final = (
    "一是对当班人员批评教育并作出书面检查；二是窗口实行AB岗和离岗登记；三是每周抽查监控，结果在全单位通报。",
    "一是重新印制一次性告知单并在网站同步更新；二是组织窗口人员业务培训和测试；三是由机关纪委按月回访。",
    "一是明确由一个处室牵头、限时答复；二是对超时事项每日提醒；三是本月内对同类事项全面自查，发现一件整改一件。",
)
_NO_MEASURES: Final = (
    "已向窗口人员重申服务规范，并保留监控和告知单存根备查；对同类咨询统一答复口径。"
)
_REPLIES: Final = {
    CaseFinding.SUBSTANTIATED: "您反映的问题经核查属实，我们向您表示歉意。{done}欢迎继续监督我们的工作。",
    CaseFinding.PARTLY_SUBSTANTIATED: "您反映的问题经核查部分属实，对给您带来的不便表示歉意。{done}感谢您的监督。",
    CaseFinding.UNSUBSTANTIATED: "您反映的问题我们进行了认真核查，未发现所述情况。{done}如有新的情况和材料，欢迎再次向我们反映。",
}
_DONE: Final = (
    "相关窗口已调整人员安排，实行离岗登记，您可在工作日前往办理，将有专人引导。",
    "我们已更新办事指南并公布咨询电话，所需材料以网站最新公布的清单为准。",
    "该事项已明确牵头处室，将在承诺时限内办结并通过原渠道告知结果。",
)
_EXPLAINED: Final = (
    "该事项所需材料和办理时限以网站最新公布的办事指南为准，窗口可提供一次性告知单。",
    "窗口在工作日均安排专人值守，如需预约可拨打大厅公示的咨询电话。",
)


def outcome(rng: Random) -> HandlingResult:
    """Return the result of one case; most are substantiated."""
    finding = rng.choices(tuple(CaseFinding), (50, 25, 25))[0]
    checked = rng.choice(_CHECKED)
    found = rng.choice(_FOUND[finding])
    account = checked + found.format(fault=rng.choice(_FAULTS))
    measures, done = _measures(rng, finding)
    reply = _REPLIES[finding].format(done=done)
    return HandlingResult(finding, account, measures, reply)


def _measures(rng: Random, finding: CaseFinding) -> tuple[str, str]:
    """Return the measures, and the action that the reply names."""
    if finding is CaseFinding.UNSUBSTANTIATED:
        return _NO_MEASURES, rng.choice(_EXPLAINED)
    return rng.choice(_MEASURES), rng.choice(_DONE)


SENT_BACK: Final = (
    "核查情况过于笼统，请补充调取的记录和当事人员说明。",
    "整改措施没有责任人和完成时间，请补充后重新报送。",
    "答复没有回应来件人提出的办理时间，请修改。",
)
RETURNED: Final = (
    "该事项由其他部门主管，附职责依据，请重新分办。",
    "反映的窗口不属于本单位，请核对单位名称后重新分办。",
)
EXTENDED: Final = (
    "需向外省协查单位调取材料，预计三个工作日内收到。",
    "当事人员在外培训，需待其返回后核实情况。",
    "涉及多个处室，需召开协调会确定意见。",
)
APPROVED: Final = (
    "核查清楚，措施具体，同意办结。",
    "同意办结，请按措施落实并留存记录。",
    "情况属实，处理适当，同意。",
)
DISSATISFIED: Final = ("答复太笼统", "问题还没有真正解决", "没有人联系过我", "办得太慢")
"""Reasons for dissatisfaction with the handling of a complaint."""
