"""Stickiness: the published sample, every edge of its rule, and what never depends on order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from fact_builder import Happened, facts_of, repeat
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.signals.facts import DAY, Actions, Facts, Span
from ebbtide.signals.rounding import to_decimal
from ebbtide.signals.rules import Rules
from ebbtide.signals.stickiness import Stickiness, compute_stickiness

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
VIEW, REPLAY, EXPORT = "INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED"


def old_tenant(tenths_7d: int, tenths_30d: int) -> Facts:
    """A tenant older than 30 days with so many tenths in each window."""
    assert tenths_30d >= tenths_7d

    def actions(tenths: int) -> Actions:
        # 2 views make 4 tenths, a replay 3, an export 5: every number but 1 can be made.
        exports, rest = divmod(tenths, 5)
        views, replays = {0: (0, 0), 2: (1, 0), 3: (0, 1), 4: (2, 0)}.get(rest, (0, 2))
        return Actions(views, replays, exports - (rest == 1))

    spans = {
        "API_CALL_RECEIVED": Span(NOW - 90 * DAY, NOW),
        VIEW: Span(NOW - 80 * DAY, NOW - DAY),
    }
    return Facts("acme", spans, {}, actions_7d=actions(tenths_7d), actions_30d=actions(tenths_30d))


def of(events: list[Happened], rules: Rules, as_of: datetime = NOW) -> Stickiness:
    return compute_stickiness(facts_of(events, as_of), as_of, rules)


def test_the_published_sample(rules: Rules) -> None:
    got = compute_stickiness(old_tenant(84, 158), NOW, rules)
    shown = [got.stickiness_7d, got.stickiness_30d, got.stickiness_delta]
    assert [str(to_decimal(one or 0)) for one in shown] == ["8.40", "3.69", "2.28"]
    assert got.stickiness_trend == "rising"


def test_steady_use_is_exactly_one(rules: Rules) -> None:
    events = [Happened(NOW - n * DAY, REPLAY) for n in range(60)]
    got = of(events, rules)
    assert got.stickiness_7d == Fraction(21, 10)
    assert got.stickiness_delta == 1 and got.stickiness_trend == "stable"


@pytest.mark.parametrize(
    ("tenths_7d", "tenths_30d", "delta"),
    [
        (7, 60, Fraction(1, 2)),
        (14, 75, Fraction(4, 5)),
        (49, 300, Fraction(7, 10)),
        (21, 100, Fraction(9, 10)),
        (77, 300, Fraction(11, 10)),
        (7, 48, Fraction(5, 8)),
    ],
)
def test_ratios_that_floats_would_miss(
    rules: Rules, tenths_7d: int, tenths_30d: int, delta: Fraction
) -> None:
    assert (
        compute_stickiness(old_tenant(tenths_7d, tenths_30d), NOW, rules).stickiness_delta == delta
    )


@pytest.mark.parametrize(
    ("tenths_7d", "tenths_30d", "trend"),
    [
        (21, 100, "stable"),  # exactly 0.9
        (20, 100, "falling"),
        (77, 300, "stable"),  # exactly 1.1
        (78, 300, "rising"),
        (0, 300, "falling"),
    ],
)
def test_the_bounds_themselves_are_stable(
    rules: Rules, tenths_7d: int, tenths_30d: int, trend: str
) -> None:
    assert (
        compute_stickiness(old_tenant(tenths_7d, tenths_30d), NOW, rules).stickiness_trend == trend
    )


def test_nothing_in_30_days_has_no_ratio_and_is_silent(rules: Rules) -> None:
    got = of([Happened(NOW - 90 * DAY, VIEW), Happened(NOW, "LOGIN")], rules)
    assert (got.stickiness_7d, got.stickiness_30d) == (0, 0)
    assert (got.stickiness_delta, got.delta_reason) == (None, "no_activity")
    assert got.stickiness_trend == "silent"


def test_never_anything_is_unknown(rules: Rules) -> None:
    got = of([Happened(NOW - 90 * DAY, "LOGIN")], rules)
    assert (got.stickiness_trend, got.delta_reason) == ("unknown", "no_activity")
    assert got.peak_stickiness == 0


def test_windows_are_open_at_their_start(rules: Rules) -> None:
    old = Happened(NOW - 90 * DAY, "LOGIN")
    got = of([old, Happened(NOW - 7 * DAY, VIEW), Happened(NOW, EXPORT)], rules)
    assert got.stickiness_7d == Fraction(1, 2)
    got = of([old, Happened(NOW - 7 * DAY + TICK, VIEW), Happened(NOW, EXPORT)], rules)
    assert got.stickiness_7d == Fraction(7, 10)
    assert of([old, Happened(NOW - 30 * DAY, VIEW)], rules).stickiness_trend == "silent"


def test_an_event_exactly_3_days_old_counts_half(rules: Rules) -> None:
    assert of([Happened(NOW - 3 * DAY, EXPORT)], rules).stickiness_decayed == Fraction(1, 4)
    assert of([Happened(NOW - 3 * DAY + TICK, EXPORT)], rules).stickiness_decayed == Fraction(1, 2)


def test_halves_of_each_kind(rules: Rules) -> None:
    for name, half in ((VIEW, "0.1"), (REPLAY, "0.15"), (EXPORT, "0.25")):
        assert of([Happened(NOW - 5 * DAY, name)], rules).stickiness_decayed == Fraction(half)


@pytest.mark.parametrize(
    ("age", "length_days"),
    [
        (timedelta(0), Fraction(7)),
        (7 * DAY, Fraction(7)),
        (10 * DAY + DAY / 2, Fraction(21, 2)),
        (30 * DAY, Fraction(30)),
        (31 * DAY, Fraction(30)),
    ],
)
def test_a_young_tenant_is_compared_with_its_own_age(
    rules: Rules, age: timedelta, length_days: Fraction
) -> None:
    events = [Happened(NOW - age, "LOGIN"), Happened(NOW, EXPORT)]
    assert of(events, rules).stickiness_30d == Fraction(1, 2) * 7 / length_days


def test_the_age_counts_from_the_first_event_of_any_type(rules: Rules) -> None:
    events = [Happened(NOW - 20 * DAY, "LOGIN"), Happened(NOW - 10 * DAY, "SUBSCRIPTION_STARTED")]
    events.append(Happened(NOW, EXPORT))
    assert of(events, rules).stickiness_30d == Fraction(1, 2) * 7 / 20


def test_the_peak_is_at_midnight_or_now(rules: Rules) -> None:
    # Ten exports at 00:30 on day 1 are seen by seven midnights; later ones by now alone.
    first = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    events = repeat(10, first, EXPORT)
    assert of(events, rules, first).peak_stickiness == 5
    later = [*events, *repeat(3, NOW, EXPORT)]
    assert of(later, rules).peak_stickiness == 5
    assert of([*events, *repeat(12, NOW, EXPORT)], rules).peak_stickiness == 6


def test_a_peak_between_midnights_is_forgotten(rules: Rules) -> None:
    # The view leaves its week before the exports reach a midnight.
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    events = [Happened(start, VIEW), Happened(start + 7 * DAY - TICK, EXPORT)]
    assert of(events, rules, start + 7 * DAY - TICK).peak_stickiness == Fraction(7, 10)
    assert of(events, rules, start + 8 * DAY).peak_stickiness == Fraction(1, 2)


@given(st.lists(st.tuples(st.integers(0, 40 * 24), st.sampled_from([VIEW, REPLAY, EXPORT]))))
def test_what_always_holds(rules: Rules, drawn: list[tuple[int, str]]) -> None:
    events = [Happened(NOW - timedelta(hours=hours), name) for hours, name in drawn]
    events.append(Happened(NOW - 50 * DAY, "LOGIN"))
    got = of(events, rules)
    assert got.stickiness_7d / 2 <= got.stickiness_decayed <= got.stickiness_7d
    assert got.peak_stickiness >= got.stickiness_7d
    assert (got.stickiness_delta is None) == (got.stickiness_30d == 0)
    if got.stickiness_delta is not None:
        assert got.stickiness_delta * got.stickiness_30d == got.stickiness_7d
    assert of(events[::-1], rules) == got
