"""Even series: peaks survive, steps are taken out, drops and bursts are left as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.limits.series import LENGTHS_S, STRETCHES_MAX, Sample, even_out

START = datetime(2026, 3, 1, tzinfo=UTC)


def every(minutes: float, values: list[float]) -> list[Sample]:
    return [Sample(START + timedelta(minutes=minutes * i), v) for i, v in enumerate(values)]


def test_a_short_peak_is_not_averaged_away() -> None:
    values = [10.0] * 9000
    values[4321] = 97.0
    series = even_out(every(5, values))
    assert series.peaks.max() == 97.0


def test_a_deploy_moves_what_lay_before_it() -> None:
    before = [100 + 0.1 * i for i in range(60)]
    after = [180 + 0.1 * i for i in range(60)]
    series = even_out(every(60, before + after))
    assert series.num_steps == 1
    assert np.diff(series.leveled).max() < 1
    assert series.leveled[-1] == series.peaks[-1]


def test_a_flush_is_a_step_too() -> None:
    series = even_out(every(60, [100 + i for i in range(60)] + [20 + i for i in range(60)]))
    assert series.num_steps == 1
    assert np.allclose(np.diff(series.leveled)[:58], 1)


def test_one_spike_is_no_step() -> None:
    values = [50 + 0.1 * i for i in range(100)]
    values[50] = 400
    series = even_out(every(60, values))
    assert series.num_steps == 0
    assert series.peaks.max() == 400


def test_what_grows_by_jumps_keeps_them() -> None:
    values = [float(50 * (i // 10)) + 0.01 * i for i in range(200)]
    series = even_out(every(60, values))
    assert series.num_steps == 0
    assert (series.leveled == series.peaks).all()


def test_a_hole_lies_on_the_line_between_its_neighbours() -> None:
    samples = every(60, [float(i) for i in range(48)])
    series = even_out(samples[:20] + samples[30:])
    assert np.allclose(series.peaks, np.arange(48))


@given(
    gaps=st.lists(st.floats(1, 10_000), min_size=1, max_size=60),
    scale=st.floats(0.001, 1e12),
)
def test_any_distances_give_few_even_stretches(gaps: list[float], scale: float) -> None:
    moments = np.cumsum([0, *gaps])
    values = np.abs(np.sin(moments)) * scale
    samples = [
        Sample(START + timedelta(minutes=float(m)), float(v))
        for m, v in zip(moments, values, strict=True)
    ]
    series = even_out(samples)
    assert series.stretch_s in LENGTHS_S
    assert 1 <= len(series.peaks) <= STRETCHES_MAX * 1.05 + 2
    assert np.isfinite(series.leveled).all()
    assert series.peaks.max() == max(one.used for one in samples)
    assert series.peaks[-1] >= samples[-1].used
