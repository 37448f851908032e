"""Four simple ways to say when a limit is reached, to stand beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from ebbtide.limits.series import Floats

NEWEST_WEIGHT = 0.1  # of the newest rate in the smoothed one

#: Growth per day of ``(days, used)``, both oldest first.
Slope = Callable[[Floats, Floats], float]


def last_value(days: Floats, used: Floats) -> float:
    """The growth between the newest two samples."""
    return float((used[-1] - used[-2]) / (days[-1] - days[-2]))


def linear(days: Floats, used: Floats) -> float:
    """The slope of the straight line with the least squares through all samples."""
    from_middle = days - days.mean()
    return float((from_middle * used).sum() / (from_middle**2).sum())


def ewma_slope(days: Floats, used: Floats) -> float:
    """The growth from sample to sample, exponentially weighted."""
    rates = np.diff(used) / np.diff(days)
    weights = (1 - NEWEST_WEIGHT) ** np.arange(len(rates))[::-1]
    return float((rates * weights).sum() / weights.sum())


def mean_rate(days: Floats, used: Floats) -> float:
    """The growth from the first sample to the newest."""
    return float((used[-1] - used[0]) / (days[-1] - days[0]))


NAIVE: Mapping[str, Slope] = MappingProxyType(
    {
        "last value": last_value,
        "linear": linear,
        "ewma slope": ewma_slope,
        "mean rate": mean_rate,
    }
)


def days_to_limit(slope: Slope, days: Floats, used: Floats, limit: float) -> float | None:
    """When a limit is reached at a constant growth; None when there is none."""
    growth = slope(days, used)
    return float((limit - used[-1]) / growth) if growth > 0 else None
