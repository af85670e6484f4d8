"""The text as the rules read it: half width, without invisible characters, with its offsets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.security.text_folding import (
    CHINESE_NUMERALS,
    LOOKALIKE_DIGITS,
    RANDOM_IDS,
    fold_visible,
    fold_width,
)

_FOLDS_ONE_TO_ONE: Final = re.compile(
    "[\t\n\r -~·×—–‘’“”…、。〇○\u3000-\u3029\u4e00-\u9fff\uff01-\uff5e]*"
)
_BLANK: Final = "□"
"""Stands for a character of a random id. It is no digit, letter or filler."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Two spellings of one text, of equal length. `offsets[i]` is where character i stands in it.

    `plain` keeps Chinese numerals, `spelt` has them and look-alike letters as digits.
    """

    plain: str
    spelt: str
    offsets: Sequence[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return start and end in the original text."""
        return self.offsets[start], self.offsets[end - 1] + 1


def read_text(text: str) -> Reading:
    """Return the text as the rules read it. The time is linear in its length."""
    folded, offsets = _fold(text)
    plain = RANDOM_IDS.sub(_blank_out, folded)
    spelt = LOOKALIKE_DIGITS.sub(_as_digits, plain.translate(CHINESE_NUMERALS))
    return Reading(plain, spelt, offsets)


def _fold(text: str) -> tuple[str, Sequence[int]]:
    if _FOLDS_ONE_TO_ONE.fullmatch(text):
        return fold_width(text), range(len(text))
    characters: list[str] = []
    offsets: list[int] = []
    for offset, char in enumerate(text):
        folded = fold_visible(char)
        characters.append(folded)
        offsets.extend([offset] * len(folded))
    return "".join(characters), offsets


def _blank_out(found: re.Match[str]) -> str:
    return _BLANK * len(found[0])


def _as_digits(found: re.Match[str]) -> str:
    return "".join("0" if char in "oOоОοΟ" else "1" for char in found[0])
