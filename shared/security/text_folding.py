"""Text folding."""

from __future__ import annotations

import re
import unicodedata
from typing import Final


def _normalize(text: str) -> str:
    kept = "".join(filter(str.isalnum, _fold_width(text))).casefold()
    country = _MAINLAND.fullmatch(kept)
    return country[1] if country else kept


_MAINLAND: Final = re.compile(r"(?:00)?86(1[3-9]\d{9})")


# Random ids hold any digits and say nothing about anybody.
_RANDOM_IDS: Final = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{32,})(?![0-9a-z])",
    re.IGNORECASE,
)
_NUMERALS: Final = str.maketrans(
    "〇○零幺一二三四五六七八九壹贰叁肆伍陆柒捌玖", "0001" + "123456789" * 2
)


def _fold_width(text: str) -> str:
    """The same text, letter for letter (positions stay), in half width and with the digits 0 to 9."""
    return text.translate(_FOLDING)


class _Folding(dict[int, str]):
    """Letter → the same folded, found out once for each letter."""

    def __missing__(self, code: int) -> str:
        folded = _fold_char(chr(code))
        if (
            code < 0x10000
        ):  # the other planes are large and rare: a stranger must not fill our memory with them
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
