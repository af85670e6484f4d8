"""Questionnaire codes, the ids derived from them, and valid answers.

A ballot's id is derived from its code, so a second use of the code collides with the first ballot.
Nothing is stored beside the code, and the database alone does not lead from a code to its ballot:
that takes the code itself, and only its hash is stored.
"""

import hashlib
import secrets
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from shared.appraisal.ballots import Answer
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Questionnaire, Scheme
from shared.appraisal.schemes.questions import AnyQuestion

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, without characters that look alike."""
ONE_USE_LENGTH: Final = 26
"""130 bits: a code cannot be guessed."""
PLACE_LENGTH: Final = 8
"""Short enough to type from a poster. Many devices share it, so its secrecy protects nothing."""
ANSWERS_MAX: Final = 20_000
_LOOK_ALIKE: Final = str.maketrans({"o": "0", "i": "1", "l": "1"})


def new_code(length: int) -> str:
    """Return a random code."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def read_token(text: str) -> str:
    """Return the code that was typed, in its canonical form, or "" if it cannot be a code."""
    half_width = unicodedata.normalize("NFKC", text)
    bare = "".join(half_width.split()).replace("-", "").lower().translate(_LOOK_ALIKE)
    has_code_length = len(bare) in (ONE_USE_LENGTH, PLACE_LENGTH)
    return bare if has_code_length and set(bare) <= set(ALPHABET) else ""


def is_place_code(token: str) -> bool:
    """Return whether the code is displayed at a place and shared by its visitors."""
    return len(token) == PLACE_LENGTH


def token_hash(token: str) -> bytes:
    """Return what is stored of a code."""
    return hashlib.sha256(f"fengping/token/{token}".encode()).digest()


def ballot_id(token: str, device: str = "") -> UUID:
    """Return the id of the only ballot of this code (on this device, for a place's code)."""
    return hashed_id(f"fengping/ballot/{token}/{device}")


def hashed_id(text: str) -> UUID:
    """Return an id (UUID version 8) derived from a text, which it does not disclose."""
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def receipt_of(token: str, key: str) -> bytes:
    """Return the receipt by which a retry of the same submission is recognised."""
    return hashlib.sha256(f"fengping/receipt/{token}/{key}".encode()).digest()[:16]


def check_answers(
    scheme: Scheme,
    instrument: Questionnaire,
    unit_nos: Collection[int],
    answers: Sequence[Answer],
) -> None:
    """Raise Rejected (422) unless every answer belongs to this questionnaire and campaign, and
    every question about a unit is answered as its kind asks.
    """
    _check_count(instrument, len(unit_nos), len(answers))
    offered = scheme.offered_choices[instrument.key]
    for unit_no, item_no, option_no in answers:
        if unit_no not in unit_nos:
            raise _invalid(f"本次评议没有编号为 {unit_no} 的单位")
        if item_no not in offered:
            raise _invalid(f"问卷没有第 {item_no} 题")
        if option_no not in offered[item_no]:
            raise _invalid(f"没有编号为 {option_no} 的选项")
    _check_repeated(scheme, instrument, answers)


def _check_count(
    instrument: Questionnaire,
    units: int,
    answers: int,
) -> None:
    if not answers:
        raise _invalid("还没有作答，请至少回答一题")
    answers_max = units * sum(item.answers_max for item in instrument.items)
    if answers > min(ANSWERS_MAX, answers_max):
        raise _invalid("答案比题目多，请重新填写")


def _check_repeated(
    scheme: Scheme,
    instrument: Questionnaire,
    answers: Sequence[Answer],
) -> None:
    several = instrument.items_with_several_answers
    single = [answer[:2] for answer in answers if answer[1] not in several]
    if len(set(single)) < len(single):
        raise _invalid("同一单位的同一题只能有一个答案")
    if len(single) == len(answers):
        return
    for item in instrument.items:
        if item.several:
            _check_several(scheme, item, answers)


def _check_several(
    scheme: Scheme,
    item: AnyQuestion,
    answers: Sequence[Answer],
) -> None:
    for numbers in _numbers_by_unit(answers, item.no):
        item.check(numbers, scheme)


def _numbers_by_unit(answers: Sequence[Answer], asked_no: int) -> Iterable[list[int]]:
    by_unit: dict[int, list[int]] = {}
    for unit_no, item_no, option_no in answers:
        if item_no == asked_no:
            by_unit.setdefault(unit_no, []).append(option_no)
    return by_unit.values()


def _invalid(sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field="answers")


def hour_of(instant: datetime) -> datetime:
    """Return the instant cut to the hour, the only time that is stored of a ballot."""
    return instant.replace(minute=0, second=0, microsecond=0)


def source_of(network: str, agent: str) -> str:
    """Return the source of a request: its network and browser.

    It is stored as a keyed hash only, and for a short time (`store.cast_counters`).
    """
    return f"{network} {agent}"
