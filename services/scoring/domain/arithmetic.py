"""Exact arithmetic: weighted means and roundings of fractions."""

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from decimal import Context as DecimalContext
from fractions import Fraction
from functools import lru_cache
from math import floor, lcm
from typing import Final

ZERO: Final = Fraction(0)
_WIDE: Final = DecimalContext(prec=60, rounding=ROUND_HALF_EVEN)

exact = lru_cache(maxsize=4096)(Fraction)
"""A Decimal of a scheme as an exact fraction."""


def sum_of_products(pairs: Iterable[tuple[Fraction | int, Fraction | int]]) -> Fraction:
    """Return the sum of the products of the pairs.

    Uses one common denominator, which is far faster than adding fractions one by one.
    """
    terms = [(a.numerator * b.numerator, a.denominator * b.denominator) for a, b in pairs]
    common = lcm(*(denominator for _, denominator in terms))
    total = sum(numerator * (common // denominator) for numerator, denominator in terms)
    return Fraction(total, common)


def weighted_mean(values: Sequence[tuple[Decimal, Fraction]]) -> Fraction | None:
    """Return the mean of (weight above zero, value) pairs, None without any."""
    if not values:
        return None
    total = sum_of_products((exact(weight), value) for weight, value in values)
    weights = sum_of_products((exact(weight), 1) for weight, _ in values)
    return total / weights


def rounded(value: Fraction, decimals: int) -> Decimal:
    """Return the value with `decimals` digits after the point, rounded half even."""
    return _scaled(round(value * 10**decimals), decimals)


def clamped(value: Fraction) -> Fraction:
    """Return the value limited to 0–100."""
    return min(max(value, ZERO), Fraction(100))


def largest_remainder(
    values: Sequence[Fraction],
    total: Decimal,
    decimals: int,
) -> list[Decimal]:
    """Round the values so that they add up to `total`, their rounded sum.

    Each value changes by less than one in its last digit.
    """
    scaled = [value * 10**decimals for value in values]
    floors = [floor(value) for value in scaled]
    missing = int(total.scaleb(decimals)) - sum(floors)
    assert 0 <= missing <= len(values), "the total is the rounded sum of these values"
    for index in _by_remainder(scaled)[:missing]:
        floors[index] += 1
    return [_scaled(value, decimals) for value in floors]


def _by_remainder(values: Sequence[Fraction]) -> list[int]:
    """Return the positions of the values, the largest fractional part first."""
    return sorted(range(len(values)), key=lambda index: floor(values[index]) - values[index])


def _scaled(value: int, decimals: int) -> Decimal:
    return Decimal(value).scaleb(-decimals, _WIDE)
