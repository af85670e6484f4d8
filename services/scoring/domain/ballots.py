"""A ballot as it is kept: four bytes an answer, in the order of the ballot. And what makes a ballot
one of this campaign.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import chain
from struct import Struct
from struct import error as StructError

from shared.appraisal.events import Rejected
from shared.appraisal.schemes import Scheme

Answer = tuple[int, int, int]
"""(unit_no, item_no, option_no)."""
UNITS_MAX = 65_535
NOT_OURS = "答卷含有本次评议没有的单位、题目或选项"


@lru_cache(maxsize=512)
def _layout(answers: int) -> Struct:
    return Struct("<" + "HBB" * answers)


def pack(answers: Collection[Answer]) -> bytes:
    """The answers as bytes: for each `unit_no` (2, little endian), `item_no` (1), `option_no` (1).

    Raises Rejected for a number that does not fit: no campaign has such a unit, question or option.
    """
    try:
        return _layout(len(answers)).pack(*chain.from_iterable(answers))
    except StructError as error:
        raise Rejected(NOT_OURS) from error


def packed_numbers(packed: bytes) -> tuple[int, ...]:
    """Each packed answer as one number: counting and comparing numbers is cheaper than counting
    triples.
    """
    return _numbers(len(packed) // 4).unpack(packed)


@lru_cache(maxsize=512)
def _numbers(answers: int) -> Struct:
    return Struct(f"<{answers}I")


def answer_of(number: int) -> Answer:
    """The answer that a packed number stands for."""
    return number & 0xFFFF, number >> 16 & 0xFF, number >> 24


def answers_twice(numbers: Collection[int]) -> bool:
    """Is a question about a unit answered more than once? `numbers`: the packed answers of one
    ballot.
    """
    return len({number & 0xFFFFFF for number in numbers}) != len(numbers)


def check_answers(
    triples: Iterable[Answer],
    *,
    scheme: Scheme,
    instrument: str,
    group: str,
    units: Collection[int],
) -> None:
    """Refuse answers that this campaign does not ask for. `triples`: the distinct ones of any
    number of ballots.

    Raises Rejected when the questionnaire, the group, a unit, a question or an option is not the
    campaign's.
    """
    questionnaire = next((one for one in scheme.questionnaires if one.key == instrument), None)
    if questionnaire is None or questionnaire.group(group) is None:
        raise Rejected("答卷的问卷或评议主体不属于本次评议")
    items, options = (
        {item.no for item in questionnaire.items},
        {option.no for option in scheme.options},
    )
    for unit_no, item_no, option_no in triples:
        if unit_no not in units or item_no not in items or option_no not in options:
            raise Rejected(NOT_OURS)
