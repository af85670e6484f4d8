"""Personal data is found however it is written, and never silently missed."""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.security.pii import (
    CHECKED_LENGTH_MAX,
    Certainty,
    PiiHit,
    PiiKind,
    certain_hits,
    find_pii,
    find_pii_async,
    mask_pii,
    mask_pii_async,
    search,
)
from shared.security.pii.search import RULES
from tests.shared import pii_corpus

DIGITS = {
    "half": "0123456789",
    "full": "０１２３４５６７８９",
    "chinese": "零一二三四五六七八九",
    "circle": "〇一二三四五六七八九",
    "formal": "零壹贰叁肆伍陆柒捌玖",
    "arabic": "٠١٢٣٤٥٦٧٨٩",
    "spoken": "零幺二三四五六七八九",
    "bold": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
}
GAPS = [
    "",
    "",
    "",
    " ",
    "-",
    " - ",
    "－",
    "—",
    "–",
    ".",
    "·",
    "\u3000",
    "\u00a0",
    "\u200b",
    "\ufeff",
    "\t",
    "\n",
    "_",
    "/",
    "(",
    "）",
    "，",
    ",",
    "~",
    "*",
    "\ufe0f\u20e3",
]
BEFORE = [
    "",
    "电话",
    "手机：",
    "tel:",
    "QQ/",
    "我的号码是",
    "2 ",
    "第3、",
    "+86",
    "+86 ",
    "86-",
    "0086",
    "(+86)",
    "0",
    "17951",
    "共5次，",
    "a",
    "王某。",
    "https://x/",
]
AFTER = ["", "转2", "。", " 2次", "（王先生）", "x", "、13", "\n", "谢谢", ";1", "元"]


@st.composite
def written_mobiles(draw: st.DrawFn) -> tuple[str, int, int]:
    """(text, start, end of the number in it)."""
    number = (
        "1"
        + draw(st.sampled_from("3456789"))
        + "".join(draw(st.lists(st.sampled_from("0123456789"), min_size=9, max_size=9)))
    )
    alphabet = DIGITS[draw(st.sampled_from(sorted(DIGITS)))]
    gaps = draw(st.lists(st.sampled_from(GAPS), min_size=10, max_size=10))
    written = "".join(
        alphabet[int(digit)] + gap for digit, gap in zip(number, [*gaps, ""], strict=True)
    )
    before = draw(st.sampled_from(BEFORE))
    return before + written + draw(st.sampled_from(AFTER)), len(before), len(before) + len(written)


@given(written_mobiles())
def test_no_way_of_writing_a_mobile_number_gets_past(written: tuple[str, int, int]) -> None:
    text, start, end = written

    hits = find_pii(text)

    assert any(hit.start <= start and end <= hit.end for hit in hits), [
        (hit.kind, hit.start, hit.end) for hit in hits
    ]


@given(st.text(st.sampled_from("0123456789138 -—.:;，@a.吉AX警"), max_size=60))
def test_what_shows_no_sign_holds_no_pattern(text: str) -> None:
    unsigned = [rule for rule in RULES if rule.sign and not rule.sign.search(text)]

    assert [rule for rule in unsigned if rule.pattern.search(text)] == []


@given(written_mobiles())
def test_masked_text_holds_no_personal_data(written: tuple[str, int, int]) -> None:
    assert find_pii(mask_pii(written[0])) == ()


