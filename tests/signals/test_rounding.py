"""Rounding goes half away from zero, from the exact value, and nowhere else."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.signals.rounding import floor_days, to_decimal, to_float, to_whole

FRACTIONS = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**9)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (Fraction(5, 8), 2, "0.63"),  # 0.625: formulas 13
        (Fraction(-5, 8), 2, "-0.63"),
        (Fraction(1, 8), 2, "0.13"),
        (Fraction(3, 8), 2, "0.38"),
        (Fraction(158 * 7, 300), 2, "3.69"),
        (Fraction(84 * 30, 158 * 7), 2, "2.28"),
        (Fraction(84, 10), 2, "8.40"),
        (Fraction(25, 100), 1, "0.3"),
        (Fraction(-1, 1000), 2, "0.00"),
        (0, 2, "0.00"),
        (7, 0, "7"),
        (Fraction(1, 2), 0, "1"),
        (Fraction(12345678901234567890, 1), 2, "12345678901234567890.00"),
    ],
)
def test_half_goes_away_from_zero(value: Fraction | int, places: int, text: str) -> None:
    assert str(to_decimal(value, places)) == text


@given(FRACTIONS, st.integers(0, 6))
def test_it_is_the_nearest_number(value: Fraction, places: int) -> None:
    rounded = Fraction(to_decimal(value, places))
    assert abs(rounded - value) * 2 * 10**places <= 1
    assert to_decimal(-value, places) == -to_decimal(value, places)


@given(st.integers(-(10**12), 10**12), st.integers(0, 4))
def test_it_agrees_with_decimal_where_that_is_exact(number: int, places: int) -> None:
    exact = Decimal(number).scaleb(-6)
    with localcontext(prec=50):
        expected = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    assert to_decimal(Fraction(exact), places) == expected


@given(FRACTIONS)
def test_a_float_prints_as_the_decimal_does(value: Fraction) -> None:
    assert Decimal(repr(to_float(value))) == to_decimal(value)


def test_whole_numbers_and_full_days() -> None:
    assert [to_whole(Fraction(n, 2)) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    assert floor_days(Fraction(79, 10)) == 7
    assert floor_days(8) == 8
