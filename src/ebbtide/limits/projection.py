"""When a resource reaches its limit: damped-trend smoothing, with an interval that is measured.

The trend is smoothed with the weights that would have served this resource best so far. The
interval comes from the resource's own past: from every earlier moment of the series one looks at
how much higher than expected its use rose within each horizon. What one in ten of those moments
stayed below, and what one in ten rose above, are the two ends. ``ebbtide backtest limits`` holds
both against real series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ebbtide.limits.series import DAY_S, EvenSeries, Floats, Sample, even_out
from ebbtide.limits.smoothing import WEIGHTS, States, gains, smooth

FORMULA = "days_to_limit/1"
INTERVAL = 0.8  # share of truths that days_low to days_high is meant to hold

SAMPLES_MIN = 12  # and as many stretches: below that the past cannot be looked back on
SHAPE_DAYS_MIN = 3  # a day's shape is known after that many days
REACH = 0.5  # of the series: the farthest horizon that is measured in it
NUM_HORIZONS = 16  # that are measured, ever farther apart
AHEAD = 12  # times the length of the series: nothing is said about what lies beyond
NUM_AHEAD = 100
# Chosen on one half of the series of the back-test, and judged on the other one.
SLOPE_DOUBT = 0.02  # share of the expected growth, to each side: a past can be too regular
FEW_DOUBT = 0.3  # widening by how few times a horizon fits into the past that it is measured in


class Status(StrEnum):
    """How a resource stands to its limit."""

    EXHAUSTED = "exhausted"
    GROWING = "growing"
    STABLE = "stable"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True)
class Projection:
    """What is to be expected of a resource.

    Attributes:
        days_to_limit: decimal days; 0 when exhausted, None when not growing.
        days_low: one chance in ten that the limit is reached before; None when that is farther
            away than anything that can be said. A stable resource may have it: its peaks do not
            grow, but may reach the limit all the same.
        days_high: one chance in ten that it takes longer; None when it may never happen.
        growth_per_day: the smoothed trend, in units of the resource; None when not known.
        num_samples: how many samples it rests on.
        span_days: from the first of them to the last.
        num_steps: jumps that were taken out, such as deploys and flushes.
    """

    status: Status
    days_to_limit: float | None
    days_low: float | None
    days_high: float | None
    growth_per_day: float | None
    num_samples: int
    span_days: float
    num_steps: int


def project(samples: Sequence[Sample], limit: float, as_of: datetime) -> Projection:
    """Say when a resource reaches its limit.

    Args:
        samples: oldest first, at different moments; the last one is what is in use.
        limit: in the unit of the samples, above 0.
        as_of: the moment that days are counted from, not before the last sample.

    Returns:
        ``insufficient_data`` for fewer than :data:`SAMPLES_MIN` samples, or when they lie too
        close together.
    """
    num = len(samples)
    span_days = (samples[-1].at - samples[0].at).total_seconds() / DAY_S if num else 0.0
    if num and samples[-1].used >= limit:
        return Projection(Status.EXHAUSTED, 0.0, 0.0, 0.0, None, num, span_days, 0)
    unknown = Projection(Status.INSUFFICIENT_DATA, None, None, None, None, num, span_days, 0)
    if num < SAMPLES_MIN:
        return unknown
    series = even_out(samples)
    if len(series.peaks) < SAMPLES_MIN:
        return unknown
    outlook = look_ahead(series)
    days_per_stretch = series.stretch_s / DAY_S
    passed_days = (as_of - samples[-1].at).total_seconds() / DAY_S

    def days(line: Floats) -> float | None:
        reached = outlook.reaches(limit, line)
        return None if reached is None else max(0.0, reached * days_per_stretch - passed_days)

    middle = days(outlook.middle)
    is_growing = outlook.is_growing and middle is not None
    return Projection(
        status=Status.GROWING if is_growing else Status.STABLE,
        days_to_limit=middle if is_growing else None,
        days_low=days(outlook.high),
        days_high=days(outlook.low),
        growth_per_day=outlook.trend / days_per_stretch,
        num_samples=num,
        span_days=span_days,
        num_steps=series.num_steps,
    )


@dataclass(frozen=True, slots=True)
class Outlook:
    """The highest use to be expected within each number of stretches from now on.

    Attributes:
        ahead: numbers of stretches, ascending, the first one 0.
        low: what it stays below in one of ten cases.
        middle: what it stays below in half of them.
        high: what it stays below in nine of ten.
        trend: growth per stretch.
        is_growing: whether the trend served better than none so far.
    """

    ahead: Floats
    low: Floats
    middle: Floats
    high: Floats
    trend: float
    is_growing: bool

    def reaches(self, limit: float, line: Floats) -> float | None:
        """After how many stretches one of the lines reaches a limit; None when it does not."""
        if line[-1] < limit:
            return None
        first = int(np.argmax(line >= limit))
        if first == 0:
            return 0.0
        below, above = line[first - 1], line[first]
        part = (limit - below) / (above - below)
        return float(self.ahead[first - 1] + part * (self.ahead[first] - self.ahead[first - 1]))


def look_ahead(series: EvenSeries) -> Outlook:
    """What is to be expected of a series of at least :data:`SAMPLES_MIN` stretches."""
    shape = _day_shape(series)
    leveled = series.leveled
    plain = leveled - shape
    num = len(plain)
    farthest = max(3, int(num * REACH))
    horizons = np.unique(np.geomspace(1, farthest, NUM_HORIZONS).round())
    states = smooth(plain)
    warm = max(2, num // 6)  # before that the smoothing has not seen enough to be judged
    choice, is_growing = _choose(states, plain, horizons, warm)
    spread = _spread(states, choice, leveled, horizons, warm)
    ahead = np.unique(
        np.concatenate([[0.0], horizons, np.geomspace(farthest, AHEAD * num, NUM_AHEAD)])
    )
    trend = float(states.trend[-1, choice])
    gain = trend * gains(WEIGHTS[choice, 2], ahead)
    path = states.level[-1, choice] + gain
    # Beyond what could be measured, nobody knows whether the trend really slackens as the path
    # says: the early end of the interval goes on from there without slackening.
    unmeasured = np.maximum(0.0, ahead - farthest)
    measured = np.interp(np.minimum(ahead, farthest), ahead, gain)
    steady = np.maximum(gain, measured + trend * unmeasured)
    # Doubt grows there as the horizon does.
    beyond = np.maximum(1.0, ahead / farthest)
    below, middle, above = (np.interp(ahead, horizons, line) for line in spread)
    doubt = SLOPE_DOUBT * np.abs(gain)
    lines = (
        path + middle + (below - middle) * beyond - doubt,
        path + middle,
        path - gain + steady + middle + (above - middle) * beyond + SLOPE_DOUBT * np.abs(steady),
    )
    low, middle, high = (_rising(line, series.peaks[-1]) for line in lines)
    return Outlook(ahead, low, middle, high, trend, is_growing)


def _rising(line: Floats, now: float) -> Floats:
    """A line of highest uses: it begins with the present one and never falls."""
    return np.maximum.accumulate(np.concatenate([[now], line[1:]]))


def _day_shape(series: EvenSeries) -> Floats:
    """How far the time of day alone lifts each stretch; zeros when that cannot be known."""
    per_day = round(DAY_S / series.stretch_s)
    num = len(series.leveled)
    if per_day < 2 or num < SHAPE_DAYS_MIN * per_day:
        return np.zeros(num)
    window = sliding_window_view(series.leveled, per_day).mean(axis=1)
    start = per_day // 2
    centred = series.leveled[start : start + len(window)] - window
    slots = (np.arange(num) - num) % per_day
    seen = slots[start : start + len(window)]
    shape = np.array([np.median(centred[seen == slot]) for slot in range(per_day)])
    return np.asarray(shape - shape.mean())[slots]


def _choose(states: States, plain: Floats, horizons: Floats, warm: int) -> tuple[int, bool]:
    """The weights with the smallest errors so far, and whether a trend was of use at all."""
    num = len(plain)
    worst = np.zeros(len(WEIGHTS))
    for horizon in horizons.astype(int):
        origins = slice(warm, num - horizon)
        truth = plain[warm + horizon :]
        if len(truth) < 2:
            continue
        gain = np.array([gains(damping, np.array(float(horizon))) for damping in WEIGHTS[:, 2]])
        errors = states.level[origins] + states.trend[origins] * gain - truth[:, None]
        mean = np.abs(errors).mean(axis=0)
        worst += mean / max(float(np.abs(truth - plain[origins]).mean()), 1e-12)
    best = int(np.argmin(worst))
    has_trend = WEIGHTS[:, 2] > 0
    best_flat = float(worst[~has_trend].min())
    is_growing = bool(worst[best] < best_flat and states.trend[-1, best] > 0)
    return best, is_growing


def _spread(states: States, choice: int, leveled: Floats, horizons: Floats, warm: int) -> Floats:
    """How far above the path the highest use lay: 1, 5 and 9 of 10 cases, by horizon.

    Returns:
        Shape (3, horizons).
    """
    lines = np.empty((3, len(horizons)))
    for i, horizon in enumerate(horizons.astype(int)):
        highest = sliding_window_view(leveled[warm + 1 :], horizon).max(axis=1)
        origins = np.arange(warm, warm + len(highest))
        path = states.path(choice, origins, float(horizon))
        low, middle, high = np.quantile(highest - path, (0.1, 0.5, 0.9))
        widening = 1.0 + FEW_DOUBT * horizon / len(highest)
        lines[:, i] = (
            middle + widening * (low - middle),
            middle,
            middle + widening * (high - middle),
        )
    return lines
