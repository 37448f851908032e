"""The only rounding there is: half away from zero, from an exact number, at the door."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

#: Scores, ratios, days, hours and sums of USD.
SCORE_PLACES = 2
#: Fields that end in ``_pct``.
PCT_PLACES = 1


def to_whole(value: Fraction | int) -> int:
    """The nearest whole number; a half goes away from zero.

    Example:
        >>> to_whole(Fraction(5, 2)), to_whole(Fraction(-5, 2))
        (3, -3)
    """
    numerator, denominator = value.numerator, value.denominator
    whole = (2 * abs(numerator) + denominator) // (2 * denominator)
    return whole if numerator >= 0 else -whole


def to_decimal(value: Fraction | int, places: int = SCORE_PLACES) -> Decimal:
    """The nearest number with so many decimals, as an exact decimal that shows them all.

    Args:
        value: exact; of any size.
        places: decimals that are kept, 0 or more.

    Example:
        >>> to_decimal(Fraction(5, 8))
        Decimal('0.63')
    """
    digits = to_whole(value * 10**places)
    sign = 1 if digits < 0 else 0
    return Decimal((sign, tuple(map(int, str(abs(digits)))), -places))


def to_float(value: Fraction | int, places: int = SCORE_PLACES) -> float:
    """The same as a float, for JSON: it prints with at most so many decimals."""
    return float(to_decimal(value, places))


def floor_days(days: Fraction | int) -> int:
    """Full days that have gone by, as texts say them."""
    return days.numerator // days.denominator
