"""What the detection finds: kinds, certainty, and hits with offsets of the searched text."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class PiiKind(StrEnum):
    """Kinds of personal data, the most sensitive first."""

    UNCHECKED = "unchecked"
    KNOWN = "known"
    ID_CARD = "id_card"
    BANK_CARD = "bank_card"
    PASSPORT = "passport"
    PERMIT = "permit"
    MOBILE = "mobile"
    OVERSEAS_PHONE = "overseas_phone"
    LANDLINE = "landline"
    SERVICE_PHONE = "service_phone"
    EXTENSION = "extension"
    EMAIL = "email"
    ACCOUNT = "account"
    LINK = "link"
    NAME = "name"
    SCHOOL_CLASS = "school_class"
    ADDRESS = "address"
    PLATE = "plate"
    HIDDEN = "hidden"

    @property
    def label(self) -> str:
        """The name of the kind on pages."""
        return _KIND_LABELS[self]


_KIND_LABELS: Final = {
    PiiKind.UNCHECKED: "未能检查的内容",
    PiiKind.KNOWN: "来件人信息",
    PiiKind.ID_CARD: "身份证号",
    PiiKind.BANK_CARD: "银行卡号",
    PiiKind.PASSPORT: "护照号码",
    PiiKind.PERMIT: "证件号码",
    PiiKind.MOBILE: "手机号码",
    PiiKind.OVERSEAS_PHONE: "港澳台及境外电话",
    PiiKind.LANDLINE: "固定电话",
    PiiKind.SERVICE_PHONE: "400/800电话",
    PiiKind.EXTENSION: "分机号",
    PiiKind.EMAIL: "电子邮箱",
    PiiKind.ACCOUNT: "网络账号",
    PiiKind.LINK: "网址",
    PiiKind.NAME: "姓名",
    PiiKind.SCHOOL_CLASS: "学校班级",
    PiiKind.ADDRESS: "住址",
    PiiKind.PLATE: "车牌号",
    PiiKind.HIDDEN: "倒序字符",
}
assert _KIND_LABELS.keys() == set(PiiKind), "every kind has a name on pages"
_PRECEDENCE: Final = {kind: rank for rank, kind in enumerate(PiiKind)}


class Certainty(StrEnum):
    """Whether a hit is personal data, or a person must decide."""

    CERTAIN = "certain"
    TO_CHECK = "to_check"

    @property
    def label(self) -> str:
        """The name of the certainty on pages."""
        return "确定" if self is Certainty.CERTAIN else "待人工核对"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A find of one rule: `[start:end]` of the text that the rule read."""

    start: int
    end: int
    kind: PiiKind
    certainty: Certainty = Certainty.CERTAIN


@dataclass(frozen=True, slots=True)
class PiiHit:
    """Personal data at `text[start:end]` of the searched text. Never log `text`."""

    kind: PiiKind
    start: int
    end: int
    certainty: Certainty
    text: str = field(repr=False)

    @property
    def label(self) -> str:
        """The name of the kind on pages."""
        return self.kind.label

    @property
    def is_certain(self) -> bool:
        """Whether no person needs to decide."""
        return self.certainty is Certainty.CERTAIN


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Merge overlapping spans into one that covers them all.

    It has the most sensitive kind and is certain if one of them is.
    """
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            merged[-1] = _union(merged[-1], span)
        else:
            merged.append(span)
    return merged


def _union(one: Span, other: Span) -> Span:
    kinds = sorted((one.kind, other.kind), key=_PRECEDENCE.__getitem__)
    is_certain = Certainty.CERTAIN in (one.certainty, other.certainty)
    return Span(
        start=one.start,
        end=max(one.end, other.end),
        kind=kinds[0],
        certainty=Certainty.CERTAIN if is_certain else Certainty.TO_CHECK,
    )
