"""Generated complaint texts with personal data at known places, and figures over them.

`python -m tests.shared.pii_corpus` prints the tables of docs/pii-detection.md. Names, numbers and
places are invented; mobile numbers begin with 141, which is assigned to nobody.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from shared.security.pii import Certainty, PiiHit, PiiKind, find_pii

SEED = 20_260
TEXTS = 500


@dataclass(frozen=True, slots=True)
class Planted:
    """Personal data at `[start:end]` of a generated text."""

    kind: PiiKind
    start: int
    end: int


@dataclass(slots=True)
class GeneratedText:
    """A text and what was planted in it."""

    text: str = ""
    planted: list[Planted] = field(default_factory=list)

    def add(self, text: str, kind: PiiKind | None = None) -> None:
        """Append a part; with a kind it is personal data."""
        if kind is not None:
            self.planted.append(Planted(kind, len(self.text), len(self.text) + len(text)))
        self.text += text


_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎"
_GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰春梅建国志文海燕子涵梓萱宇轩浩然欣怡思雨"
)
_ESTATES = ("阳光花园", "丽景园", "金色家园", "水岸新城", "和平小区", "翡翠湾", "幸福里")
_ROADS = ("人民大街", "建设路", "解放北路", "长江街", "文化巷", "红旗大路")
_VILLAGES = ("金鼎村", "上河村", "李家屯", "大榆树村", "石桥村")
_SCHOOLS = ("实验小学", "第二中学", "育才学校", "朝阳中学", "小星星幼儿园")
_CHINESE = "零一二三四五六七八九"
_FORMAL = "零壹贰叁肆伍陆柒捌玖"
_CIRCLED = "⓪①②③④⑤⑥⑦⑧⑨"
_FULL = "０１２３４５６７８９"
_SPOKEN = "洞幺两三四五六拐八勾"
_LOOKALIKE = "Ol23456789"


def _number(rng: Random, length: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(length))


def _spelling(rng: Random, digits: str) -> str:
    """Return the number as people write it, plain in half of the cases."""
    alphabets = ("0123456789", _CHINESE, _FORMAL, _CIRCLED, _FULL, _SPOKEN, _LOOKALIKE)
    alphabet = rng.choice(alphabets) if rng.random() < 0.5 else alphabets[0]
    spelt = [alphabet[int(char)] if char.isdigit() else char for char in digits]
    filler = rng.choice(["", "", "", " ", "-", "\u200b", "·", "\u2060", "—", "。", "加"])
    return filler.join(spelt)


def _mobile(rng: Random) -> str:
    digits = "141" + _number(rng, 8)
    shapes = (
        digits,
        f"{digits[:3]} {digits[3:7]} {digits[7:]}",
        f"{digits[:3]}-{digits[3:7]}-{digits[7:]}",
        f"86-{digits}",
        _spelling(rng, digits),
        _spelling(rng, digits),
    )
    return rng.choice(shapes)


def _identity_card(rng: Random) -> str:
    """Return an identity number with an arbitrary, mostly wrong, check digit."""
    day = f"{rng.randint(1940, 2018)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    return f"2299{_number(rng, 2)}{day}{_number(rng, 3)}{rng.choice('0123456789X')}"


def _landline(rng: Random) -> str:
    subscriber = f"8{_number(rng, 7)}"
    tail = rng.choice(["", "", "转8012", "-801", "转分机3"])
    return rng.choice([f"0431-{subscriber}", f"0431）{subscriber}", f"0431{subscriber}"]) + tail


def _name(rng: Random) -> str:
    given = "".join(rng.sample(_GIVEN, rng.choice([1, 2, 2])))
    return rng.choice(_SURNAMES) + given


def _home_address(rng: Random) -> str:
    building, unit, flat = rng.randint(1, 30), rng.randint(1, 6), rng.randint(101, 2804)
    shapes = (
        f"{building}栋{unit}单元{flat}室",
        f"{building}号楼{unit}单元{flat}",
        f"{building}幢{flat}室",
        f"{building}-{unit}-{flat}",
        f"{building} 栋 {unit} 单元",
        f"{_CHINESE[unit]}单元{flat}",
        f"{building}弄{unit}号{flat}室",
    )
    return rng.choice(shapes)


def _school_class(rng: Random) -> str:
    form, no = rng.choice("一二三四五六"), rng.randint(1, 12)
    shapes = (
        f"{form}年级（{no}）班",
        f"{form}年级{no}班",
        f"初{form}{no}班",
        f"高{form}（{no}）班",
    )
    return rng.choice(_SCHOOLS) + rng.choice(shapes)


def _plate(rng: Random) -> str:
    body = "".join(rng.choice("ABCDEFGH0123456789") for _ in range(4))
    return f"吉{rng.choice('ABCD')}{rng.choice(['', '·', ' '])}{body}{rng.randint(0, 9)}"


Part = tuple[str, Callable[[Random], str], str]
_PERSONAL: dict[PiiKind, Sequence[Part]] = {
    PiiKind.NAME: (
        ("我叫", _name, "，"),
        ("本人", _name, "，"),
        ("我是", _name, "，女，"),
        ("联系人：", _name, "。"),
        ("孩子叫", _name, "，"),
        ("姓名 ", _name, "\n"),
        ("我的名字是", _name, "，今年四十岁。"),
        ("来信人：", _name, "（本人）"),
    ),
    PiiKind.MOBILE: (
        ("电话", _mobile, "。"),
        ("+", lambda rng: f"86 141{_number(rng, 8)}", "，"),
        ("请打", _mobile, "找我，"),
        ("手机号是", _mobile, "，"),
        ("联系方式：", _mobile, "；"),
        ("", _mobile, "\n"),
    ),
    PiiKind.LANDLINE: (
        ("家里座机", _landline, "，"),
        ("办公电话：", _landline, "。"),
        ("座机", lambda rng: f"8{_number(rng, 3)} {_number(rng, 4)}", "，"),
        ("固话：", lambda rng: f"8{_number(rng, 7)}", "。"),
    ),
    PiiKind.OVERSEAS_PHONE: (
        ("电话+852 ", lambda rng: f"9{_number(rng, 3)} {_number(rng, 4)}", "，"),
        ("澳门号码", lambda rng: f"+853 6{_number(rng, 7)}", "。"),
        ("台湾手机", lambda rng: f"09{_number(rng, 2)}-{_number(rng, 3)}-{_number(rng, 3)}", "，"),
        ("", lambda rng: f"00886 9{_number(rng, 2)} {_number(rng, 6)}", "，"),
    ),
    PiiKind.SERVICE_PHONE: (
        ("公司电话", lambda rng: f"400-{_number(rng, 3)}-{_number(rng, 4)}", "，"),
        ("", lambda rng: f"800{_number(rng, 7)}", "没人接，"),
    ),
    PiiKind.EXTENSION: (("请转分机", lambda rng: str(rng.randint(100, 9999)), "，"),),
    PiiKind.ID_CARD: (
        ("身份证", _identity_card, "，"),
        ("证件号码", _identity_card, "。"),
        ("身份证号：", lambda rng: _spelling(rng, _identity_card(rng)), "\n"),
    ),
    PiiKind.BANK_CARD: (
        ("银行卡号", lambda rng: f"6222{_number(rng, 15)}", "，"),
        ("卡号", lambda rng: " ".join(["6217", *[_number(rng, 4) for _ in range(3)]]), "。"),
        ("退款请打到账号", lambda rng: f"62{_number(rng, 17)}", "，"),
    ),
    PiiKind.PASSPORT: (
        ("护照", lambda rng: f"E{_number(rng, 8)}", "，"),
        ("护照号码：", lambda rng: f"G{_number(rng, 8)}", "。"),
        ("持", lambda rng: f"EA{_number(rng, 7)}", "入境，"),
    ),
    PiiKind.PERMIT: (
        ("港澳通行证", lambda rng: f"C{_number(rng, 8)}", "，"),
        ("台胞证", lambda rng: _number(rng, 8), "，"),
        ("回乡证号H", lambda rng: _number(rng, 10), "。"),
        ("军官证：", lambda rng: f"军字第{_number(rng, 7)}号", "，"),
        ("驾驶证档案编号", lambda rng: _number(rng, 12), "，"),
        ("学号", lambda rng: _number(rng, 10), "，"),
    ),
    PiiKind.EMAIL: (
        ("邮箱", lambda rng: f"user{_number(rng, 4)}@mail.example", "。"),
        ("可发", lambda rng: f"u{_number(rng, 5)}艾特qq点com", "，"),
        ("发到", lambda rng: f"u{_number(rng, 5)} at mail dot com", "，"),
    ),
    PiiKind.ACCOUNT: (
        ("QQ", lambda rng: f"{rng.randint(1, 9)}{_number(rng, 8)}", "，"),
        ("QQ号：", lambda rng: _spelling(rng, f"{rng.randint(1, 9)}{_number(rng, 8)}"), "，"),
        ("微信", lambda rng: f"wxid_{_number(rng, 6)}", "，"),
        ("加我vx ", lambda rng: f"abc{_number(rng, 5)}", "。"),
        ("抖音号：", lambda rng: f"dy{_number(rng, 6)}", "，"),
        ("我在微博昵称叫", lambda rng: rng.choice(["小太阳花", "北方的雪", "老马识途"]), "，"),
    ),
    PiiKind.LINK: (
        ("视频见", lambda rng: f"https://weibo.com/u/{_number(rng, 8)}", " "),
        ("照片在", lambda rng: f"www.example.com/p/{_number(rng, 6)}", "，"),
        ("链接", lambda rng: f"v.douyin.com/{_number(rng, 6)}/", "，"),
    ),
    PiiKind.ADDRESS: (
        ("", lambda rng: rng.choice(_ESTATES) + _home_address(rng), "漏水，"),
        ("我家", _home_address, "，"),
        ("家住", lambda rng: f"{rng.choice(_ROADS)}{rng.randint(1, 900)}号", "，"),
        ("我们是", lambda rng: f"{rng.choice(_VILLAGES)}{rng.choice('三四五六七')}组", "的村民，"),
        ("住址：", lambda rng: rng.choice(_ESTATES) + _home_address(rng), "。"),
        ("楼上", lambda rng: f"{rng.randint(2, 33)}0{rng.randint(1, 4)}室", "半夜装修，"),
    ),
    PiiKind.SCHOOL_CLASS: (
        ("孩子在", _school_class, "，"),
        ("女儿读", lambda rng: f"{rng.choice('一二三')}年级{rng.randint(1, 9)}班", "，"),
        ("儿子是", lambda rng: f"{rng.choice(_SCHOOLS[-1:])}{rng.choice('大中小')}一班", "的，"),
    ),
    PiiKind.PLATE: (("车牌", _plate, "停在门口，"), ("", _plate, "占道，")),
}

_HARMLESS: Sequence[Callable[[Random], str]] = (
    lambda rng: f"工单号{rng.randint(2020, 2026)}0415{_number(rng, 6)}，",
    lambda rng: f"受理编号JF-2026-{_number(rng, 6)}，",
    lambda rng: f"吉政办发〔{rng.randint(2015, 2026)}〕{rng.randint(1, 99)}号文件，",
    lambda rng: f"（{rng.randint(2015, 2026)}）吉01民终{rng.randint(1, 9999)}号判决，",
    lambda rng: f"{rng.randint(2015, 2026)}年{rng.randint(1, 12)}月{rng.randint(1, 28)}日，",
    lambda rng: f"2026-11-{rng.randint(10, 30)} {rng.randint(10, 23)}:{rng.randint(10, 59)}:07 ",
    lambda rng: f"每月{rng.randint(1000, 99999)}.{rng.randint(10, 99)}元，",
    lambda rng: f"共计{rng.randint(1, 9)}{_number(rng, 9)}元，",
    lambda rng: f"面积{rng.randint(50, 300)}.5平方米，",
    lambda rng: f"拨打{rng.choice(['12345', '110', '12315', '96699', '12369'])}热线，",
    lambda rng: (
        f"市政务服务中心（{rng.choice(_ROADS)}{rng.randint(1, 2000)}号）{rng.randint(1, 4)}楼"
    ),
    lambda rng: f"区税务局办税大厅{rng.randint(1, 30)}号窗口，",
    lambda rng: f"公安局办公楼{rng.randint(2, 5)}号楼{rng.randint(201, 509)}室，",
    lambda rng: f"{rng.choice(_ESTATES)}一共{rng.randint(3, 60)}栋、{rng.randint(300, 3000)}户，",
    lambda rng: f"乘{rng.randint(1, 400)}路公交在{rng.choice(_ROADS)}下车，",
    lambda rng: f"统一社会信用代码91220101MA{_number(rng, 4)}9X2B，",
    lambda rng: f"按第{rng.randint(1, 99)}条第{rng.randint(1, 9)}款，",
    lambda rng: "排队、等候、再排队，前后跑了5、6、7次，",
    lambda rng: f"请求编号019a0e6a-1385-7{_number(rng, 3)}-8999-139123456789，",
    lambda rng: "见https://www.gov.cn/zhengce ",
    lambda rng: "我是业主，我是农民工，我是做小生意的，",
    lambda rng: "我叫了救护车，等了很久，",
    lambda rng: "本人于去年入住，联系人不接电话，",
    lambda rng: "孩子在学校吃饭，早班车太挤，",
    lambda rng: f"从{rng.randint(7, 9)}点30分等到{rng.randint(14, 17)}点15分，",
)
_FILLING = (
    "窗口工作人员态度冷淡，问了几遍都不回答。",
    "材料交上去以后一直没有消息，也不说缺什么。",
    "同样的事情邻居去年当天就办完了。",
    "希望有关部门尽快核实处理，给我们一个答复。",
    "施工噪声很大，晚上无法休息。",
    "文件上写的和窗口说的不一样。",
    "物业一直推脱，不开具收据。",
    "路面坑洼，老人摔倒过两次。",
)


def generate(seed: int = SEED, count: int = TEXTS) -> list[GeneratedText]:
    """Return generated texts; one in five has no personal data."""
    rng = Random(seed)
    return [_generate_one(rng) for _ in range(count)]


def _generate_one(rng: Random) -> GeneratedText:
    made = GeneratedText()
    personal = [] if rng.random() < 0.2 else rng.sample(sorted(_PERSONAL), rng.randint(1, 4))
    steps: list[PiiKind | None] = [*personal, *[None] * rng.randint(1, 4)]
    rng.shuffle(steps)
    for kind in steps:
        if kind is None:
            made.add(rng.choice(_HARMLESS)(rng))
        else:
            _plant(made, kind, rng)
        made.add(rng.choice(_FILLING))
    return made


def _plant(made: GeneratedText, kind: PiiKind, rng: Random) -> None:
    before, write, after = rng.choice(_PERSONAL[kind])
    made.add(before)
    made.add(write(rng), kind)
    made.add(after)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found of what was planted."""

    planted: Counter[PiiKind]
    found: Counter[PiiKind]
    right: Counter[Certainty]
    wrong: Counter[Certainty]
    misses: tuple[tuple[PiiKind, str], ...]
    false_alarms: tuple[str, ...]

    @property
    def recall(self) -> float:
        """The share of planted data that a hit covers completely."""
        return self.found.total() / self.planted.total()

    def precision(self, certainties: Iterable[Certainty] = tuple(Certainty)) -> float:
        """The share of these hits that touch planted data."""
        wanted = tuple(certainties)
        right = sum(self.right[certainty] for certainty in wanted)
        wrong = sum(self.wrong[certainty] for certainty in wanted)
        return right / (right + wrong)


