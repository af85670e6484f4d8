"""What a complaint consists of, and the rules for registering it."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from services.intake.domain.identities import Identity
from services.intake.domain.query_codes import parse_number
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Urgency
from shared.appraisal.schemes import CaseRules

COMPLAINT_TEXT_MIN: Final = 10
COMPLAINT_TEXT_MAX: Final = 20_000
REDACTED_SUMMARY_MAX: Final = 5_000
REASON_MIN: Final = 5
"""Characters of the reason for revealing an identity or for marking a complaint urgent."""
SIMILAR_DAYS: Final = 7
SIMILARITY_MIN: Final = 0.3
"""Share of common trigrams from which two summaries may describe the same matter."""
OWN_TEXT_READABLE: Final = timedelta(hours=24)
"""An operator may read the complaint text of their own tickets for this long."""
OWN_CODE_SHOWN: Final = timedelta(minutes=10)
"""The desk shows number and query code of a ticket for this long after registration."""
CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
"""A client's clock may be ahead of the server's by this much."""
READS_ALL: Final = frozenset({Role.REVIEWER, Role.SUPERVISOR})
"""Roles that read every complaint; an operator reads their own."""
MAY_REVEAL: Final = frozenset({Role.REVIEWER, Role.SUPERVISOR})
"""Roles that read the complaint text at any time and may reveal the complainant's identity."""
COUNTS_REPEATED_REPORTS: Final = READS_ALL
"""Roles that may know that a 举报 was made again, or which one it repeats."""
MAY_BACKDATE: Final = frozenset({Role.OFFICE, Role.ADMIN})
WITHHOLD_MAX: Final = 500
RETALIATION_REASON: Final = "反映因提出诉求受到打击报复"
WITHHELD_PHRASES_MAX: Final = 50
_PHRASE_END: Final = re.compile(r"[\s，,。；;、！!？?]+")
_PHONE: Final = re.compile(r"1[3-9]\d{9}|0\d{9,11}|[2-8]\d{6,7}|1\d{4,5}")


class NewComplaint(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint as received, before registration.

    `redacted_summary` None: it is drafted from `complaint_text`. `received_at` None: now; only the
    office and imports may set it. `occurred` is the time as the complainant said it.
    `retaliation_for` is the number of an earlier complaint because of which the complainant says to
    suffer retaliation (打击报复); a reviewer confirms the link. `withhold` is
    what the complainant asked not to pass on; only reviewers and supervisors read it.
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
    identity: Identity = Identity.CONFIDENTIAL
    name: str = ""
    phone: str = ""
    address: str = ""
    place: str = ""
    occurred: str = ""
    withhold: str = ""
    retaliation_for: str = ""
    received_at: datetime | None = None

    @property
    def known_values(self) -> tuple[str, ...]:
        """What the redacted summary must not contain, in any spelling."""
        own = tuple(text for text in (self.name, self.phone, self.address) if text)
        return own + withheld_phrases(self.withhold)

    @property
    def vault_parts(self) -> dict[str, dict[str, str]]:
        """The fields to encrypt, by part of the vault; empty parts are left out."""
        parts = {"identity": self.complainant, "statement": self.statement}
        return {part: fields for part, fields in parts.items() if fields}

    @property
    def complainant(self) -> dict[str, str]:
        """Name and contact details for the vault: {} for an anonymous complaint."""
        if self.identity is Identity.ANONYMOUS:
            return {}
        return _non_empty({"name": self.name, "phone": self.phone, "address": self.address})

    @property
    def statement(self) -> dict[str, str]:
        """The complainant's own words for the vault."""
        return _non_empty(
            {
                "complaint_text": self.complaint_text,
                "place": self.place,
                "occurred": self.occurred,
                "withhold": self.withhold,
                "retaliation_for": self.retaliation_for,
            }
        )


def with_priority(complaint: NewComplaint) -> NewComplaint:
    """Return the complaint as it is registered: a report of retaliation is at least urgent."""
    if not complaint.retaliation_for or complaint.urgency is not Urgency.NORMAL:
        return complaint
    return msgspec.structs.replace(
        complaint, urgency=Urgency.URGENT, urgency_reason=RETALIATION_REASON
    )


def _non_empty(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in fields.items() if text}


def named_accused(complaint: NewComplaint, rules: CaseRules) -> tuple[str, ...]:
    """Return whom a new complaint accuses before a person looked at it: the unit that it names."""
    if complaint.unit_id is None or not rules.excludes_accused(complaint.kind):
        return ()
    return (complaint.unit_id,)


def withheld_phrases(text: str) -> tuple[str, ...]:
    """Return the phrases of what a complainant asked not to pass on; they are marked as PII."""
    phrases = [phrase for phrase in _PHRASE_END.split(text) if len(phrase) > 1]
    return tuple(dict.fromkeys(phrases))[:WITHHELD_PHRASES_MAX]


def check_new_complaint(complaint: NewComplaint, now: datetime) -> None:
    """Raise Rejected (422, with the field) if the complaint is incomplete or inconsistent."""
    _check_complaint_text(complaint.complaint_text)
    if complaint.kind is ComplaintKind.FINDING:
        raise _invalid("kind", "巡查发现由检查填报产生，不能作为诉求登记")
    _check_complainant(complaint)
    if complaint.retaliation_for and not parse_number(complaint.retaliation_for):
        raise _invalid("retaliation_for", "原受理编号不正确，格式如 ZT2026-000123")
    if complaint.received_at is not None and complaint.received_at > now + CLOCK_SKEW_MAX:
        raise _invalid("received_at", "收到时间不能晚于现在")


def _check_complaint_text(text: str) -> None:
    if len(text.strip()) < COMPLAINT_TEXT_MIN:
        sentence = f"诉求原文至少写 {COMPLAINT_TEXT_MIN} 个字，请写清楚发生了什么"
        raise _invalid("complaint_text", sentence)


def _check_complainant(complaint: NewComplaint) -> None:
    has_name = bool(complaint.name.strip())
    if complaint.identity is Identity.REAL_NAME and not has_name:
        raise _invalid("name", "选择实名时，请填写来件人姓名")
    if complaint.identity is Identity.ANONYMOUS and has_name:
        raise _invalid("name", "选择匿名时，请不要填写姓名")
    if complaint.phone:
        check_phone(complaint.phone)


def check_phone(text: str) -> None:
    """Raise Rejected (422) unless `text` is a phone number."""
    if not is_phone(text):
        raise _invalid("phone", "电话号码不正确，请填写 11 位手机号或带区号的固定电话")


def _invalid(field: str, sentence: str) -> Rejected:
    return Rejected(sentence, status=422, field=field)


def is_phone(text: str) -> bool:
    """Return whether `text` is a mainland mobile, a landline or a service number such as 12345."""
    return _PHONE.fullmatch(_without_country_code(text)) is not None


def _without_country_code(text: str) -> str:
    digits = re.sub(r"[\s()（）+-]", "", unicodedata.normalize("NFKC", text))
    return re.sub(r"^(?:00)?86(?=1\d{10}$)", "", digits)