@given(st.text(), st.lists(st.text(max_size=12), max_size=3))
def test_hits_are_in_order_apart_and_say_where_they_are(text: str, known: list[str]) -> None:
    hits = find_pii(text, known)

    assert all(hit.text == text[hit.start : hit.end] != "" for hit in hits)
    assert all(before.end <= after.start for before, after in pairwise(hits))


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("附件二138 0013 8000", PiiKind.MOBILE, "138 0013 8000"),
        ("第13条 138 0013 8000", PiiKind.MOBILE, "138 0013 8000"),
        ("1380013800013900139000", PiiKind.MOBILE, "1380013800013900139000"),
        ("1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0", PiiKind.MOBILE, "1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0"),
        ("座机0431-88901234转2", PiiKind.LANDLINE, "0431-88901234转2"),
        ("座机（0431）8890 1234", PiiKind.LANDLINE, "0431）8890 1234"),
        ("010 8890 1234", PiiKind.LANDLINE, "010 8890 1234"),
        ("010 889 0123", PiiKind.LANDLINE, "010 889 0123"),
        ("+86 431 8890 1234", PiiKind.LANDLINE, "86 431 8890 1234"),
        ("０４３１－８８９０１２３", PiiKind.LANDLINE, "０４３１－８８９０１２３"),
        ("身份证11010519491231002X。", PiiKind.ID_CARD, "11010519491231002X"),
        ("110105 19491231 002ｘ", PiiKind.ID_CARD, "110105 19491231 002ｘ"),
        ("旧证110105491231002号", PiiKind.ID_CARD, "110105491231002"),
        ("邮箱zhang.san+a@mail.example.cn，", PiiKind.EMAIL, "zhang.san+a@mail.example.cn"),
        ("zhang＠qq.com", PiiKind.EMAIL, "zhang＠qq.com"),
        ("卡号6222 0212 3456 7890 128", PiiKind.BANK_CARD, "6222 0212 3456 7890 128"),
        ("卡4111-1111-1111-1111 4 张", PiiKind.BANK_CARD, "4111-1111-1111-1111"),
        ("车牌吉A·12345停在门口", PiiKind.PLATE, "吉A·12345"),
        ("吉AD12345", PiiKind.PLATE, "吉AD12345"),
        ("吉a1234警", PiiKind.PLATE, "吉a1234警"),
    ],
)
def test_other_kinds_are_found_where_they_stand(text: str, kind: PiiKind, found: str) -> None:
    assert [(hit.kind, hit.text) for hit in find_pii(text)] == [(kind, found)]


@pytest.mark.parametrize(
    "text",
    [
        "工单 JF-2026-000123 于 2026-11-23 14:06:07 登记",
        "每天 13:30—15:00，2026 年 11 月 23 日起",
        "17:30 2026-1-23 至 15:00-16:30",
        "共 15、18、23、45、60、7 件",
        "得分 94.31，较昨日 −0.42；样本 412；93.5%",
        "/casework/cases/019a0e6a-1385-7123-8999-139123456789",
        "asset 4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
        "1763800000000",
        "吉林省人民政府办公厅文件 吉政办发〔2026〕15号",
        "12345热线、110、96699",
        "咨询电话0431-12345",
        "统一社会信用代码 91220101MA0Y3K9X2B",
    ],
)
def test_everyday_texts_pass(text: str) -> None:
    assert find_pii(text) == ()


@pytest.mark.parametrize("text", ["张三来电", "张 三", "张·三", "联系人：张\u200b三。"])
def test_the_complainants_own_name_is_found(text: str) -> None:
    (hit,) = find_pii(text, ["张三"])

    assert hit.kind is PiiKind.KNOWN
    assert find_pii("李四来电", ["张三"]) == ()


def test_the_complainants_own_number_is_found_even_when_it_looks_like_none() -> None:
    known = ["8890123"]

    assert [hit.kind for hit in find_pii("小灵通889 0123", known)] == [PiiKind.KNOWN]
    assert [hit.kind for hit in find_pii("八八九零一二三", known)] == [PiiKind.KNOWN]
    assert [hit.kind for hit in find_pii("８８９-０１２３号", known)] == [PiiKind.KNOWN]


def test_single_characters_and_blanks_are_no_known_values() -> None:
    assert find_pii("王某反映办事大厅排队", ["王", "", " "]) == ()


