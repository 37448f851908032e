"""The state machine of the pulse: what sets it, what only tells, and what nobody can know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.pulse import Threshold
from ebbtide.signals.pulse import (
    Change,
    Producer,
    Reading,
    Sample,
    State,
    Verdict,
    percentile,
)
from ebbtide.signals.pulse import (
    judge as judge_with,
)
from ebbtide.signals.pulse_reading import newest_samples

T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULE = load_catalog().signals.pulse
THRESHOLDS = RULE.thresholds
STEADY = Change(100, 100, 100)
NAMES = ("active_tenants", "incidents_created", "replays_executed", "exports_generated")


def reading(**more: Any) -> Reading:
    """A calm day, but for what is said."""
    counts = {name: more.pop(name, STEADY) for name in NAMES}
    rest: dict[str, Any] = {
        "as_of": T0,
        "newest_at": T0,
        "counts": counts,
        "num_events": 1000,
        "num_llm_calls": 0,
        "num_llm_failed": 0,
        "samples": (),
        "producers": (),
    }
    return Reading(**(rest | more))


def judge(one: Reading | None, thresholds: Sequence[Threshold] | None) -> Verdict:
    return judge_with(one, thresholds, RULE.stale_after)


def sample(used: str, limit: str = "100", resource: str = "redis", at: datetime = T0) -> Sample:
    return Sample(resource, at, Fraction(used), Fraction(limit))


def producer(now: int, *before: int) -> Producer:
    return Producer("console", T0 - HOUR, T0, 10, now, before)


def test_a_calm_day_is_stable_and_says_so() -> None:
    verdict = judge(reading(), THRESHOLDS)
    assert verdict.state is State.STABLE
    assert verdict.alerts == ()
    assert verdict.reasons == ("Nothing has passed a threshold.",)


@pytest.mark.parametrize(
    ("more", "state", "alerts"),
    [
        ({"replays_executed": Change(69, 100, 0)}, State.SILENT_DEGRADATION, ["critical"]),
        ({"replays_executed": Change(70, 100, 0)}, State.STABLE, []),  # exactly 30 %
        ({"exports_generated": Change(59, 100, 0)}, State.SILENT_DEGRADATION, ["critical"]),
        ({"exports_generated": Change(60, 100, 0)}, State.STABLE, []),
        ({"exports_generated": Change(0, 5, 0)}, State.SILENT_DEGRADATION, ["critical"]),
        ({"exports_generated": Change(0, 4, 0)}, State.STABLE, []),  # below the baseline
        ({"active_tenants": Change(7, 10, 0)}, State.STABLE, ["warning"]),
        ({"active_tenants": Change(8, 10, 0)}, State.STABLE, []),
        ({"incidents_created": Change(151, 100, 0)}, State.STABLE, ["warning"]),
        ({"incidents_created": Change(150, 100, 0)}, State.STABLE, []),
        ({"incidents_created": Change(50, 0, 0)}, State.STABLE, []),  # new, not a spike
        ({"num_llm_calls": 100, "num_llm_failed": 6}, State.ACTIVE_FAILURE, ["critical"]),
        ({"num_llm_calls": 100, "num_llm_failed": 5}, State.STABLE, []),
        ({"num_llm_calls": 4, "num_llm_failed": 4}, State.STABLE, []),  # too few calls
        ({"num_llm_calls": 5, "num_llm_failed": 5}, State.ACTIVE_FAILURE, ["critical"]),
        ({"samples": (sample("80.0000001"),)}, State.ACTIVE_FAILURE, ["critical"]),
        ({"samples": (sample("80"),)}, State.STABLE, []),
        (
            {"samples": (sample("90"),), "exports_generated": Change(1, 100, 0)},
            State.ACTIVE_FAILURE,
            ["critical", "critical"],
        ),
    ],
)
def test_thresholds_are_passed_only_beyond_them(
    more: dict[str, Any], state: State, alerts: list[str]
) -> None:
    verdict = judge(reading(**more), THRESHOLDS)
    assert verdict.state is state
    assert [alert.level for alert in verdict.alerts] == alerts


def test_below_the_baseline_it_is_told_but_gives_no_alarm() -> None:
    verdict = judge(reading(exports_generated=Change(1, 3, 0)), THRESHOLDS)
    assert verdict.reasons == (
        "Exports fell by 67 % against the 24 hours before (1 after 3): too few to compare with "
        "for an alarm.",
    )
    assert verdict.alerts == ()


def test_who_sees_nothing_does_not_say_stable() -> None:
    assert judge(None, THRESHOLDS).state is State.UNKNOWN
    assert judge(reading(), None).state is State.UNKNOWN
    nothing = Change(0, 0, 0)
    blind = reading(num_events=0, **dict.fromkeys(NAMES, nothing))
    assert judge(blind, THRESHOLDS).state is State.UNKNOWN
    # Even where what was there yesterday would pass a threshold: nothing came, of any type.
    gone = reading(num_events=0, replays_executed=Change(0, 100, 100), samples=(sample("99"),))
    assert judge(gone, THRESHOLDS).state is State.UNKNOWN
    assert all(judge(r, THRESHOLDS).reasons for r in (None, blind, gone))


@pytest.mark.parametrize(
    ("gap", "state"),
    [
        (timedelta(0), State.STABLE),
        (3 * HOUR, State.STABLE),
        (3 * HOUR + timedelta(microseconds=1), State.UNKNOWN),
        (23 * HOUR, State.UNKNOWN),
    ],
)
def test_when_events_stopped_nobody_knows_how_it_is(gap: timedelta, state: State) -> None:
    assert judge(reading(newest_at=T0 - gap), THRESHOLDS).state is state
    failing = reading(newest_at=T0 - gap, num_llm_calls=10, num_llm_failed=9)
    verdict = judge(failing, THRESHOLDS)
    is_known = state is State.STABLE
    assert verdict.state is (State.ACTIVE_FAILURE if is_known else State.UNKNOWN)
    assert [alert.name for alert in verdict.alerts] == ["llm_failure_rate"]  # told all the same
    assert verdict.reasons[-1] == "9 of 10 LLM calls failed (90 %)."


def test_an_old_newest_event_is_named() -> None:
    assert judge(reading(newest_at=T0 - 23 * HOUR), THRESHOLDS).reasons == (
        "No event for 23 hours, the newest is of 2026-03-11 13:00 UTC: either nothing happens, or"
        " nothing reaches us. The numbers say how it was until then.",
    )


def test_what_weighs_most_is_told_first() -> None:
    verdict = judge(
        reading(
            exports_generated=Change(0, 100, 0),
            num_llm_calls=100,
            num_llm_failed=6,
            samples=(sample("99"), sample("81", resource="disk")),
            incidents_created=Change(900, 100, 0),
        ),
        THRESHOLDS,
    )
    assert verdict.state is State.ACTIVE_FAILURE
    assert [text.split()[0] for text in verdict.reasons] == [
        "redis", "6", "disk", "Exports", "Incidents",
    ]  # fmt: skip


def test_a_probe_that_cannot_look_is_told_and_is_no_zero() -> None:
    verdict = judge(reading(blind=(("redis", "no answer"),)), THRESHOLDS)
    assert verdict.state is State.STABLE
    assert verdict.reasons == (
        "redis cannot be looked at (no answer): how full it is is not known.",
    )


def test_the_state_follows_the_table() -> None:
    milder = [replace(one, level="warning") for one in THRESHOLDS]
    fallen = reading(replays_executed=Change(1, 100, 0))
    assert judge(fallen, milder).state is State.STABLE
    assert [alert.level for alert in judge(fallen, milder).alerts] == ["warning"]
    off = [replace(one, is_enabled=False) for one in THRESHOLDS]
    assert judge(fallen, off).reasons == ("Nothing has passed a threshold.",)
    sharper = [replace(one, level="critical") for one in THRESHOLDS]
    assert judge(reading(active_tenants=Change(1, 10, 0)), sharper).state is (
        State.SILENT_DEGRADATION
    )


def test_critical_alerts_are_told_first() -> None:
    verdict = judge(
        reading(active_tenants=Change(1, 10, 0), exports_generated=Change(1, 10, 0)), THRESHOLDS
    )
    assert [alert.name for alert in verdict.alerts] == ["exports_generated", "active_tenants"]


@pytest.mark.parametrize(
    ("now", "before", "is_told"),
    [
        (0, (3, 3, 3, 3, 3, 3, 3), True),
        (0, (3, 3, 3, 3, 0, 0, 3), True),  # five of seven days, and last week's weekday
        (0, (3, 3, 3, 3, 0, 0, 0), False),
        (0, (3, 3, 3, 3, 3, 3, 0), False),  # rests on this weekday
        (1, (3, 3, 3, 3, 3, 3, 3), False),
    ],
)
def test_a_producer_is_missed_when_it_is_usually_there(
    now: int, before: tuple[int, ...], is_told: bool
) -> None:
    verdict = judge(reading(producers=(producer(now, *before),)), THRESHOLDS)
    assert [alert.name for alert in verdict.alerts] == (["producers"] if is_told else [])
    assert verdict.state is State.STABLE


def test_changes_say_why_there_are_none() -> None:
    change = Change(3, 0, 2)
    assert (change.share, change.reason) == (None, "new")
    assert (change.share_week, change.reason_week) == (Fraction(1, 2), None)
    assert Change(0, 0, 0).reason == "no_activity"
    assert Change(0, 4, 0).share == -1


def test_the_newest_sample_of_each_resource_counts() -> None:
    samples = [
        sample("90", at=T0 - HOUR),
        sample("10"),
        sample("20"),
        sample("5", "10", "disk"),
        sample("99", at=T0 - HOUR),
    ]
    assert newest_samples(samples) == [sample("5", "10", "disk"), sample("20")]


@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(0, 100))
def test_percentiles_are_the_exact_linear_ones(values: list[int], pct: int) -> None:
    ordered, share = sorted(values), Fraction(pct, 100)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    expected = low + (place - math.floor(place)) * (high - low)
    counts = [(value, ordered.count(value)) for value in sorted(set(ordered))]
    assert percentile(counts, share) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([], Fraction(95, 100)) is None


count = st.integers(0, 30)


@given(
    st.fixed_dictionaries({name: st.builds(Change, count, count, count) for name in NAMES}),
    st.integers(0, 5),
    count,
    st.integers(0, 30),
)
def test_alerts_and_state_agree(
    counts: dict[str, Change], num_events: int, calls: int, failed: int
) -> None:
    seen = reading(
        **counts, num_events=num_events, num_llm_calls=calls, num_llm_failed=min(failed, calls)
    )
    found = judge(seen, THRESHOLDS)
    critical = {alert.state for alert in found.alerts if alert.level == "critical"}
    if num_events == 0:
        assert found.state is State.UNKNOWN
    else:
        assert (found.state is State.STABLE) == (not critical)
        assert (found.state is State.ACTIVE_FAILURE) == (State.ACTIVE_FAILURE in critical)
    assert found.reasons
