"""Days to a limit: what grows, what does not, how sure that is, and what is not known."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.limits.projection import SAMPLES_MIN, Status, project
from ebbtide.limits.series import Sample

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hourly(values: list[float] | np.ndarray) -> list[Sample]:
    return [Sample(START + HOUR * i, float(v)) for i, v in enumerate(values)]


def at_end(samples: list[Sample]) -> datetime:
    return samples[-1].at


def test_a_line_is_continued() -> None:
    samples = hourly([100 + 0.5 * i for i in range(24 * 14)])  # 12 a day
    limit = samples[-1].used + 60  # five days
    found = project(samples, limit, at_end(samples))
    assert found.status is Status.GROWING
    assert found.days_to_limit == pytest.approx(5, rel=0.05)
    assert found.growth_per_day == pytest.approx(12, rel=0.02)
    assert found.days_low is not None and found.days_high is not None
    assert found.days_low <= 5 <= found.days_high


def test_the_truth_of_noisy_lines_lies_inside_about_four_times_in_five() -> None:
    noise = np.random.default_rng(11)
    inside = 0
    for _ in range(60):
        values = 1000 + np.arange(500) * 2 + noise.normal(0, 20, 500)
        known = hourly(values[:250])
        limit = float(values[:250].max()) + 200
        truth_days = (int(np.argmax(values[250:] >= limit)) + 1) / 24
        found = project(known, limit, at_end(known))
        assert found.days_low is not None
        is_late = found.days_high is not None and truth_days > found.days_high
        inside += found.days_low <= truth_days and not is_late
    assert 42 <= inside <= 59


def test_a_deploy_does_not_look_like_growth() -> None:
    samples = hourly([50 + 0.01 * i for i in range(100)] + [85 + 0.01 * i for i in range(100)])
    found = project(samples, 100, at_end(samples))
    assert found.num_steps == 1
    assert found.growth_per_day == pytest.approx(0.24, rel=0.2)


def test_growth_goes_on_after_a_flush() -> None:
    values = [*np.linspace(100, 300, 200), *np.linspace(20, 120, 100)]
    samples = hourly(values)
    found = project(samples, 320, at_end(samples))
    assert found.status is Status.GROWING
    assert found.days_to_limit == pytest.approx(200 / 24, rel=0.15)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full(300, 40.0), id="flat"),
        pytest.param(np.zeros(300), id="nothing"),
        pytest.param(np.linspace(90, 10, 300), id="falling"),
        pytest.param(50 + 10 * np.sin(np.arange(300) * 2 * np.pi / 24), id="daily swing"),
    ],
)
def test_what_does_not_grow_is_stable_and_names_no_day(values: np.ndarray) -> None:
    samples = hourly(values)
    found = project(samples, 100, at_end(samples))
    assert found.status is Status.STABLE
    assert (found.days_to_limit, found.days_high) == (None, None)
    assert found.growth_per_day is not None and found.growth_per_day <= 0.2


@pytest.mark.parametrize("used", [100.0, 130.0])
def test_at_the_limit_it_is_exhausted_however_little_is_known(used: float) -> None:
    found = project(hourly([used]), 100, START)
    assert found.status is Status.EXHAUSTED
    assert (found.days_to_limit, found.days_low, found.days_high) == (0, 0, 0)


def test_few_samples_say_nothing() -> None:
    samples = hourly(range(SAMPLES_MIN - 1))
    found = project(samples, 100, at_end(samples))
    assert found.status is Status.INSUFFICIENT_DATA
    assert found.growth_per_day is None
    assert project([], 100, START).status is Status.INSUFFICIENT_DATA
    enough = hourly(range(SAMPLES_MIN))
    assert project(enough, 100, at_end(enough)).status is not Status.INSUFFICIENT_DATA


def test_many_samples_of_one_moment_say_nothing_either() -> None:
    samples = [Sample(START + timedelta(seconds=i), float(i)) for i in range(60)]
    assert project(samples, 1000, at_end(samples)).status is Status.INSUFFICIENT_DATA


def test_days_are_counted_from_the_moment_of_the_question() -> None:
    samples = hourly([100 + 0.5 * i for i in range(24 * 14)])
    limit = samples[-1].used + 60
    then = project(samples, limit, at_end(samples))
    later = project(samples, limit, at_end(samples) + timedelta(days=1))
    assert then.days_to_limit is not None and later.days_to_limit is not None
    assert later.days_to_limit == pytest.approx(then.days_to_limit - 1)


@settings(max_examples=40)
@given(
    values=st.lists(st.floats(0, 1e15), min_size=12, max_size=80),
    share=st.floats(0.01, 3),
)
def test_the_three_days_are_in_order_whatever_the_samples(
    values: list[float], share: float
) -> None:
    samples = hourly(values)
    limit = max(1e-9, max(values) * share)
    found = project(samples, limit, at_end(samples))
    days = [
        day for day in (found.days_low, found.days_to_limit, found.days_high) if day is not None
    ]
    assert all(day >= 0 for day in days)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(days))
    if found.days_high is not None:
        assert found.days_low is not None
    assert (found.days_to_limit is not None) == (found.status in (Status.GROWING, Status.EXHAUSTED))


@settings(max_examples=25)
@given(
    values=st.lists(st.integers(0, 1000), min_size=20, max_size=60),
    factor=st.sampled_from([0.001, 4.0, 1e6]),
)
def test_the_unit_does_not_matter(values: list[int], factor: float) -> None:
    samples, limit = hourly(values), max(values) + 50.0
    scaled = [Sample(one.at, one.used * factor) for one in samples]
    one = project(samples, limit, at_end(samples))
    other = project(scaled, limit * factor, at_end(samples))
    assert (one.status, one.num_steps) == (other.status, other.num_steps)
    for a, b in ((one.days_low, other.days_low), (one.days_high, other.days_high)):
        assert (a is None) == (b is None)
        assert a is None or a == pytest.approx(b, rel=1e-6, abs=1e-6)