def test_masked_text_says_what_was_there_and_keeps_the_rest() -> None:
    masked = mask_pii("张三（138 0013 8000）反映吉A·12345违停", ["张三"])

    assert masked == "［来件人信息］（［手机号码］）反映［车牌号］违停"
    assert mask_pii("没有问题") == "没有问题"


def test_hit_does_not_show_what_it_found() -> None:
    assert "138" not in repr(PiiHit(PiiKind.MOBILE, 0, 11, Certainty.CERTAIN, "13800138000"))


def test_long_text_is_looked_through_quickly() -> None:
    rng = random.Random(7)
    text = "".join(
        rng.choice("反映办事大厅排队时间过长 1234567890-（）。<td>") for _ in range(100_000)
    )

    began = time.perf_counter()
    hits = find_pii(text + "电话13800138000", ["张三", "13900139000"])

    assert hits[-1].text.endswith("13800138000")
    assert time.perf_counter() - began < 2


# ── kinds beyond numbers

CERTAIN, TO_CHECK = Certainty.CERTAIN, Certainty.TO_CHECK


@pytest.mark.parametrize(
    ("text", "kind", "found", "certainty"),
    [
        ("我叫张三，要反映", PiiKind.NAME, "张三", CERTAIN),
        ("我叫欧阳小红。", PiiKind.NAME, "欧阳小红", CERTAIN),
        ("联系人：李 小\u200b明", PiiKind.NAME, "李 小\u200b明", CERTAIN),
        ("本人王芳，女，", PiiKind.NAME, "王芳", TO_CHECK),
        ("我是李小明，想问", PiiKind.NAME, "李小明", TO_CHECK),
        ("我叫小宝。", PiiKind.NAME, "小宝", TO_CHECK),
        ("我叫买买提·艾合买提，", PiiKind.NAME, "买买提·艾合买提", CERTAIN),
        ("免贵姓赵", PiiKind.NAME, "赵", TO_CHECK),
        ("市民张女士反映", PiiKind.NAME, "张女士", TO_CHECK),
        ("12栋3单元501漏水", PiiKind.ADDRESS, "12栋3单元501", CERTAIN),
        ("三号楼二单元四零一室", PiiKind.ADDRESS, "三号楼二单元四零一室", CERTAIN),
        ("住在延安路 305 弄 12 号 601 室", PiiKind.ADDRESS, "延安路 305 弄 12 号 601 室", CERTAIN),
        ("丽景园5号楼的电梯", PiiKind.ADDRESS, "5号楼", TO_CHECK),
        ("金鼎村七里组的路", PiiKind.ADDRESS, "金鼎村七里组", TO_CHECK),
        ("人民大街1000号漏水", PiiKind.ADDRESS, "人民大街1000号", TO_CHECK),
        ("实验小学三年级（2）班", PiiKind.SCHOOL_CLASS, "实验小学三年级（2）班", CERTAIN),
        ("高二（5）班的班主任", PiiKind.SCHOOL_CLASS, "高二（5）班", TO_CHECK),
        ("阳光幼儿园大二班", PiiKind.SCHOOL_CLASS, "阳光幼儿园大二班", CERTAIN),
        ("座机8890 1234", PiiKind.LANDLINE, "8890 1234", TO_CHECK),
        ("0431-88888888-801", PiiKind.LANDLINE, "0431-88888888-801", CERTAIN),
        ("0431—88888888", PiiKind.LANDLINE, "0431—88888888", CERTAIN),
        ("分机801", PiiKind.EXTENSION, "分机801", TO_CHECK),
        ("电话+852 9123 4567", PiiKind.OVERSEAS_PHONE, "+852 9123 4567", CERTAIN),
        ("+853 6612 3456", PiiKind.OVERSEAS_PHONE, "+853 6612 3456", CERTAIN),
        ("+886 912 345 678", PiiKind.OVERSEAS_PHONE, "+886 912 345 678", CERTAIN),
        ("香港电话 9123 4567", PiiKind.OVERSEAS_PHONE, "9123 4567", TO_CHECK),
        ("0912-345-678", PiiKind.OVERSEAS_PHONE, "0912-345-678", TO_CHECK),
        ("400-800-1234", PiiKind.SERVICE_PHONE, "400-800-1234", TO_CHECK),
        ("八零零八二零八八二零", PiiKind.SERVICE_PHONE, "八零零八二零八八二零", TO_CHECK),
        ("护照E12345678", PiiKind.PASSPORT, "E12345678", CERTAIN),
        ("港澳通行证 C12345678", PiiKind.PERMIT, "C12345678", CERTAIN),
        ("台胞证号码：12345678", PiiKind.PERMIT, "12345678", CERTAIN),
        ("军官证：军字第1234567号", PiiKind.PERMIT, "军字第1234567号", CERTAIN),
        ("驾驶证档案编号220100123456", PiiKind.PERMIT, "220100123456", CERTAIN),
        ("QQ 123456789", PiiKind.ACCOUNT, "123456789", CERTAIN),
        ("扣扣号一二三四五六七八", PiiKind.ACCOUNT, "一二三四五六七八", CERTAIN),
        ("微信号zhangsan_88", PiiKind.ACCOUNT, "zhangsan_88", CERTAIN),
        ("微博昵称：小太阳", PiiKind.ACCOUNT, "小太阳", TO_CHECK),
        ("见https://weibo.com/u/1234567", PiiKind.LINK, "https://weibo.com/u/1234567", CERTAIN),
        ("登录example.com/a", PiiKind.LINK, "example.com/a", TO_CHECK),
        ("zhang艾特qq点com", PiiKind.EMAIL, "zhang艾特qq点com", CERTAIN),
        ("zhang (at) qq (dot) com", PiiKind.EMAIL, "zhang (at) qq (dot) com", CERTAIN),
        ("身份证110105194912310021", PiiKind.ID_CARD, "110105194912310021", TO_CHECK),
        ("持110105194912310021办理", PiiKind.ID_CARD, "110105194912310021", TO_CHECK),
        ("卡号6222021234567890123", PiiKind.BANK_CARD, "6222021234567890123", TO_CHECK),
        ("l38OOl38OOO", PiiKind.MOBILE, "l38OOl38OOO", CERTAIN),
        ("洞四三幺八八九零幺二三四", PiiKind.LANDLINE, "洞四三幺八八九零幺二三四", CERTAIN),
        ("⑬⑧⓪⓪⑬⑧⓪⓪⓪", PiiKind.MOBILE, "⑬⑧⓪⓪⑬⑧⓪⓪⓪", CERTAIN),
        (
            "1点3点8点0点0点1点3点8点0点0点0",
            PiiKind.MOBILE,
            "1点3点8点0点0点1点3点8点0点0点0",
            CERTAIN,
        ),
        ("138然后0013然后8000", PiiKind.MOBILE, "138然后0013然后8000", CERTAIN),
        ("138再是0013，再8000", PiiKind.MOBILE, "138再是0013，再8000", TO_CHECK),
        ("打\u202e00083100831", PiiKind.HIDDEN, "\u202e00083100831", CERTAIN),
    ],
)
def test_each_kind_is_found_in_the_original_text(
    text: str, kind: PiiKind, found: str, certainty: Certainty
) -> None:
    assert [(hit.kind, hit.text, hit.certainty) for hit in find_pii(text)] == [
        (kind, found, certainty)
    ]


