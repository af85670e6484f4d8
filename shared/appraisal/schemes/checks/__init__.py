"""The rules that a scheme must satisfy beyond the types of its parts.

Each check yields violations: the path of the value and a sentence that says how to correct it.
"""

from collections.abc import Callable, Iterator

from shared.appraisal.schemes.checks import cases, identity, instruments, period, results, scoring
from shared.appraisal.schemes.checks.violation import SchemeViolation
from shared.appraisal.schemes.scheme import Scheme

__all__ = ["CHECKS", "SchemeViolation", "check"]

CHECKS: tuple[Callable[[Scheme], Iterator[SchemeViolation]], ...] = (
    identity.check_rule_ids,
    identity.check_labels,
    identity.check_unique,
    identity.check_not_empty,
    period.check_period,
    period.check_stage_ids,
    instruments.check_options,
    instruments.check_amounts,
    instruments.check_questions,
    instruments.check_catalogue,
    scoring.check_weights,
    scoring.check_formulas,
    scoring.check_adjustments,
    cases.check_case_rules,
    results.check_results,
)


def check(scheme: Scheme) -> list[SchemeViolation]:
    """Return every violation in the scheme; an empty list means that it can be used."""
    return [violation for run in CHECKS for violation in run(scheme)]
