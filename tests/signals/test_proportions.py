"""Intervals of shares and of their differences: published examples, and what always holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.signals.proportions import difference, wilson, z_of

Z = z_of(0.95)


# The examples of Newcombe (1998), table II, method 10.
@pytest.mark.parametrize(
    ("num", "base", "other_num", "other_base", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0000),
    ],
)
def test_published_differences(
    num: int, base: int, other_num: int, other_base: int, low: float, high: float
) -> None:
    found = difference(num, base, other_num, other_base, Z)
    assert found == pytest.approx((low, high), abs=0.00006)


shares = st.integers(1, 500).flatmap(lambda base: st.tuples(st.integers(0, base), st.just(base)))


@given(shares, shares, st.floats(0.5, 4))
def test_an_interval_holds_what_was_seen_and_stays_within_bounds(
    one: tuple[int, int], other: tuple[int, int], z: float
) -> None:
    share, other_share = one[0] / one[1], other[0] / other[1]
    low, high = wilson(*one, z)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    low, high = difference(*one, *other, z)
    assert -1 - 1e-12 <= low <= share - other_share + 1e-12
    assert share - other_share - 1e-12 <= high <= 1 + 1e-12
    back = difference(*other, *one, z)
    assert back == pytest.approx((-high, -low), abs=1e-12)


def test_more_intervals_are_wider() -> None:
    assert z_of(0.95) < z_of(0.95, 4) < z_of(0.99, 4)
