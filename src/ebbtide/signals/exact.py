"""Exact numbers, made and compared several times quicker than fractions do it themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from operator import eq, ge, gt, le, lt
from types import MappingProxyType

_ORDERS: Mapping[str, Callable[[int, int], bool]] = MappingProxyType(
    {"below": lt, "above": gt, "at_least": ge, "at_most": le, "equal": eq}
)


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
    order = _ORDERS.get(comparison)
    if order is None:
        raise ValueError(f"unknown comparison {comparison!r}")
    return order(value.numerator * than.denominator, than.numerator * value.denominator)
