"""What a complaint must have, how its number is read, and the code by which its complainant asks
about it.
"""

import hashlib
import hmac
import re
import unicodedata
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency

COMPLAINT_TEXT_MIN: Final = 10
COMPLAINT_TEXT_MAX: Final = 20_000
REDACTED_SUMMARY_MAX: Final = 5_000
REASON_MIN: Final = 5
"""Characters of the reason for opening an identity or marking a complaint urgent."""
CODE_DIGITS: Final = 8
SIMILAR_DAYS: Final = 7
SIMILAR_LEAST: Final = 0.3
"""Share of common three-letter sequences from which two redacted summaries may be about the same
matter.
"""
OWN_STATEMENT_READABLE: Final = timedelta(hours=24)
"""An operator may read again for so long what they wrote down themselves."""
OWN_EDIT: Final = timedelta(minutes=10)
"""So long the desk shows number and code of what was just registered, to be read to the complainant."""
RECEIVED_SLACK: Final = timedelta(minutes=5)
"""A complainant's clock may be this much ahead of ours."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint as it comes in, whoever brings it. `redacted_summary` None: one is drafted from
    `complaint_text`.

    `identity` is real_name, confidential or anonymous. `received_at` None: now; only an office or
    an import may say otherwise.
    """

    campaign_id: str
    channel: ComplaintChannel
    kind: ComplaintKind
    urgency: Urgency = Urgency.NORMAL
    urgency_reason: str = ""
    unit_id: str | None = None
    problem_item: str | None = None
    complaint_text: str
    redacted_summary: str | None = None
    identity: str = "confidential"
    name: str = ""
    phone: str = ""
    address: str = ""
    place: str = ""
    occurred: str = ""
    received_at: datetime | None = None

    @property
    def known(self) -> tuple[str, ...]:
        """What must not stand in the redacted summary, in any spelling."""
        return tuple(text for text in (self.name, self.phone, self.address) if text)

    @property
    def who(self) -> dict[str, str]:
        """What the vault keeps of the complainant: nothing of one who wants to stay unknown."""
        if self.identity == "anonymous":
            return {}
        given = {"name": self.name, "phone": self.phone, "address": self.address}
        return {field: text for field, text in given.items() if text}

    @property
    def statement(self) -> dict[str, str]:
        """What the vault keeps of the complainant's own words."""
        given = {
            "complaint_text": self.complaint_text,
            "place": self.place,
            "occurred": self.occurred,
        }
        return {field: text for field, text in given.items() if text}


def check_report(report: Report, now: datetime) -> None:
    """Raise Rejected (422, with the field) when something is missing or cannot be."""
    if len(report.complaint_text.strip()) < COMPLAINT_TEXT_MIN:
        raise Rejected(
            f"诉求原文至少写 {COMPLAINT_TEXT_MIN} 个字，请写清楚发生了什么",
            status=422,
            field="complaint_text",
        )
    if report.kind is ComplaintKind.FINDING:
        raise Rejected("巡查发现由检查填报产生，不能作为诉求登记", status=422, field="kind")
    if report.identity == "real_name" and not report.name.strip():
        raise Rejected("选择实名时，请填写来件人姓名", status=422, field="name")
    if report.identity == "anonymous" and report.name.strip():
        raise Rejected("选择匿名时，请不要填写姓名", status=422, field="name")
    if report.phone and not is_phone(report.phone):
        raise Rejected(
            "电话号码不正确，请填写 11 位手机号或带区号的固定电话", status=422, field="phone"
        )
    if report.received_at is not None and report.received_at > now + RECEIVED_SLACK:
        raise Rejected("收到时间不能晚于现在", status=422, field="received_at")


def is_phone(text: str) -> bool:
    """A mainland mobile, a landline with its area code, or a service number such as 12345."""
    digits = re.sub(r"[\s()（）+-]", "", unicodedata.normalize("NFKC", text))
    digits = re.sub(r"^(?:00)?86(?=1\d{10}$)", "", digits)
    return re.fullmatch(r"1[3-9]\d{9}|0\d{9,11}|[2-8]\d{6,7}|1\d{4,5}", digits) is not None


def read_number(text: str) -> str:
    """The number of a complaint as people type it: `ＺＴ2026 000123`, `zt2026000123` →
    `ZT2026-000123`. "" when it is none.
    """
    bare = re.sub(r"[\s\-－—]", "", unicodedata.normalize("NFKC", text)).upper()
    found = re.fullmatch(r"ZT(\d{4})(\d{6,9})", bare)
    return f"ZT{found[1]}-{found[2]}" if found else ""


def read_code(text: str) -> str:
    """The query code as people type it: blanks, dashes and full-width digits are taken. "" when it
    is none.
    """
    bare = re.sub(r"[\s\-－—]", "", unicodedata.normalize("NFKC", text))
    return bare if re.fullmatch(rf"[0-9]{{{CODE_DIGITS}}}", bare) else ""


def query_code(secret: bytes, complaint_id: UUID) -> str:
    """The 8-digit query code (查询码) of a complaint.

    It follows from the complaint's id and a secret outside the database, so that no table, no
    backup and no stored answer holds it: a copy of the database asks no questions in anybody's
    name.
    """
    digest = hmac.digest(secret, complaint_id.bytes, hashlib.sha256)
    return str(int.from_bytes(digest[:8], "big") % 10**CODE_DIGITS).zfill(CODE_DIGITS)


def code_matches(secret: bytes, complaint_id: UUID, given: str) -> bool:
    """Is this the complaint's code? Takes the same time whatever the answer."""
    return hmac.compare_digest(query_code(secret, complaint_id), given.zfill(CODE_DIGITS))


def spoken(code: str) -> str:
    """`48210937` → `4821 0937`, as it is read to the complainant."""
    return f"{code[:4]} {code[4:]}"
