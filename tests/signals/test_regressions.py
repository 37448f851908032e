"""Version against version: what chance explains, what it does not, and when it first showed."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.chance import _normal, p_more_often, p_more_severe
from ebbtide.signals.incident_reading import heat_rows, to_pattern
from ebbtide.signals.regressions import (
    Calls,
    DaySum,
    Happened,
    Incidents,
    compare_versions,
    day_over_day,
    first_shown,
)

RULE = load_catalog().signals.regression
AS_OF = datetime(2026, 3, 12, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
OLD, NEW = AS_OF - 10 * DAY, AS_OF - 2 * HOUR


@given(st.integers(0, 8), st.integers(1, 20), st.integers(0, 8), st.integers(1, 20))
def test_the_rate_test_is_the_exact_binomial_tail(
    new: int, base_new: int, old: int, base_old: int
) -> None:
    total, share = new + old, Fraction(base_new, base_new + base_old)
    tail = sum(
        math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(new, total + 1)
    )
    expected = 1.0 if new <= total * share else float(tail)
    assert p_more_often(new, base_new, old, base_old) == pytest.approx(expected, rel=1e-9)


severities = st.lists(st.integers(1, 5), min_size=1, max_size=6)


@given(severities, severities)
def test_the_severity_test_counts_every_division(new: list[int], old: list[int]) -> None:
    together = new + old
    ways = list(combinations(together, len(new)))
    reached = sum(sum(way) >= sum(new) for way in ways)
    found = p_more_severe(Counter(new), Counter(old))
    assert found == pytest.approx(reached / len(ways), rel=1e-9)


def test_the_normal_curve_comes_close_where_it_takes_over() -> None:
    new, old = {2: 20, 3: 25, 4: 15}, {2: 300, 3: 250, 4: 100}
    counts = {value: new[value] + old[value] for value in new}
    exact = p_more_severe(new, old)
    assert _normal(counts, 60, sum(v * n for v, n in new.items())) == pytest.approx(exact, rel=0.2)


def test_equal_severities_prove_nothing() -> None:
    assert p_more_severe({3: 5}, {3: 50}) == 1.0
    assert p_more_severe({3: 100}, {3: 5000}) == 1.0
    assert p_more_severe({}, {3: 5}) == 1.0


def calls(version: str, num: int, at: datetime, tenant: str = "acme") -> Calls:
    return Calls(tenant, "P", version, num, at)


def incidents(
    version: str, num: int, at: datetime, severity: int = 3, tenant: str = "acme", fired: int = -1
) -> Incidents:
    return Incidents(tenant, "P", version, severity, num, num if fired < 0 else fired, at)


def found_by(*rows: Calls | Incidents) -> list[tuple[str, ...]]:
    """How each comparison was decided."""
    called = [row for row in rows if isinstance(row, Calls)]
    happened = [row for row in rows if isinstance(row, Incidents)]
    return [one.found_by for one in compare_versions(called, happened, AS_OF, RULE)]


CALM = (calls("v11", 1000, OLD), incidents("v11", 20, OLD))


def test_more_incidents_a_call_are_a_regression() -> None:
    assert found_by(*CALM, calls("v12", 50, NEW), incidents("v12", 8, NEW)) == [("rate",)]
    assert found_by(*CALM, calls("v12", 400, NEW), incidents("v12", 8, NEW)) == [()]


def test_worse_incidents_are_a_regression_without_any_call() -> None:
    worse = incidents("v12", 8, NEW, 5)
    assert found_by(incidents("v11", 30, OLD, 2), worse) == [("severity",)]
    half = (incidents("v12", 100, NEW, 2), incidents("v12", 100, NEW, 3))
    # The mean rises by exactly 0.5: beyond chance, and yet not more than the rule asks for.
    assert found_by(incidents("v11", 400, OLD, 2), *half) == [()]


def test_few_incidents_prove_nothing() -> None:
    assert found_by(*CALM, calls("v12", 2, NEW), incidents("v12", 2, NEW, 5)) == [()]


def test_incidents_that_no_policy_caused_are_no_part_of_its_rate() -> None:
    assert found_by(*CALM, calls("v12", 50, NEW), incidents("v12", 8, NEW, fired=1)) == [()]


def test_a_version_is_new_for_seven_days_and_needs_one_before_it() -> None:
    new = (calls("v12", 50, AS_OF - 7 * DAY), incidents("v12", 8, NEW))
    assert found_by(*CALM, *new) == []
    assert found_by(calls("v12", 50, NEW), incidents("v12", 8, NEW)) == []


def test_tenants_with_both_versions_are_compared_where_there_are_any() -> None:
    other = (calls("v11", 9000, OLD, "calm"), calls("v12", 50, NEW), incidents("v12", 3, NEW))
    (alone,) = compare_versions(
        [row for row in other if isinstance(row, Calls)],
        [row for row in other if isinstance(row, Incidents)],
        AS_OF,
        RULE,
    )
    assert (alone.exposed, alone.tenants) == ("either", {"acme", "calm"})
    (both,) = compare_versions(
        [*(row for row in other if isinstance(row, Calls)), calls("v11", 100, OLD)],
        [incidents("v11", 5, OLD), incidents("v12", 3, NEW)],
        AS_OF,
        RULE,
    )
    assert (both.exposed, both.tenants, both.old.num_calls) == ("both", {"acme"}, 100)


def test_the_level_is_divided_by_the_policies_compared() -> None:
    called = [calls("v11", 100, OLD), calls("v12", 100, NEW)]
    more = [one._replace(policy_id="Q") for one in called]
    levels = [one.level for one in compare_versions([*called, *more], [], AS_OF, RULE)]
    assert levels == [0.005, 0.005]


def test_the_moment_at_which_it_first_showed() -> None:
    moments = [NEW + minute * MINUTE for minute in range(60)]
    later = [(at, True) for at in moments]
    happened = [Happened(at, True, 3) for at in moments[10:30:2]]
    (found,) = compare_versions(
        [calls("v11", 1000, OLD), calls("v12", 60, NEW)],
        [incidents("v11", 20, OLD), incidents("v12", len(happened), NEW)],
        AS_OF,
        RULE,
    )
    assert found.is_regression
    shown = first_shown(found, later, happened, RULE)
    assert shown is not None
    # Found again by asking at each incident what was there by then.
    for at in (one.at for one in happened):
        by_then = sum(one.at <= at for one in happened)
        (asked,) = compare_versions(
            [calls("v11", 1000, OLD), calls("v12", sum(m <= at for m in moments), NEW)],
            [incidents("v11", 20, OLD), incidents("v12", by_then, NEW)],
            AS_OF,
            RULE,
        )
        assert asked.is_regression == (at >= shown)


def test_a_day_over_day_rise_is_from_one_day_with_incidents_to_the_next() -> None:
    today = AS_OF.replace(hour=0)
    rows = [DaySum("P", today - 3 * DAY, 2, 4), DaySum("P", today, 1, 3)]
    rows += [DaySum("Q", today, 1, 5), DaySum("R", today - DAY, 1, 2), DaySum("R", today, 2, 5)]
    (rise,) = day_over_day(rows, RULE)
    assert (rise.policy_id, rise.rise, rise.num_incidents) == ("P", 1, 1)
    assert rise.before == datetime(2026, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "week", "trend"),
    [
        (0, 0, None),
        (3, 14, "stable"),
        (4, 14, "increasing"),
        (1, 14, "stable"),
        (0, 1, "decreasing"),
    ],
)
def test_trends_are_decided_beyond_their_bounds(day: int, week: int, trend: str | None) -> None:
    assert to_pattern("FREEZE_ACTIVATED", [("acme", day, week)]).trend == trend


def test_heatmap_rows_add_up_and_keep_the_unknown() -> None:
    cells = [("m", "p", "v", 3, 2, 8), ("m", None, None, 1, 0, None), (None, "p", "v", 4, 4, 4)]
    rows = heat_rows(cells, (0,))
    assert [(row.cell, row.num, row.mean_severity) for row in rows] == [
        (("m",), 4, 4),
        ((None,), 4, 1),
    ]
    assert sum(row.share for row in rows) == 1
