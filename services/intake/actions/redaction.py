"""转办摘要: the redacted summary, the only text of a complaint that a unit reads."""

from collections.abc import Sequence

from services.intake.domain.complaints import REDACTED_SUMMARY_MAX, NewComplaint
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.pii import PiiHit, certain_hits, find_pii, mask_pii

_NAME = "转办摘要"
_FIELD = "redacted_summary"


def redacted_summary_of(complaint: NewComplaint) -> str:
    """Return the given summary, or one drafted from the complaint text.

    Raises Rejected (422) if the given summary contains personal data.
    """
    given = (complaint.redacted_summary or "").strip()
    if not given:
        return draft_redacted_summary(complaint.complaint_text, complaint.known_values).strip()
    _reject_personal_data(given, complaint.known_values)
    return given


def _reject_personal_data(summary: str, known_values: tuple[str, ...]) -> None:
    matches = certain_hits(find_pii(summary, known_values))
    if matches:
        telemetry.personal_data_blocked.labels("intake", _FIELD).inc()
        raise Rejected(_describe(summary, matches), status=422, field=_FIELD)


def draft_redacted_summary(complaint_text: str, known_values: tuple[str, ...] = ()) -> str:
    """由原文生成草稿: return the complaint text with personal data replaced by its kind."""
    return mask_pii(complaint_text.strip(), known_values)[:REDACTED_SUMMARY_MAX]


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
