"""Exact numbers, made and compared several times quicker than fractions do it themselves."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache


@lru_cache(maxsize=16_384)
def fraction(numerator: int, denominator: int) -> Fraction:
    """A fraction; kept, since most tenants share a few small ones and making one is dear."""
    return Fraction(numerator, denominator)


def compare(value: Fraction | int, comparison: str, than: Fraction) -> bool:
    """Whether ``value`` is below, at_most, above, at_least or equal to ``than``, by cross products.

    Example:
        >>> compare(Fraction(1, 2), "below", Fraction(5, 10))
        False
    """
    left = value.numerator * than.denominator
    right = than.numerator * value.denominator
    match comparison:
        case "below":
            return left < right
        case "above":
            return left > right
        case "at_least":
            return left >= right
        case "at_most":
            return left <= right
        case "equal":
            return left == right
    raise ValueError(f"unknown comparison {comparison!r}")