def test_introduced_name_is_found_in_the_rest_of_the_text() -> None:
    hits = find_pii("我叫张三丰，上周去办事，窗口说张三丰的材料不全")

    assert [hit.text for hit in hits] == ["张三丰", "张三丰"]


@pytest.mark.parametrize(
    "text",
    [
        "市政务服务中心（人民大街1000号）二楼3号窗口",
        "吉政办发〔2024〕5号、（2024）吉01民终1234号",
        "工单号20240415001234，受理编号JF20240415001",
        "共3栋楼、2个单元，12层，1200户",
        "金额4000000000元，面积880平方米，第3期",
        "我是业主，我是农民，本人于今年3月入住",
        "我叫了救护车，我叫车等了半小时",
        "请登录https://www.gov.cn/zhengce或12306",
        "早班车、晚班、2路班车，下班后",
        "拨打12345、110、12315、96699热线",
        "2024年4月15日13点80分到15点30分，3天8小时",
        "名字写错了，联系人不接电话，地址写错了",
    ],
)
def test_official_and_everyday_texts_pass(text: str) -> None:
    assert find_pii(text) == ()


# ── the check fails closed


def test_text_beyond_the_bound_is_a_hit_and_is_masked() -> None:
    text = "好" * CHECKED_LENGTH_MAX + "电话"

    (hit,) = find_pii(text)

    assert (hit.kind, hit.start, hit.end) == (PiiKind.UNCHECKED, CHECKED_LENGTH_MAX, len(text))
    assert hit.is_certain
    assert "电话" not in mask_pii(text)


