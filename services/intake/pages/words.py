"""What intake's codes are called on pages."""

from typing import Any, Final

from services.intake.tables import Identity
from shared.appraisal.events import Channel, Kind, Urgency

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
    Channel.HOTLINE: "热线",
    Channel.ONLINE: "网上",
    Channel.LETTER: "来信",
    Channel.COUNTER: "来访",
    Channel.IMPORT: "导入",
}
IDENTITIES: Final = {
    Identity.REAL_NAME: "实名",
    Identity.CONFIDENTIAL: "保密",
    Identity.ANONYMOUS: "匿名",
}
MODES: Final = {"announced": "明察", "covert": "暗访"}
UPHELD: Final = {"upheld": "属实", "partly": "部分属实", "not_upheld": "不属实"}
WORDS: Final[dict[str, Any]] = {
    "kinds": KINDS,
    "urgencies": URGENCIES,
    "channels": CHANNELS,
    "identities": IDENTITIES,
    "modes": MODES,
    "upheld": UPHELD,
}
assert KINDS.keys() == set(Kind)
assert URGENCIES.keys() == set(Urgency)
assert CHANNELS.keys() == set(Channel)
assert IDENTITIES.keys() == set(Identity)
