"""Damped-trend exponential smoothing, for every choice of its three weights at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from ebbtide.limits.series import Floats

LEVEL_WEIGHTS = (0.1, 0.25, 0.5, 0.9)
TREND_WEIGHTS = (0.02, 0.1, 0.3)
DAMPINGS = (0.9, 0.97, 0.99, 0.998)
#: Level weight, trend weight, damping. The rows with damping 0 know no trend at all.
WEIGHTS: Floats = np.array(
    [*product(LEVEL_WEIGHTS, TREND_WEIGHTS, DAMPINGS), *((a, 0.0, 0.0) for a in LEVEL_WEIGHTS)]
)


@dataclass(frozen=True, slots=True)
class States:
    """Level and trend after each value, shape (num values, num weights)."""

    level: Floats
    trend: Floats

    def path(self, choice: int, places: npt.NDArray[np.int64], horizon: float) -> Floats:
        """What was expected at some places for one horizon."""
        gain = gains(float(WEIGHTS[choice, 2]), np.array(horizon))
        return np.asarray(self.level[places, choice] + self.trend[places, choice] * gain)


def gains(damping: float, horizons: Floats) -> Floats:
    """How many steps of the present trend are still to come within each horizon."""
    return np.asarray(damping * (1.0 - damping**horizons) / (1.0 - damping))


def smooth(values: Floats) -> States:
    """Run the smoothing through a series.

    Args:
        values: at least two, evenly spaced.
    """
    alpha, beta, phi = WEIGHTS.T
    num = len(values)
    level = np.empty((num, len(WEIGHTS)))
    trend = np.empty_like(level)
    level[0] = values[0]
    # The first guess of the trend is the slope of the first third; it fades by the trend weight.
    first = values[: max(2, num // 3)]
    trend[0] = np.where(phi > 0, (first[-1] - first[0]) / (len(first) - 1), 0.0)
    for i in range(1, num):
        expected = phi * trend[i - 1]
        level[i] = level[i - 1] + expected + alpha * (values[i] - level[i - 1] - expected)
        trend[i] = expected + beta * (level[i] - level[i - 1] - expected)
    return States(level, trend)
