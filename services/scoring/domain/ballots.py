"""A ballot as it is kept: four bytes an answer, in the order of the ballot. And what makes a ballot one of this campaign."""

from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import chain
from struct import Struct

from shared.events import Refused
from shared.schemes import Scheme

Answer = tuple[int, int, int]
"""(unit_no, item_no, option_no)."""
UNITS_MAX = 65_535


@lru_cache(maxsize=512)
def _layout(answers: int) -> Struct:
    return Struct("<" + "HBB" * answers)


def pack(answers: Collection[Answer]) -> bytes:
    """The answers as bytes: for each `unit_no` (2, little endian), `item_no` (1), `option_no` (1).

    Raises struct.error for a number that does not fit; `check_answers` refuses such ballots before.
    """
    return _layout(len(answers)).pack(*chain.from_iterable(answers))


def answers_twice(answers: Collection[Answer]) -> bool:
    """Is a question about a unit answered more than once?"""
    return len({(unit_no, item_no) for unit_no, item_no, _ in answers}) != len(answers)


def check_answers(triples: Iterable[Answer], *, scheme: Scheme, instrument: str, group: str, units: Collection[int]) -> None:
    """Refuse answers that this campaign does not ask for. `triples`: the distinct ones of any number of ballots.

    Raises Refused when the questionnaire, the group, a unit, a question or an option is not the campaign's.
    """
    ballot = next((one for one in scheme.ballots if one.key == instrument), None)
    if ballot is None or ballot.group(group) is None:
        raise Refused("答卷的问卷或评议主体不属于本次评议")
    items, options = {item.no for item in ballot.items}, {option.no for option in scheme.options}
    for unit_no, item_no, option_no in triples:
        if unit_no not in units or item_no not in items or option_no not in options:
            raise Refused("答卷含有本次评议没有的单位、题目或选项")
