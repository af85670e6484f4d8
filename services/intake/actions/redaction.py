"""The redacted summary (转办摘要) of a complaint that is being registered."""

from collections.abc import Iterable, Sequence

from services.intake.domain.complaints import REDACTED_SUMMARY_MAX, NewComplaint
from services.intake.domain.summaries import NewSummary, may_release_own
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import CaseRules
from shared.foundation import telemetry
from shared.security.pii import PiiHit, certain_hits, find_pii_async, mask_pii_async

_NAME = "转办摘要"
_FIELD = "redacted_summary"


async def summary_of(
    complaint: NewComplaint,
    rules: CaseRules,
    *,
    at_desk: bool,
) -> NewSummary:
    """Return the given summary, or one drafted from the complaint text.

    Raises Rejected (422) if the given summary contains personal data.
    """
    given = (complaint.redacted_summary or "").strip()
    needs_release = complaint.kind not in rules.no_case
    if not given:
        text = await draft_redacted_summary(complaint.complaint_text, complaint.known_values)
        return NewSummary(text, is_own=False, is_released=False, needs_release=needs_release)
    await _reject_personal_data(given, complaint.known_values)
    is_released = may_release_own(rules, at_desk=at_desk)
    return NewSummary(given, is_own=True, is_released=is_released, needs_release=needs_release)


async def draft_redacted_summary(complaint_text: str, known_values: Iterable[str] = ()) -> str:
    """由原文生成草稿: return the complaint text with personal data replaced by its kind.

    It is what a complainant is shown before sending, and what a reviewer starts from.
    """
    masked = await mask_pii_async(complaint_text.strip(), known_values)
    return masked[:REDACTED_SUMMARY_MAX].strip()


async def _reject_personal_data(summary: str, known_values: tuple[str, ...]) -> None:
    matches = certain_hits(await find_pii_async(summary, known_values))
    if matches:
        telemetry.personal_data_blocked.labels("intake", _FIELD).inc()
        raise Rejected(_describe(summary, matches), status=422, field=_FIELD)


def _describe(text: str, matches: Sequence[PiiHit]) -> str:
    """Return where the first personal data is and of which kind, without the data itself."""
    first = matches[0]
    line, column = _position(text, first.start)
    total = f"（共 {len(matches)} 处）" if len(matches) > 1 else ""
    return (
        f"{_NAME}第 {line} 行第 {column} 个字起含{first.kind.label}{total}，"
        "承办单位不应看到，请删去或遮盖"
    )


def _position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of an offset, both counted from 1."""
    line_start = text.rfind("\n", 0, offset) + 1
    line = text.count("\n", 0, offset) + 1
    return line, offset - line_start + 1
