"""Detection of personal data in free text."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from shared.security.text_folding import _NUMERALS, _RANDOM_IDS, _fold_width, _normalize

# ── the guard on texts ────────────────────────────────────────────────────────────────────────────


class PiiKind(StrEnum):
    """Kinds of personal data, those that weigh most first."""

    KNOWN = "known"
    ID_CARD = "id_card"
    BANK_CARD = "bank_card"
    MOBILE = "mobile"
    LANDLINE = "landline"
    EMAIL = "email"
    PLATE = "plate"

    @property
    def label(self) -> str:
        """The kind's name on pages."""
        return _KIND_LABELS[self]


_KIND_LABELS: Final = {
    PiiKind.KNOWN: "来件人信息",
    PiiKind.ID_CARD: "身份证号",
    PiiKind.BANK_CARD: "银行卡号",
    PiiKind.MOBILE: "手机号码",
    PiiKind.LANDLINE: "固定电话",
    PiiKind.EMAIL: "电子邮箱",
    PiiKind.PLATE: "车牌号",
}
assert _KIND_LABELS.keys() == set(PiiKind), "every kind has a name on pages"
_PRECEDENCE: Final = {kind: weight for weight, kind in enumerate(PiiKind)}


@dataclass(frozen=True, slots=True)
class PiiMatch:
    """Personal data at `text[start:end]` of the text that was looked at. Never log `text`."""

    kind: PiiKind
    start: int
    end: int
    text: str = field(repr=False)


def find_pii(text: str, known_values: Iterable[str] = ()) -> list[PiiMatch]:
    """All personal data in a text, in order, without overlaps; [] means that it may go on.

    `known_values`: what is known of the person behind this very case (name, numbers, address), found in
    any spelling. Numbers are found in any width or script, in Chinese numerals, and with blanks,
    dashes, dots or brackets inside.
    """
    arabic = _RANDOM_IDS.sub(lambda found: "x" * len(found[0]), _fold_width(text))
    views = {arabic, arabic.translate(_NUMERALS)}
    known = [_normalize(value) for value in known_values]
    spans = {
        span for view in views for span in (*_pattern_spans(view), *_known_value_spans(view, known))
    }
    return [PiiMatch(kind, start, end, text[start:end]) for kind, start, end in _merge_spans(spans)]


def mask_pii(text: str, known_values: Iterable[str] = ()) -> str:
    """The text with every hit replaced by its kind, as `［手机号码］`; not one digit of it is left
    for who can guess.
    """
    parts, done = [], 0
    for match in find_pii(text, known_values):
        parts += [text[done : match.start], f"［{match.kind.label}］"]
        done = match.end
    return "".join([*parts, text[done:]])


_Span = tuple[PiiKind, int, int]

# What may stand inside a number. Not what separates times, items of a list or sentences:
# 17:30，2026 is no telephone.
_GAP: Final = r"(?:[^\w:;、。!?%=]|_){0,4}"


def _digits(*classes: str) -> str:
    return _GAP.join(classes)


_D: Final = r"\d"
_MOBILE: Final = _digits("1", "[3-9]", *[_D] * 9)
_AREA: Final = rf"(?:1{_GAP}0|2{_GAP}\d|[3-9]{_GAP}\d{_GAP}\d)"
_SUBSCRIBER: Final = _digits("[2-8]", *[_D] * 6) + rf"(?:{_GAP}\d)?"
_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


def _number(shape: str) -> str:
    """A number of this shape that no digit touches, looked for at every place: one must not hide
    the next.
    """
    return rf"(?<!\d)(?=({shape})(?!\d))"


