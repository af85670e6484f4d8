"""转办摘要: the redacted summary of a complaint, from its draft to its release by a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.intake.domain.complaints import REASON_MIN, REDACTED_SUMMARY_MAX
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import CaseRules
from shared.security.pii import PiiHit, certain_hits


@dataclass(frozen=True, slots=True)
class NewSummary:
    """The redacted summary of a new complaint: drafted, or released by the operator who wrote it.

    A complaint needs no release if no case is opened for it: then nobody outside intake reads it.
    """

    text: str
    is_own: bool
    """The person who registers the complaint wrote the text."""
    is_released: bool
    needs_release: bool

    @property
    def released_text(self) -> str:
        """The text for lists and responses; empty before the release."""
        return self.text if self.is_released else ""

    @property
    def awaits_release(self) -> bool:
        return self.needs_release and not self.is_released


def may_release_own(rules: CaseRules, *, at_desk: bool) -> bool:
    """Return whether the summary of an operator at the hotline desk is released with the ticket."""
    return at_desk and not rules.reviewer_releases


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryVersion:
    """What a reviewer saw: the version of the draft and the last release, 0 if there was none."""

    draft: int
    release: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryEdit:
    """A text to release. `confirmed`: kinds of personal data that stay in it, with the reason."""

    text: str
    seen: SummaryVersion
    confirmed: Mapping[str, str] = field(default_factory=dict)


class StaleSummary(Rejected):
    """Another person changed or released the summary since it was shown."""

    def __init__(self) -> None:
        super().__init__("这份摘要已由他人修改或放行，本次操作没有生效。请核对两份文字后再决定")


class UnconfirmedPii(Rejected):
    """Personal data is left in a text, and its kinds were not confirmed."""

    def __init__(self, matches: Sequence[PiiHit]) -> None:
        self.kinds = list(dict.fromkeys(match.kind for match in matches))
        names = "、".join(kind.label for kind in self.kinds)
        sentence = f"摘要中还有{names}，请删去；确需保留的，逐类写明理由，至少 {REASON_MIN} 个字"
        super().__init__(sentence, status=422, field="redacted_summary")


def checked_text(text: str) -> str:
    """Return the text to release. Raises Rejected (422) if it is empty or too long."""
    stripped = text.strip()
    if not stripped:
        raise Rejected("请填写转办摘要", status=422, field="redacted_summary")
    excess = len(stripped) - REDACTED_SUMMARY_MAX
    if excess > 0:
        sentence = f"“转办摘要”最多 {REDACTED_SUMMARY_MAX} 个字，已超出 {excess} 字"
        raise Rejected(sentence, status=422, field="redacted_summary")
    return stripped


def confirmed_kinds(matches: Sequence[PiiHit], confirmed: Mapping[str, str]) -> dict[str, str]:
    """Return the reason for each kind of personal data that is certainly in the text.

    What may be harmless is marked, and the reviewer decides by releasing it. Raises UnconfirmedPii.
    """
    certain = certain_hits(matches)
    reasons = {match.kind: confirmed.get(match.kind, "").strip() for match in certain}
    open_matches = [match for match in certain if len(reasons[match.kind]) < REASON_MIN]
    if open_matches:
        raise UnconfirmedPii(open_matches)
    return {kind.value: reason for kind, reason in reasons.items()}


@dataclass(frozen=True, slots=True)
class TextSegment:
    """A piece of a text. `label`: the kind of personal data that it is, "" for none.

    `is_certain`: no person needs to check whether it is.
    """

    text: str
    label: str = ""
    is_certain: bool = False


def marked_text(text: str, matches: Sequence[PiiHit]) -> list[TextSegment]:
    """Return a text in pieces, personal data apart from the rest."""
    segments: list[TextSegment] = []
    done = 0
    for match in matches:
        segments.append(TextSegment(text[done : match.start]))
        piece = text[match.start : match.end]
        segments.append(TextSegment(piece, match.label, match.is_certain))
        done = match.end
    segments.append(TextSegment(text[done:]))
    return [segment for segment in segments if segment.text]
