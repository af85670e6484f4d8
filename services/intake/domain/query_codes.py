"""Complaint numbers and query codes, as complainants type them."""

import hashlib
import hmac
import re
import unicodedata
from typing import Final
from uuid import UUID

CODE_DIGITS: Final = 12
"""Long enough that no limit has to be shared by everybody who asks for one number: guesses of
others would use up such a limit and lock the complainant out.
"""
GROUP_DIGITS: Final = 4
_SEPARATORS: Final = re.compile(r"[\s\-－—]")
_NUMBER: Final = re.compile(r"ZT(\d{4})(\d{6,9})")
_CODE: Final = re.compile(rf"[0-9]{{{CODE_DIGITS}}}")


def parse_number(text: str) -> str:
    """Return the complaint number in a text, or "" if there is none.

    `ＺＴ2026 000123` and `zt2026000123` both read as `ZT2026-000123`.
    """
    found = _NUMBER.fullmatch(_compact(text).upper())
    return f"ZT{found[1]}-{found[2]}" if found else ""


def parse_query_code(text: str) -> str:
    """Return the query code in a text, or "". Blanks, dashes and full-width digits are accepted."""
    compact = _compact(text)
    return compact if _CODE.fullmatch(compact) else ""


def _compact(text: str) -> str:
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text))


def query_code(secret: bytes, complaint_id: UUID) -> str:
    """Return the query code (查询码) of a complaint: 12 digits.

    The code is derived from the complaint's id and a secret outside the database. No table, backup
    or stored response contains it, so a copy of the database cannot be used to query progress.
    """
    digest = hmac.digest(secret, complaint_id.bytes, hashlib.sha256)
    number = int.from_bytes(digest[:8], "big") % 10**CODE_DIGITS
    return str(number).zfill(CODE_DIGITS)


def code_matches(
    secret: bytes,
    complaint_id: UUID,
    given: str,
) -> bool:
    """Return whether `given` is the code of the complaint, in constant time."""
    return hmac.compare_digest(query_code(secret, complaint_id), given.zfill(CODE_DIGITS))


def format_query_code(code: str) -> str:
    """Return the code in groups, as it is read aloud: `482109375512` → `4821 0937 5512`."""
    groups = [code[start : start + GROUP_DIGITS] for start in range(0, len(code), GROUP_DIGITS)]
    return " ".join(groups)
