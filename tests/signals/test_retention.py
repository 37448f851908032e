"""Who stayed with and without a feature: by hand, on the edge, and what always holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.retention import (
    Group,
    Standing,
    compare,
    customers_of,
    sides,
)

RULE = load_catalog().signals.product.retention
T0 = datetime(2026, 3, 12, tzinfo=UTC)


def names(first: int, last: int) -> frozenset[str]:
    return frozenset(f"t{number}" for number in range(first, last))


def test_by_hand() -> None:
    # 30 used it and 27 of them stayed; 20 did not and 8 of them stayed.
    customers = names(0, 50)
    kept = names(3, 30) | names(30, 38)
    found = compare(customers, kept, names(0, 30) | names(900, 950), RULE, 4)
    assert (found.with_feature, found.without) == (Group(30, 27), Group(20, 8))
    assert found.difference == Fraction(1, 2)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.5 < found.high
    assert found.verdict == "kept_more"
    # The other way round, and where chance may be all of it.
    assert compare(customers, kept, names(30, 50), RULE, 4).verdict == "kept_less"
    assert compare(customers, customers, names(0, 30), RULE, 4).verdict == "no_difference_shown"


def test_ten_on_each_side_are_enough_and_nine_are_not() -> None:
    customers = names(0, 20)
    assert compare(customers, customers, names(0, 10), RULE, 4).verdict == "no_difference_shown"
    for users in (names(0, 9), names(0, 11)):
        found = compare(customers, customers, users, RULE, 4)
        assert found.verdict == "insufficient_data"
        assert (found.low, found.high, found.difference) == (None, None, None)


def test_with_more_features_a_difference_must_be_larger() -> None:
    customers, users = names(0, 40), names(0, 20)
    kept = names(0, 18) | names(20, 32)  # 90 % against 60 %
    assert compare(customers, kept, users, RULE, 1).verdict == "kept_more"
    assert compare(customers, kept, users, RULE, 20).verdict == "no_difference_shown"


def test_the_newest_word_on_a_subscription_counts() -> None:
    tick = timedelta(microseconds=1)
    assert not Standing(None, None).is_cancelled
    assert Standing(None, T0).is_cancelled
    assert Standing(T0 - tick, T0).is_cancelled
    assert not Standing(T0, T0).is_cancelled  # at the same instant the start wins
    standings = {"beta": Standing(None, T0), "gamma": Standing(T0, T0)}
    assert customers_of({"acme", "beta", "gamma"}, standings) == {"acme", "gamma"}


groups = st.frozensets(st.integers(0, 40).map(lambda number: f"t{number}"))


@given(groups, groups, groups)
def test_sides_are_the_customers_behind_the_numbers(
    customers: frozenset[str], kept: frozenset[str], users: frozenset[str]
) -> None:
    found = compare(customers, kept, users, RULE, 4)
    parts = [
        (used, stayed, sides(customers, users, kept, used=used, stayed=stayed))
        for used in (True, False)
        for stayed in (True, False)
    ]
    assert sorted(name for _, _, part in parts for name in part) == sorted(customers)
    for used, stayed, part in parts:
        group = found.with_feature if used else found.without
        assert len(part) == (group.num_kept if stayed else group.num - group.num_kept)
    if found.low is not None and found.high is not None:
        assert found.difference is not None
        assert found.low <= found.difference <= found.high
