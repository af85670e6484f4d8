"""Templates: the text of a notification, with fields in braces."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from services.notify.domain.links import link_to
from services.notify.domain.rules import RULES
from services.notify.domain.stages import STAGES
from services.notify.domain.subjects import NotificationSubject
from shared.appraisal.calendar.deadlines import due_label
from shared.appraisal.calendar.working_days import civil_day, closing

TEMPLATE_FIELDS: Final = ("编号", "单位", "期限", "环节", "链接")
"""Every field a template may name. None of them holds complainant data or complaint text."""
TEXT_MAX: Final = 200
PRESET_VERSION: Final = 1
"""The version of the preset text of every rule; edited versions follow."""
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_SAMPLE_NUMBER: Final = "ZF2026-004512"


def render(text: str, values: Mapping[str, str]) -> str:
    """Return the template with its fields filled in."""
    return _FIELD.sub(lambda match: values[match[1]], text)


def text_problem(text: str) -> str:
    """Return why a template cannot be used, as a sentence; "" if it can."""
    if not text.strip():
        return "请填写模板内容"
    if len(text) > TEXT_MAX:
        return f"模板内容最多 {TEXT_MAX} 个字，已超出 {len(text) - TEXT_MAX} 字"
    unknown = [name for name in _FIELD.findall(text) if name not in TEMPLATE_FIELDS]
    if unknown:
        return f"没有“{unknown[0]}”这个字段，可用字段：{'、'.join(TEMPLATE_FIELDS)}"
    if set("{}") & set(_FIELD.sub("", text)):
        return "花括号不成对，字段应写成 {编号} 这样"
    return ""


def preview(
    kind: str,
    text: str,
    now: datetime,
) -> str:
    """Return the template as it would read today; "" if it cannot be used."""
    return "" if text_problem(text) else render(text, sample_values(kind, now))


def sample_values(kind: str, now: datetime) -> dict[str, str]:
    """Return example values of all fields, due at the end of today."""
    subject = NotificationSubject(_SAMPLE_NUMBER, "j-2026:unit")
    return {
        "编号": _SAMPLE_NUMBER,
        "单位": "某某局",
        "期限": due_label(closing(civil_day(now))),
        "环节": STAGES[RULES[kind].stage or "handle"].label,
        "链接": link_to(kind, subject),
    }
