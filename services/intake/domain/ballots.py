"""Codes of questionnaires, what a valid ballot is, and how it is packed.

The id of a ballot follows from its code, and a second use of the code meets the first one's id. So
nothing has to be written beside the code, and nobody who holds the database can go from a code to
its ballot: for that the code itself is needed, and only its hash is kept.
"""

import hashlib
import unicodedata
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from shared.appraisal.ballots import Answer
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Questionnaire, Scheme

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's 32 signs: none can be taken for another."""
ONE_USE_SIGNS: Final = 26
"""130 bits: 128 at least, so that none can be guessed."""
PLACE_SIGNS: Final = 8
"""Short enough to be typed from a poster; many devices use it, so that its secrecy protects
nothing.
"""
ANSWERS_MAX: Final = 20_000
_ALIKE: Final = str.maketrans({"o": "0", "i": "1", "l": "1"})


def read_token(text: str) -> str:
    """The code as it was made, however it was typed. "" when it cannot be one."""
    bare = (
        "".join(unicodedata.normalize("NFKC", text).split())
        .replace("-", "")
        .lower()
        .translate(_ALIKE)
    )
    fits = len(bare) in (ONE_USE_SIGNS, PLACE_SIGNS) and all(sign in ALPHABET for sign in bare)
    return bare if fits else ""


def token_hash(token: str) -> bytes:
    """What is stored of a code."""
    return hashlib.sha256(f"fengping/token/{token}".encode()).digest()


def ballot_id(token: str, device: str = "") -> UUID:
    """The id of the only ballot that this code (on this device, for a code of a place) can have."""
    return hashed_id(f"fengping/ballot/{token}/{device}")


def hashed_id(text: str) -> UUID:
    """An id (UUID version 8) that follows from a text and does not lead back to it."""
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def receipt_of(token: str, key: str) -> bytes:
    """By which the same sending is recognised when it comes again after a lost answer."""
    return hashlib.sha256(f"fengping/receipt/{token}/{key}".encode()).digest()[:16]


def check_answers(
    scheme: Scheme, instrument: Questionnaire, unit_nos: Collection[int], answers: Sequence[Answer]
) -> None:
    """Raise Rejected (422) unless every answer is of this questionnaire, about a unit of the
    campaign, and given once.
    """
    if not answers:
        raise Rejected("还没有作答，请至少回答一题", status=422, field="answers")
    if len(answers) > min(ANSWERS_MAX, len(unit_nos) * len(instrument.items)):
        raise Rejected("答案比题目多，请重新填写", status=422, field="answers")
    items, options = (
        {item.no for item in instrument.items},
        {option.no for option in scheme.options},
    )
    for unit_no, item_no, option_no in answers:
        if unit_no not in unit_nos:
            raise Rejected(f"本次评议没有编号为 {unit_no} 的单位", status=422, field="answers")
        if item_no not in items:
            raise Rejected(f"问卷没有第 {item_no} 题", status=422, field="answers")
        if option_no not in options:
            raise Rejected(f"没有编号为 {option_no} 的选项", status=422, field="answers")
    if len({answer[:2] for answer in answers}) < len(answers):
        raise Rejected("同一单位的同一题只能有一个答案", status=422, field="answers")


def hour_of(instant: datetime) -> datetime:
    """The instant cut to the hour: all that is ever said about when a ballot was cast."""
    return instant.replace(minute=0, second=0, microsecond=0)
