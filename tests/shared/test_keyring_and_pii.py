"""Sealed identities stay closed to who has only the database; personal data is found however it is
written.
"""

import json
import random
import stat
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.security.keyring import (
    InvalidKeyRing,
    KeyDestroyed,
    KeyRing,
    RecordMismatch,
    VaultError,
)
from shared.security.masking import mask_id_card, mask_name, mask_phone
from shared.security.pii import _PATTERNS, PiiKind, PiiMatch, find_pii, mask_pii

RING = KeyRing({1: b"m" * 32}, b"r" * 32)
RECORD, OTHER = UUID(int=1), UUID(int=2)
ZHANG = {"name": "张三", "phone": "13800138000"}

# ── the key ring


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [(0o600, True), (0o400, True), (0o440, True), (0o644, False), (0o620, False), (0o660, False)],
)
def test_ring_open_to_others_is_refused(tmp_path: Path, mode: int, accepted: bool) -> None:
    path = tmp_path / "keyring.json"
    RING.save(path)
    path.chmod(mode)

    if accepted:
        KeyRing.load(path)
    else:
        with pytest.raises(InvalidKeyRing, match="0600"):
            KeyRing.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"master_keys": {"1": "bTE="}, "root": "cg=="}',
        '{"master_keys": {}, "root": ""}',
        "王",
    ],
)
def test_malformed_ring_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keyring.json"
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidKeyRing) as refused:
        KeyRing.load(path)

    assert "bTE=" not in str(refused.value)


def test_keys_are_in_no_representation() -> None:
    shown = repr(RING) + repr(RING.seal(RECORD, ZHANG))

    assert "mmm" not in shown
    assert "rrr" not in shown
    assert "\\x" not in shown


def test_secrets_follow_from_the_ring_and_differ_by_purpose() -> None:
    assert RING.derive_key("limiter") == RING.derive_key("limiter") != RING.derive_key("other")


# ── sealed records


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_what_was_sealed_is_opened(fields: dict[str, str]) -> None:
    assert RING.unseal(RECORD, RING.seal(RECORD, fields)) == fields


@given(st.data())
def test_every_changed_byte_is_refused(data: st.DataObject) -> None:
    sealed = RING.seal(RECORD, ZHANG)
    part = data.draw(st.sampled_from(["ciphertext", "wrapped_key"]))
    stored = bytearray(getattr(sealed, part))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    changed: dict[str, Any] = {part: bytes(stored)}

    with pytest.raises(RecordMismatch):
        RING.unseal(RECORD, replace(sealed, **changed))


@given(st.integers(0, 300))
def test_shortened_bytes_are_refused(length: int) -> None:
    sealed = RING.seal(RECORD, ZHANG)
    for part in ("ciphertext", "wrapped_key"):
        stored = getattr(sealed, part)
        with pytest.raises(RecordMismatch):
            RING.unseal(RECORD, replace(sealed, **{part: stored[: min(length, len(stored) - 1)]}))


def test_nothing_moves_to_another_record() -> None:
    zhang, li = RING.seal(RECORD, ZHANG), RING.seal(OTHER, {"name": "李四"})

    for stolen in (
        zhang,
        replace(li, ciphertext=zhang.ciphertext),
        replace(li, wrapped_key=zhang.wrapped_key),
    ):
        with pytest.raises(RecordMismatch):
            RING.unseal(OTHER, stolen)


def test_wrapped_key_is_no_ciphertext() -> None:
    sealed = RING.seal(RECORD, ZHANG)
    assert sealed.wrapped_key is not None

    with pytest.raises(RecordMismatch):
        RING.unseal(RECORD, replace(sealed, ciphertext=sealed.wrapped_key))


def test_ciphertext_reveals_neither_equality_nor_length() -> None:
    once, again, longer = (
        RING.seal(RECORD, ZHANG),
        RING.seal(RECORD, ZHANG),
        RING.seal(RECORD, ZHANG | {"name": "欧阳小红"}),
    )

    assert once.ciphertext != again.ciphertext
    assert once.wrapped_key != again.wrapped_key
    assert len(once.ciphertext) == len(longer.ciphertext)
    assert "张三".encode() not in once.ciphertext


def test_destroyed_key_closes_the_record_for_ever() -> None:
    destroyed = replace(RING.seal(RECORD, ZHANG), wrapped_key=None)

    with pytest.raises(KeyDestroyed, match="已销毁"):
        RING.unseal(RECORD, destroyed)


def test_rotation_keeps_old_records_readable_until_they_are_moved() -> None:
    old = RING.seal(RECORD, ZHANG)
    ring = RING.rotated()

    moved = ring.rewrap(RECORD, old)

    assert (old.key_version, moved.key_version, moved.ciphertext) == (1, 2, old.ciphertext)
    assert ring.unseal(RECORD, old) == ring.unseal(RECORD, moved) == ZHANG
    without_old = KeyRing({2: ring.master_keys[2]}, ring.root)
    assert without_old.unseal(RECORD, moved) == ZHANG
    with pytest.raises(VaultError, match="第 1 版"):
        without_old.unseal(RECORD, old)


