"""The smoothing against the recursion written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ebbtide.limits.smoothing import WEIGHTS, gains, smooth


def test_each_row_is_the_textbook_recursion() -> None:
    values = np.array([3.0, 5.0, 4.0, 9.0, 7.0, 8.0, 12.0, 11.0, 15.0])
    states = smooth(values)
    for choice, (alpha, beta, phi) in enumerate(WEIGHTS):
        level, trend = 3.0, (4.0 - 3.0) / 2 if phi else 0.0
        for value in values[1:]:
            before = level
            level = alpha * value + (1 - alpha) * (before + phi * trend)
            trend = beta * (level - before) + (1 - beta) * phi * trend
        assert states.level[-1, choice] == pytest.approx(level)
        assert states.trend[-1, choice] == pytest.approx(trend)


def test_gains_are_the_sum_of_powers() -> None:
    found = gains(0.9, np.array([1.0, 2.0, 3.0]))
    assert found == pytest.approx([0.9, 0.9 + 0.81, 0.9 + 0.81 + 0.729])
    assert gains(0.0, np.array([1.0, 5.0])).tolist() == [0.0, 0.0]