_TEN_DIGITS: Final = _digits(*[_D] * 10)
"""What every number below has: ten digits in a row."""
_PATTERNS: Final = [
    (re.compile(sign), [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in patterns])
    for sign, patterns in [
        (
            _TEN_DIGITS,
            [
                (PiiKind.ID_CARD, _number(_digits(*[_D] * 17, "[0-9X]"))),
                (PiiKind.ID_CARD, _number(_digits(*[_D] * 15))),
                *(
                    (PiiKind.BANK_CARD, _number(_digits("[34569]", *[_D] * (length - 1))))
                    for length in range(16, 20)
                ),
                # Before it a country code, a trunk zero or a dialling prefix may stand; two numbers
                # may stand without a blank.
                (
                    PiiKind.MOBILE,
                    _number(rf"(?:(?:(?:00)?86|0|17951|12593){_GAP})?(?:{_MOBILE})+"),
                ),
                (
                    PiiKind.LANDLINE,
                    _number(rf"(?:(?:00)?86{_GAP}0?|0){_GAP}{_AREA}{_GAP}{_SUBSCRIBER}"),
                ),
            ],
        ),
        (
            "@",
            [
                (
                    PiiKind.EMAIL,
                    r"(?<![\w.+%-])(?=([\w.+%-]+ ?@ ?[\w-]+(?:\.[\w-]+)+))".replace(
                        r"\w", "a-z0-9_"
                    ),
                )
            ],
        ),
        (
            f"[{_PROVINCES}]",
            [
                (
                    PiiKind.PLATE,
                    rf"(?=([{_PROVINCES}]{_GAP}[A-Z]{_GAP}(?:[A-Z0-9]{_GAP}){{4,5}}[A-Z0-9挂学警港澳])(?![A-Z0-9]))",
                ),
            ],
        ),
    ]
]
"""By the sign without which none of them is there: most texts show none, and one look for it is
cheaper than ten.
"""


def _pattern_spans(view: str) -> Iterator[_Span]:
    for sign, patterns in _PATTERNS:
        for kind, pattern in patterns if sign.search(view) else ():
            for found in pattern.finditer(view):
                if _is_plausible(kind, found[1]):
                    yield kind, found.start(1), found.end(1)


def _is_plausible(kind: PiiKind, found: str) -> bool:
    bare = "".join(char for char in found.upper() if char.isalnum())
    if kind is PiiKind.ID_CARD:
        return _is_id_card(bare)
    return kind is not PiiKind.BANK_CARD or _is_card_number(bare)


def _is_id_card(bare: str) -> bool:
    """GB 11643: 18 places with a check digit; the old form of 15 places has none, so its birthday
    must be a day.
    """
    if len(bare) == 15:
        return bare[0] in "12345678" and _is_day("19" + bare[6:12])
    weighted_sum = sum(
        int(digit) * weight for digit, weight in zip(bare, _ID_WEIGHTS, strict=False)
    )
    return bare[17] == "10X98765432"[weighted_sum % 11]


_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def _is_card_number(bare: str) -> bool:
    """Luhn's check (ISO/IEC 7812)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(bare)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _known_value_spans(view: str, known: Iterable[str]) -> Iterator[_Span]:
    """`known`: as `_normalize` writes them."""
    alphanumeric = ""
    for bare in known:
        alphanumeric = alphanumeric or "".join(filter(str.isalnum, view)).lower()
        # A single letter would be found everywhere; and a pattern of its own for each caller is
        # dear when nothing is there.
        if len(bare) >= 2 and bare.lower() in alphanumeric:
            for found in re.finditer(_GAP.join(map(re.escape, bare)), view, re.IGNORECASE):
                yield PiiKind.KNOWN, found.start(), found.end()


def _merge_spans(spans: Iterable[_Span]) -> list[_Span]:
    """Overlapping spans become one of the kind that weighs most, as long as all of them together."""
    merged: list[_Span] = []
    for kind, start, end in sorted(spans, key=lambda span: span[1:]):
        if merged and start < merged[-1][2]:
            last, from_, to = merged[-1]
            merged[-1] = (min(last, kind, key=_PRECEDENCE.__getitem__), from_, max(to, end))
        else:
            merged.append((kind, start, end))
    return merged
