"""The funnel: rates and the worst step by hand, and following customers against plain counting."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.funnel import NEVER, Funnel, Taken, advice_of, follow, path_of

RULE = load_catalog().signals.product.funnel
T0 = datetime(2026, 3, 12, tzinfo=UTC)
NUM_STEPS = 5

Happened = tuple[str, int, int]  # tenant, step, moment


def test_rates_are_of_the_step_before_and_not_clamped() -> None:
    path = path_of([4, 6, 3, 0, 2])
    assert path.rates == (Fraction(3, 2), Fraction(1, 2), Fraction(0), None)
    assert path.worst == 3
    assert advice_of(RULE, path) is RULE.steps[3]


def test_of_equal_rates_the_earlier_step_is_told_and_without_loss_none() -> None:
    assert path_of([8, 4, 4, 2, 2]).worst == 1
    full = path_of([3, 3, 4, 4, 4])
    assert full.worst is None
    assert advice_of(RULE, full) is None
    assert path_of([0, 0, 0, 0, 0]).rates == (None,) * 4


def taken(happened: list[Happened]) -> Taken:
    """A stretch of time; tenants in the order in which they first show."""
    happened = sorted(happened, key=lambda one: one[2])
    tenants = list(dict.fromkeys(one[0] for one in happened))
    who = np.array([tenants.index(one[0]) for one in happened], np.int32)
    step = np.array([one[1] for one in happened], np.int8)
    at = np.array([one[2] for one in happened], np.int64)
    return Taken(tenants, who, step, at, T0)


def plainly(happened: list[Happened], tenant: str) -> list[int]:
    """When a tenant took each step in order, found one by one."""
    reached: list[int] = []
    for step in range(NUM_STEPS):
        last = reached[-1] if reached else -1
        later = [at for who, what, at in happened if (who, what) == (tenant, step) and at > last]
        reached.append(min(later, default=NEVER))
    return reached


events = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, NUM_STEPS - 1), st.integers(0, 12)),
    max_size=40,
)


@given(events, st.lists(st.integers(0, 13), max_size=3))
def test_following_in_pieces_is_plain_counting(happened: list[Happened], cuts: list[int]) -> None:
    edges = [-1, *sorted(cuts), 13]
    pieces = [
        taken([one for one in happened if first < one[2] <= last])
        for first, last in pairwise(edges)
    ]
    tenants, counts, reached = follow(pieces, NUM_STEPS)
    assert set(tenants) == {one[0] for one in happened}
    for row, tenant in enumerate(tenants):
        assert list(reached[row]) == plainly(happened, tenant)
        assert list(counts[row]) == [
            sum(one[:2] == (tenant, step) for one in happened) for step in range(NUM_STEPS)
        ]


@given(events)
def test_order_takes_away_and_never_adds(happened: list[Happened]) -> None:
    tenants, counts, reached = follow([taken(happened)], NUM_STEPS)
    funnel = Funnel(T0, RULE, tenants, counts, reached, None)
    ordered, loose = funnel.ordered.num_tenants, funnel.loose.num_tenants
    assert all(one <= other for one, other in zip(ordered, loose, strict=True))
    assert list(ordered) == sorted(ordered, reverse=True)
    assert all(0 <= rate <= 1 for rate in funnel.ordered.rates if rate is not None)
    for step in range(NUM_STEPS):
        everybody = funnel.who(step, in_order=True, stopped=False)
        stopped = funnel.who(step, in_order=True, stopped=True)
        after = ordered[step + 1] if step + 1 < NUM_STEPS else 0
        assert (len(everybody), len(stopped)) == (ordered[step], ordered[step] - after)
