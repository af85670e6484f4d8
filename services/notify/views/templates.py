"""Templates and their versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.notify.domain.rules import RULES
from services.notify.domain.templates import PRESET_VERSION
from services.notify.store import templates
from services.notify.tables import NotificationTemplate
from shared.storage.transaction import Transaction


@dataclass(frozen=True, slots=True)
class CurrentTemplate:
    """The text of one kind that is in use."""

    kind: str
    title: str
    text: str
    version: int


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """One version on the timeline; the preset version has no date."""

    at: datetime | None
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class TemplateHistory:
    """The current text of one kind and all its versions, newest first."""

    current: CurrentTemplate
    versions: Sequence[TemplateVersion]


async def current_templates(tx: Transaction) -> list[CurrentTemplate]:
    """Return the current text of every kind."""
    newest = await templates.newest_by_kind(tx)
    return [_current_template(kind, newest.get(kind)) for kind in RULES]


async def template_history(tx: Transaction, kind: str) -> TemplateHistory:
    """Return the current text of one kind and its versions."""
    edited = await templates.list_versions(tx, kind)
    versions = [_version(row) for row in edited]
    preset = TemplateVersion(None, "第 1 版（系统预置）", RULES[kind].text)
    return TemplateHistory(
        current=_current_template(kind, edited[0] if edited else None),
        versions=[*versions, preset],
    )


def _version(row: NotificationTemplate) -> TemplateVersion:
    return TemplateVersion(row.created_at, f"第 {row.version} 版", row.text)


def _current_template(kind: str, edited: NotificationTemplate | None) -> CurrentTemplate:
    rule = RULES[kind]
    if edited is None:
        return CurrentTemplate(kind, rule.title, rule.text, PRESET_VERSION)
    return CurrentTemplate(kind, rule.title, edited.text, edited.version)