def test_rule_that_fails_makes_the_whole_text_a_hit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    monkeypatch.setattr(search, "read_text", fail)

    (hit,) = find_pii("窗口排队时间长")

    assert (hit.kind, hit.start, hit.end, hit.is_certain) == (PiiKind.UNCHECKED, 0, 7, True)
    assert mask_pii("窗口排队时间长") == "［未能检查的内容］"
    assert "排队" not in caplog.text
    assert "ValueError" in caplog.text


def test_certain_hits_leave_out_what_a_person_checks() -> None:
    hits = find_pii("我是李小明，电话14112345678")

    assert [hit.kind for hit in certain_hits(hits)] == [PiiKind.MOBILE]
    assert [hit.certainty.label for hit in hits] == ["待人工核对", "确定"]


# ── fillers and offsets

PLANTED = (
    "电话14112345678。",
    "身份证11010519491231002X。",
    "座机0431-88901234。",
    "我叫张三丰。",
    "护照E12345678。",
    "丽景园3栋2单元501室。",
    "实验小学三年级（2）班。",
    "车牌吉A12345。",
    "微信zhang_san88。",
    "邮箱zhang@mail.example。",
)
INVISIBLE = (
    "\u200b",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u200e",
    "\u202a",
    "\u2066",
    "\u0336",
)
FILLERS = (" ", "-", "·", "—", "*", "_", "/", "\u3000", "~")


@given(
    st.sampled_from(PLANTED),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(INVISIBLE)), max_size=12),
)
def test_invisible_characters_never_hide_a_hit(
    text: str, inserted: Sequence[tuple[int, str]]
) -> None:
    changed = text
    for position, char in inserted:
        at = position % len(changed)
        changed = changed[:at] + char + changed[at:]
    (expected,) = find_pii(text)

    (hit,) = find_pii(changed)

    visible = "".join(char for char in hit.text if char not in INVISIBLE)
    assert (hit.kind, hit.certainty, visible) == (
        expected.kind,
        expected.certainty,
        expected.text,
    )


@given(
    st.sampled_from(["14112345678", "11010519491231002X", "043188901234", "6222021234567890128"]),
    st.lists(st.sampled_from(("", *FILLERS)), min_size=20, max_size=20),
)
def test_fillers_between_digits_never_hide_a_number(number: str, fillers: Sequence[str]) -> None:
    pairs = zip(number, fillers, strict=False)
    written = "".join(char + filler for char, filler in pairs)

    hits = find_pii(f"号码是{written}谢谢")

    digits = written.rstrip("".join(FILLERS))
    assert any(hit.start <= 3 and 3 + len(digits) <= hit.end for hit in hits)


