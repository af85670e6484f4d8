"""Folding of text: width, digits of any script, Chinese numerals."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

RANDOM_IDS: Final = re.compile(
    r"(?<![0-9a-z])"
    r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{32,})"
    r"(?![0-9a-z])",
    re.IGNORECASE,
)
"""UUIDs and hashes: they contain any digits and identify nobody."""
CHINESE_NUMERALS: Final = str.maketrans(
    "〇○零幺一二三四五六七八九壹贰叁肆伍陆柒捌玖", "0001" + "123456789" * 2
)
_MAINLAND_MOBILE: Final = re.compile(r"(?:00)?86(1[3-9]\d{9})")


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
