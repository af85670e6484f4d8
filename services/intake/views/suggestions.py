"""Units and problem items that fit what a person types."""

from typing import Final

import msgspec

from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.events import UnitEntry
from shared.web.navigation import matches_search, search_terms

UNSURE: Final = "不确定"
UNITS_SUGGESTED: Final = 10


class Suggestion(msgspec.Struct, frozen=True):
    """One option of a combobox."""

    value: str
    text: str
    hint: str


UNSURE_SUGGESTION: Final = Suggestion("", UNSURE, "交受理审核确定")


def suggest_units(campaign: KnownCampaign, typed: str) -> list[Suggestion]:
    """Return units by 汉字, 全拼, 首字母, 编码 or alias; the first ones if nothing was typed."""
    is_search = bool(typed.strip())
    found = campaign.search(typed) if is_search else list(campaign.units.values())
    suggestions = [_unit_suggestion(campaign, unit) for unit in found[:UNITS_SUGGESTED]]
    return suggestions + suggest_unsure(typed)


def _unit_suggestion(campaign: KnownCampaign, unit: UnitEntry) -> Suggestion:
    category = campaign.scheme.category(unit.category)
    return Suggestion(unit.unit_id, unit.name, category.label if category else "")


def suggest_unsure(typed: str) -> list[Suggestion]:
    """Return 不确定 if it fits what was typed."""
    fits = not typed or matches_search(typed, search_terms(UNSURE))
    return [UNSURE_SUGGESTION] if fits else []


def suggest_problems(campaign: KnownCampaign, typed: str) -> list[Suggestion]:
    """Return problem items by number, keyword, 全拼 or 首字母; all if nothing was typed."""
    wanted = typed.strip()
    number = _typed_number(wanted)
    suggestions = []
    for head in campaign.scheme.catalogue.heads:
        for item in head.items:
            fits = item.id == number if number else _fits(wanted, item.label, head.label)
            if fits:
                text = f"{item.id} {item.label}"
                suggestions.append(Suggestion(item.id, text, head.label))
    return suggestions


def _typed_number(wanted: str) -> str:
    """Return the number of an item that was typed, or ""."""
    if not wanted[:1].isdigit():
        return ""
    first, _, _ = wanted.partition(" ")
    return first.zfill(2)


def _fits(wanted: str, *labels: str) -> bool:
    return not wanted or any(matches_search(wanted, search_terms(label)) for label in labels)


def matching_units(campaign: KnownCampaign, typed: str) -> list[UnitEntry]:
    """Return the units with exactly this name, alias or id, or else all that fit."""
    found = campaign.search(typed)
    exact = [unit for unit in found if typed in (unit.name, unit.unit_id, *unit.aliases)]
    return exact or found
