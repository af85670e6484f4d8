"""What intake's codes are called on pages."""

from typing import Any, Final

from services.intake.tables import Identity
from shared.appraisal.events import ComplaintChannel, Kind, Urgency

KINDS: Final = {
    Kind.COMPLAINT: "投诉",
    Kind.REPORT: "举报",
    Kind.SUGGESTION: "建议",
    Kind.INQUIRY: "咨询",
    Kind.PRAISE: "表扬",
    Kind.FINDING: "巡查发现",
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
assert KINDS.keys() == set(Kind)
assert URGENCIES.keys() == set(Urgency)
assert CHANNELS.keys() == set(ComplaintChannel)
assert IDENTITIES.keys() == set(Identity)
