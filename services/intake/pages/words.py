"""Labels by value, for templates that receive the value of an enum."""

from typing import Any, Final

from services.intake.domain.identities import Identity
from shared.appraisal.labels import (
    CaseFinding,
    ComplaintChannel,
    ComplaintKind,
    LabelledEnum,
    Urgency,
)


def _labels(enum: type[LabelledEnum]) -> dict[str, str]:
    return dict(enum.choices())


KINDS: Final = _labels(ComplaintKind)
FINDING_LABELS: Final = _labels(CaseFinding)
WORDS: Final[dict[str, Any]] = {
    "kinds": KINDS,
    "urgencies": _labels(Urgency),
    "channels": _labels(ComplaintChannel),
    "identities": _labels(Identity),
    "finding_labels": FINDING_LABELS,
}
