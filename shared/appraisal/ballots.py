"""The binary form of a ballot's answers: four bytes for each answer, in the order given.

Intake stores ballots in this form and scoring counts them in it, without decoding them.
"""

from collections.abc import Collection, Container
from functools import lru_cache
from itertools import chain
from struct import Struct
from struct import error as StructError
from typing import Final

from shared.appraisal.errors import Rejected

Answer = tuple[int, int, int]
"""(unit_no, item_no, option_no)."""
ANSWER_BYTES: Final = 4
FOREIGN_ANSWER: Final = "答卷含有本次评议没有的单位、题目或选项"


@lru_cache(maxsize=512)
def _layout(answer_count: int) -> Struct:
    return Struct("<" + "HBB" * answer_count)


def pack(answers: Collection[Answer]) -> bytes:
    """Encode each answer as `unit_no` (2 bytes, little endian), `item_no` (1), `option_no` (1).

    Raises Rejected for a number that does not fit: no campaign has such a unit, item or option.
    """
    try:
        return _layout(len(answers)).pack(*chain.from_iterable(answers))
    except StructError as error:
        raise Rejected(FOREIGN_ANSWER) from error


def unpack(packed: bytes) -> list[Answer]:
    """Return the answers that `pack` encoded, in their order."""
    return [answer_of(number) for number in packed_numbers(packed)]


def packed_numbers(packed: bytes) -> tuple[int, ...]:
    """Return each answer as one integer, which is cheaper to count and compare than a triple."""
    return _numbers(len(packed) // ANSWER_BYTES).unpack(packed)


@lru_cache(maxsize=512)
def _numbers(answer_count: int) -> Struct:
    return Struct(f"<{answer_count}I")


def answer_of(number: int) -> Answer:
    """Return the answer that a packed number stands for."""
    return number & 0xFFFF, number >> 16 & 0xFF, number >> 24


def has_duplicate_answers(
    numbers: Collection[int], several_answers: Container[int] = frozenset()
) -> bool:
    """Return whether a ballot (its packed numbers) answers an item about a unit more than once.

    Items in `several_answers` may have several answers, each of them once.
    """
    if len({number & 0xFFFFFF for number in numbers}) == len(numbers):
        return False
    answers = [answer_of(number) for number in numbers]
    single = [answer[:2] for answer in answers if answer[1] not in several_answers]
    return len(set(answers)) < len(answers) or len(set(single)) < len(single)
