"""Folding of text: width, digits of any script, Chinese numerals, invisible characters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

RANDOM_IDS: Final = re.compile(
    r"(?<![0-9a-z])"
    r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])(?![0-9a-f]*(?<!\d)1[3-9]\d{9}(?!\d))"
    r"[0-9a-f]{32,128})"
    r"(?![0-9a-z])",
    re.IGNORECASE,
)
"""UUIDs and hashes: they contain any digits and identify nobody. A long token in which a mobile
number stands between letters is no hash.
"""
CHINESE_NUMERALS: Final = str.maketrans(
    "〇○零洞幺一二两三四五六七拐八九勾壹贰叁肆伍陆柒捌玖貳參陸弌弍弎",
    "0000" + "1122345677899" + "123456789" + "236" + "123",
)
LOOKALIKE_DIGITS: Final = re.compile(
    r"(?<![A-Za-z])[oOоОοΟlI|іІ]{1,11}(?![A-Za-z])|(?<=\d)[oOоОοΟlI|іІ]{1,11}"
    r"|[oOоОοΟlI|іІ]{1,11}(?=\d)"
)
"""Letters that stand for 0 or 1: beside a digit, or with no other letter beside them."""
_MAINLAND_MOBILE: Final = re.compile(r"(?:00)?86(1[3-9]\d{9})")
_INVISIBLE_CATEGORIES: Final = frozenset(["Cf", "Mn", "Me"])
_INVISIBLE_LETTERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")
"""Characters that show nothing although Unicode calls them letters or symbols."""


def normalize_text(text: str) -> str:
    """Return letters and digits only, folded, in lower case; a mobile number without +86."""
    kept = "".join(filter(str.isalnum, fold_width(text))).casefold()
    mobile = _MAINLAND_MOBILE.fullmatch(kept)
    return mobile[1] if mobile else kept


def fold_width(text: str) -> str:
    """Return the text in half width with ASCII digits. Every character keeps its position."""
    return text.translate(_FOLDING)


class _Folding(dict[int, str]):
    """Maps a code point to its folded character, computed once."""

    def __missing__(self, code: int) -> str:
        folded = _fold_char(chr(code))
        # The other planes are large and rare: input from outside must not fill the memory.
        if code < 0x10000:
            self[code] = folded
        return folded


_FOLDING: Final = _Folding()


def _fold_char(char: str) -> str:
    if char.isascii():
        return char
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 else char


@lru_cache(maxsize=4096)
def fold_visible(char: str) -> str:
    """Return the folded character: "" if it shows nothing, several for `⑬` or `㈠`.

    Zero-width characters, direction marks and combining marks show nothing.
    """
    if unicodedata.category(char) in _INVISIBLE_CATEGORIES or char in _INVISIBLE_LETTERS:
        return ""
    folded = _fold_char(char)
    return folded if folded != char else unicodedata.normalize("NFKC", char)
