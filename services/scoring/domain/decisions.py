"""Rules that only a person applies."""

from dataclasses import dataclass

from shared.appraisal.schemes import Adjustment, Consequence, Scheme, Veto


@dataclass(frozen=True, slots=True)
class DecidableRule:
    """A rule that a person may apply to a unit."""

    id: str
    label: str


def is_decidable(scheme: Scheme, rule_id: str) -> bool:
    """Return whether a person decides on the rule."""
    rule = scheme.rule(rule_id)
    if isinstance(rule, Adjustment):
        return rule.event == "decision"
    return isinstance(rule, Veto | Consequence)


def decidable_rules(scheme: Scheme) -> list[DecidableRule]:
    """Return the rules that a person may apply: adjustments, vetoes, consequences."""
    rules = (*scheme.deductions, *scheme.bonuses, *scheme.vetoes, *scheme.consequences)
    return [DecidableRule(rule.id, rule.label) for rule in rules if is_decidable(scheme, rule.id)]
