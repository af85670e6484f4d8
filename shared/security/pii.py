"""Detection of personal data in free text."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from shared.security.text_folding import _NUMERALS, _OPAQUE, _bare, _folded

# ── the guard on texts ────────────────────────────────────────────────────────────────────────────


class Personal(StrEnum):
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
    Personal.KNOWN: "来件人信息",
    Personal.ID_CARD: "身份证号",
    Personal.BANK_CARD: "银行卡号",
    Personal.MOBILE: "手机号码",
    Personal.LANDLINE: "固定电话",
    Personal.EMAIL: "电子邮箱",
    Personal.PLATE: "车牌号",
}
assert _KIND_LABELS.keys() == set(Personal), "every kind has a name on pages"
_WEIGHT: Final = {kind: weight for weight, kind in enumerate(Personal)}


@dataclass(frozen=True, slots=True)
class Hit:
    """Personal data at `text[start:end]` of the text that was looked at. Never log `text`."""

    kind: Personal
    start: int
    end: int
    text: str = field(repr=False)


def personal_data_in(text: str, known: Iterable[str] = ()) -> list[Hit]:
    """All personal data in a text, in order, without overlaps; [] means that it may go on.

    `known`: what is known of the person behind this very case (name, numbers, address), found in
    any spelling. Numbers are found in any width or script, in Chinese numerals, and with blanks,
    dashes, dots or brackets inside.
    """
    arabic = _OPAQUE.sub(lambda found: "x" * len(found[0]), _folded(text))
    views = {arabic, arabic.translate(_NUMERALS)}
    bare = [_bare(text) for text in known]
    spans = {span for view in views for span in (*_patterned(view), *_known(view, bare))}
    return [Hit(kind, start, end, text[start:end]) for kind, start, end in _merged(spans)]


def mask_personal_data(text: str, known: Iterable[str] = ()) -> str:
    """The text with every hit replaced by its kind, as `［手机号码］`; not one digit of it is left
    for who can guess.
    """
    parts, done = [], 0
    for hit in personal_data_in(text, known):
        parts += [text[done : hit.start], f"［{hit.kind.label}］"]
        done = hit.end
    return "".join([*parts, text[done:]])


_Span = tuple[Personal, int, int]

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


_LONG: Final = _digits(*[_D] * 10)
"""What every number below has: ten digits in a row."""
_PATTERNS: Final = [
    (re.compile(sign), [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in patterns])
    for sign, patterns in [
        (
            _LONG,
            [
                (Personal.ID_CARD, _number(_digits(*[_D] * 17, "[0-9X]"))),
                (Personal.ID_CARD, _number(_digits(*[_D] * 15))),
                *(
                    (Personal.BANK_CARD, _number(_digits("[34569]", *[_D] * (length - 1))))
                    for length in range(16, 20)
                ),
                # Before it a country code, a trunk zero or a dialling prefix may stand; two numbers
                # may stand without a blank.
                (
                    Personal.MOBILE,
                    _number(rf"(?:(?:(?:00)?86|0|17951|12593){_GAP})?(?:{_MOBILE})+"),
                ),
                (
                    Personal.LANDLINE,
                    _number(rf"(?:(?:00)?86{_GAP}0?|0){_GAP}{_AREA}{_GAP}{_SUBSCRIBER}"),
                ),
            ],
        ),
        (
            "@",
            [
                (
                    Personal.EMAIL,
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
                    Personal.PLATE,
                    rf"(?=([{_PROVINCES}]{_GAP}[A-Z]{_GAP}(?:[A-Z0-9]{_GAP}){{4,5}}[A-Z0-9挂学警港澳])(?![A-Z0-9]))",
                ),
            ],
        ),
    ]
]
"""By the sign without which none of them is there: most texts show none, and one look for it is
cheaper than ten.
"""


def _patterned(view: str) -> Iterator[_Span]:
    for sign, patterns in _PATTERNS:
        for kind, pattern in patterns if sign.search(view) else ():
            for found in pattern.finditer(view):
                if _plausible(kind, found[1]):
                    yield kind, found.start(1), found.end(1)


def _plausible(kind: Personal, found: str) -> bool:
    bare = "".join(letter for letter in found.upper() if letter.isalnum())
    if kind is Personal.ID_CARD:
        return _is_id_card(bare)
    return kind is not Personal.BANK_CARD or _is_card_number(bare)


def _is_id_card(bare: str) -> bool:
    """GB 11643: 18 places with a check digit; the old form of 15 places has none, so its birthday
    must be a day.
    """
    if len(bare) == 15:
        return bare[0] in "12345678" and _is_day("19" + bare[6:12])
    weighed = sum(int(digit) * weight for digit, weight in zip(bare, _ID_WEIGHTS, strict=False))
    return bare[17] == "10X98765432"[weighed % 11]


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


def _known(view: str, known: Iterable[str]) -> Iterator[_Span]:
    """`known`: as `_bare` writes them."""
    squeezed = ""
    for bare in known:
        squeezed = squeezed or "".join(filter(str.isalnum, view)).lower()
        # A single letter would be found everywhere; and a pattern of its own for each caller is
        # dear when nothing is there.
        if len(bare) >= 2 and bare.lower() in squeezed:
            for found in re.finditer(_GAP.join(map(re.escape, bare)), view, re.IGNORECASE):
                yield Personal.KNOWN, found.start(), found.end()


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Overlapping spans become one of the kind that weighs most, as long as all of them together."""
    merged: list[_Span] = []
    for kind, start, end in sorted(spans, key=lambda span: span[1:]):
        if merged and start < merged[-1][2]:
            last, from_, to = merged[-1]
            merged[-1] = (min(last, kind, key=_WEIGHT.__getitem__), from_, max(to, end))
        else:
            merged.append((kind, start, end))
    return merged