def test_version_is_bound_too() -> None:
    ring = KeyRing({1: b"m" * 32, 2: b"m" * 32}, b"r" * 32)
    sealed = ring.seal(RECORD, ZHANG)

    with pytest.raises(RecordMismatch):
        ring.unseal(RECORD, replace(sealed, key_version=1))


def test_saved_ring_is_the_same_ring(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    ring = RING.rotated()

    ring.save(path)

    assert KeyRing.load(path) == ring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_text())["master_keys"]) == {"1", "2"}


@pytest.mark.parametrize(
    "spelling",
    [
        "13800138000",
        "138 0013 8000",
        "138-0013-8000",
        "+86 13800138000",
        "008613800138000",
        "１３８００１３８０００",
    ],
)
def test_same_phone_has_one_fingerprint(spelling: str) -> None:
    assert RING.fingerprint(spelling) == RING.fingerprint("13800138000")
    assert RING.fingerprint(spelling) != RING.fingerprint("13800138001")
    assert RING.fingerprint(spelling) != KeyRing({1: b"m" * 32}, b"q" * 32).fingerprint(spelling)


# ── masks


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        ("13800138000", "138****8000"),
        ("+86 138-0013-8000", "138****8000"),
        ("0431-88901234", "0431****1234"),
        ("010 8890 1234", "010****1234"),
        ("12345", "***45"),
        ("", ""),
    ],
)
def test_phone_on_pages(shown: str, masked: str) -> None:
    assert mask_phone(shown) == masked


def test_identity_card_and_name_on_pages() -> None:
    assert mask_id_card("11010519491231002x") == "1101************2x"
    assert mask_id_card("123") == "***"
    assert [mask_name(name) for name in ("张三", "王小明", "欧阳小红", "买买提", "")] == [
        "张*",
        "王**",
        "欧阳**",
        "买**",
        "",
    ]


# ── the guard on texts

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
    assert [
        (kind, found.span(1))
        for sign, patterns in _PATTERNS
        if not sign.search(text)
        for kind, pattern in patterns
        for found in pattern.finditer(text)
    ] == []


@given(written_mobiles())
def test_masked_text_holds_no_personal_data(written: tuple[str, int, int]) -> None:
    assert find_pii(mask_pii(written[0])) == []


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
        ("座机0431-88901234转2", PiiKind.LANDLINE, "0431-88901234"),
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
        "身份证110105194912310021",
        "咨询电话0431-12345",
        "统一社会信用代码 91220101MA0Y3K9X2B",
    ],
)
def test_everyday_texts_pass(text: str) -> None:
    assert find_pii(text) == []


@pytest.mark.parametrize("text", ["张三来电", "张 三", "张·三", "联系人：张\u200b三。"])
def test_the_complainants_own_name_is_found(text: str) -> None:
    (hit,) = find_pii(text, ["张三"])

    assert hit.kind is PiiKind.KNOWN
    assert find_pii("李四来电", ["张三"]) == []


def test_the_complainants_own_number_is_found_even_when_it_looks_like_none() -> None:
    known = ["8890123"]

    assert [hit.kind for hit in find_pii("小灵通889 0123", known)] == [PiiKind.KNOWN]
    assert [hit.kind for hit in find_pii("八八九零一二三", known)] == [PiiKind.KNOWN]
    assert [hit.kind for hit in find_pii("８８９-０１２３号", known)] == [PiiKind.KNOWN]


def test_single_characters_and_blanks_are_no_known_values() -> None:
    assert find_pii("王某反映办事大厅排队", ["王", "", " "]) == []


def test_masked_text_says_what_was_there_and_keeps_the_rest() -> None:
    masked = mask_pii("张三（138 0013 8000）反映吉A·12345违停", ["张三"])

    assert masked == "［来件人信息］（［手机号码］）反映［车牌号］违停"
    assert mask_pii("没有问题") == "没有问题"


def test_hit_does_not_show_what_it_found() -> None:
    assert "138" not in repr(PiiMatch(PiiKind.MOBILE, 0, 11, "13800138000"))


def test_long_text_is_looked_through_quickly() -> None:
    rng = random.Random(7)
    text = "".join(
        rng.choice("反映办事大厅排队时间过长 1234567890-（）。<td>") for _ in range(100_000)
    )

    began = time.perf_counter()
    hits = find_pii(text + "电话13800138000", ["张三", "13900139000"])

    assert hits[-1].text.endswith("13800138000")
    assert time.perf_counter() - began < 2
