"""What intake's codes are called on pages."""

from typing import Any, Final

from services.intake.tables import Identity
from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Urgency

KINDS: Final = {
    ComplaintKind.COMPLAINT: "投诉",
    ComplaintKind.REPORT: "举报",
    ComplaintKind.SUGGESTION: "建议",
    ComplaintKind.INQUIRY: "咨询",
    ComplaintKind.PRAISE: "表扬",
    ComplaintKind.FINDING: "巡查发现",
}
URGENCIES: Final = {Urgency.NORMAL: "一般", Urgency.URGENT: "紧急", Urgency.CRITICAL: "特急"}
CHANNELS: Final = {
    ComplaintChannel.HOTLINE: "热线",
    ComplaintChannel.ONLINE: "网上",
    ComplaintChannel.LETTER: "来信",
    ComplaintChannel.COUNTER: "来访",
    ComplaintChannel.IMPORT: "导入",
}
IDENTITIES: Final = {
    Identity.REAL_NAME: "实名",
    Identity.CONFIDENTIAL: "保密",
    Identity.ANONYMOUS: "匿名",
}
MODES: Final = {"announced": "明察", "covert": "暗访"}
FINDING_LABELS: Final = {
    "substantiated": "属实",
    "partly_substantiated": "部分属实",
    "unsubstantiated": "不属实",
}
WORDS: Final[dict[str, Any]] = {
    "kinds": KINDS,
    "urgencies": URGENCIES,
    "channels": CHANNELS,
    "identities": IDENTITIES,
    "modes": MODES,
    "finding_labels": FINDING_LABELS,
}
assert KINDS.keys() == set(ComplaintKind)
assert URGENCIES.keys() == set(Urgency)
assert CHANNELS.keys() == set(ComplaintChannel)
assert IDENTITIES.keys() == set(Identity)
