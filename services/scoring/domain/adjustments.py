"""Deductions and bonuses: the points that a scheme's rules take off or add for single events."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from services.scoring.domain.inputs import ScoreInputs
from services.scoring.domain.ledger import LedgerEntry, ScoreSource
from shared.appraisal.schemes import Adjustment

NONE = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreAdjustment:
    """Points off (negative) or on for one event by one rule.

    `amount` is 0, with a `note`, where the rule exempts the event. `target`: "total", or the
    component whose mark changes. `occurred_at`: ISO 8601, UTC.
    """

    rule_id: str
    label: str
    target: str
    amount: Decimal
    event_id: UUID
    part: int
    subject_id: UUID
    source: ScoreSource
    number: str
    occurred_at: str
    text: str
    note: str = ""


def adjustments(inputs: ScoreInputs) -> list[ScoreAdjustment]:
    """Return an adjustment for every event that a deduction or bonus is about, in order of time."""
    scheme = inputs.scheme
    found: list[ScoreAdjustment] = []
    for sign, rules in ((-1, scheme.deductions), (1, scheme.bonuses)):
        for rule in rules:
            entries = [entry for entry in inputs.entries if applies(rule, entry)]
            found += _apply(rule, entries, sign)
    return found


def total_for(adjustments: Iterable[ScoreAdjustment], target: str) -> Decimal:
    """Return the sum of the points for the total or for one component."""
    return sum((one.amount for one in adjustments if one.target == target), NONE)


def applies(rule: Adjustment, entry: LedgerEntry) -> bool:
    """Return whether the rule is about this entry."""
    if entry.measure != rule.event:
        return False
    if rule.kinds and entry.kind not in rule.kinds:
        return False
    return _detail(rule) in (None, entry.detail)


def _detail(rule: Adjustment) -> str | None:
    """Return the detail of the entries that the rule is about, None for any."""
    details = {
        "deadline_lapsed": rule.deadline,
        "finding": rule.severity,
        "decision": rule.id,
    }
    return details.get(rule.event)


def _apply(
    rule: Adjustment,
    entries: Sequence[LedgerEntry],
    sign: int,
) -> Iterator[ScoreAdjustment]:
    """Yield the rule's amount for each entry: the first `after` are free, `cap` limits the sum."""
    remaining = rule.cap
    for count, entry in enumerate(entries, start=1):
        amount, note = _amount(rule, count, remaining)
        if remaining is not None:
            remaining -= amount
        yield _adjustment(rule, entry, amount=sign * amount if amount else amount, note=note)


def _amount(
    rule: Adjustment,
    count: int,
    remaining: Decimal | None,
) -> tuple[Decimal, str]:
    if count <= rule.after:
        return NONE, f"前 {rule.after} 次不计"
    if remaining is None or rule.amount <= remaining:
        return rule.amount, ""
    return remaining, f"已达上限 {rule.cap} 分"


def _adjustment(
    rule: Adjustment,
    entry: LedgerEntry,
    *,
    amount: Decimal,
    note: str,
) -> ScoreAdjustment:
    return ScoreAdjustment(
        rule_id=rule.id,
        label=rule.label,
        target=rule.of,
        amount=amount,
        event_id=entry.event_id,
        part=entry.part,
        note=note,
        subject_id=entry.subject_id,
        source=entry.source,
        number=entry.number,
        text=entry.text,
        occurred_at=entry.occurred_at.isoformat(),
    )