def measure(texts: Iterable[GeneratedText]) -> Figures:
    """Search the texts and count."""
    planted, found = Counter[PiiKind](), Counter[PiiKind]()
    right, wrong = Counter[Certainty](), Counter[Certainty]()
    misses: list[tuple[PiiKind, str]] = []
    false_alarms: list[str] = []
    for made in texts:
        hits = find_pii(made.text)
        for each in made.planted:
            planted[each.kind] += 1
            is_found = any(hit.start <= each.start and each.end <= hit.end for hit in hits)
            found[each.kind] += is_found
            if not is_found:
                misses.append((each.kind, made.text[max(0, each.start - 6) : each.end + 3]))
        for hit in hits:
            is_right = _touches(hit, made.planted)
            (right if is_right else wrong)[hit.certainty] += 1
            if not is_right:
                false_alarms.append(f"{hit.kind} {made.text[max(0, hit.start - 8) : hit.end + 4]}")
    return Figures(planted, found, right, wrong, tuple(misses), tuple(false_alarms))


def _touches(hit: PiiHit, planted: Iterable[Planted]) -> bool:
    return any(each.start < hit.end and hit.start < each.end for each in planted)


def main() -> None:
    figures = measure(generate())
    print("| kind | planted | found |\n|---|---|---|")
    for kind in PiiKind:
        if figures.planted[kind]:
            print(f"| {kind.label} | {figures.planted[kind]} | {figures.found[kind]} |")
    certain = figures.precision([Certainty.CERTAIN])
    print(f"\nrecall {figures.recall:.3f}, precision {figures.precision():.3f}")
    print(f"precision of certain hits {certain:.3f}")
    for miss in figures.misses:
        print("missed:", *miss)
    for alarm in figures.false_alarms:
        print("false alarm:", alarm)


if __name__ == "__main__":
    main()