@given(st.sampled_from(["14112345678", "14198765430"]), st.text(min_size=1, max_size=3))
def test_one_filler_throughout_never_hides_a_mobile_number(number: str, filler: str) -> None:
    hits = find_pii("打" + filler.join(number) + "找我")

    assert hits or any(char.isnumeric() or char == "\n" for char in filler)


@given(st.text(max_size=80))
def test_offsets_are_those_of_the_original(text: str) -> None:
    planted = f"{text}\n电话14112345678。"

    hits = find_pii(planted)

    assert all(planted[hit.start : hit.end] == hit.text for hit in hits)
    assert any(hit.end == len(planted) - 1 for hit in hits)


# ── time

ADVERSARIAL = (
    "1 ",
    "13800138000 ",
    "6222-",
    "3栋",
    "l o ",
    "我叫王小明,",
    "⑬",
    "1\u200b",
    "家住3",
    "0086",
    "反映办事大厅排队时间过长",
    "小学",
    "a.",
)


def _seconds(text: str) -> float:
    """Return the shortest of three searches."""
    spent: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        find_pii(text)
        spent.append(time.perf_counter() - began)
    return min(spent)


@pytest.mark.parametrize("part", ADVERSARIAL)
def test_time_is_linear_in_the_length(part: str) -> None:
    text = part * (CHECKED_LENGTH_MAX // len(part))

    assert _seconds(text) < 8 * _seconds(text[: len(text) // 4]) + 0.02


def test_every_repetition_in_a_pattern_has_a_bound() -> None:
    unbounded = [rule.pattern.pattern for rule in RULES if _has_open_repetition(rule)]

    assert unbounded == []


def _has_open_repetition(rule: search.PiiRule) -> bool:
    without_classes = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", rule.pattern.pattern)
    return re.search(r"[*+]|\{\d*,\}", without_classes) is not None


async def _longest_pause(text: str) -> float:
    """Return for how long the event loop stood still during a search.

    Seconds of this process's processor time: other processes of the machine do not count.
    """
    longest = 0.0
    search_task = asyncio.create_task(find_pii_async(text))
    while not search_task.done():
        began = time.process_time()
        await asyncio.sleep(0)
        longest = max(longest, time.process_time() - began)
    await search_task
    return longest


@pytest.mark.parametrize("part", ["1 ", "3栋", "我叫王小明,", "反映办事大厅排队时间过长"])
async def test_long_text_does_not_stop_the_event_loop(part: str) -> None:
    text = part * (CHECKED_LENGTH_MAX // len(part))

    pauses = [await _longest_pause(text) for _ in range(3)]

    assert min(pauses) < 0.05
    assert await find_pii_async(text) == find_pii(text)


async def test_masking_off_the_event_loop_gives_the_same() -> None:
    text = "张三，电话14112345678"

    assert await mask_pii_async(text, ["张三"]) == mask_pii(text, ["张三"])


# ── figures


def test_generated_texts_are_found_as_published() -> None:
    figures = pii_corpus.measure(pii_corpus.generate())

    assert figures.recall >= 0.99, figures.misses
    assert figures.precision() >= 0.98, figures.false_alarms
    assert figures.precision([Certainty.CERTAIN]) >= 0.99, figures.false_alarms


def test_other_generated_texts_are_found_as_well() -> None:
    figures = pii_corpus.measure(pii_corpus.generate(seed=7))

    assert figures.recall >= 0.98, figures.misses
    assert figures.precision() >= 0.97, figures.false_alarms


@given(st.integers(1900, 2100), st.sampled_from(PLANTED))
def test_data_across_a_chunk_is_found_like_elsewhere(position: int, text: str) -> None:
    (expected,) = find_pii("。" + text)
    planted = "。" * position + text

    (hit,) = find_pii(planted)

    assert (hit.kind, hit.text, hit.certainty) == (
        expected.kind,
        expected.text,
        expected.certainty,
    )
