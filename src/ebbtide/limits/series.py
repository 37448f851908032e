"""Turns samples as they came into an even series: one peak per stretch of time, steps taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DAY_S = 86_400.0
STRETCHES_MAX = 240  # enough to see a day's shape over weeks; more costs time and tells nothing new
MINUTE_S = 60.0
#: Lengths that a stretch may have: each divides a day or is a number of days.
LENGTHS_S = tuple(
    MINUTE_S * minutes
    for minutes in (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 5760, 10080)
)
STEP_SPREADS = 12.0  # a change this many times the usual one, and that stays, is a step
STEP_SHARE = 0.05  # of the level, at least: rounding of calm series is no step
STEP_STAYS = 3  # stretches on either side that must agree on it
STEPS_MAX = 3  # what jumps more often than that grows by jumps


class Sample(NamedTuple):
    """What was in use at one moment."""

    at: datetime
    used: float


@dataclass(frozen=True, slots=True)
class EvenSeries:
    """Peaks of equal stretches of time, oldest first; the last stretch ends at the newest sample.

    Attributes:
        stretch_s: length of a stretch in seconds.
        peaks: highest use in each; stretches without a sample lie on the line between neighbours.
        leveled: the same with steps taken out: what lay before a step is moved to join it.
        num_steps: how many were taken out.
    """

    stretch_s: float
    peaks: Floats
    leveled: Floats
    num_steps: int


def even_out(samples: Sequence[Sample]) -> EvenSeries:
    """Lay samples out evenly.

    Args:
        samples: at least two, oldest first, at different moments.
    """
    newest = samples[-1].at
    ages_s = np.array([(newest - one.at).total_seconds() for one in samples])
    used = np.array([one.used for one in samples], dtype=np.float64)
    stretch_s = _length(ages_s)
    # Counted back from the newest sample, so that the last stretch is a whole one.
    back = np.floor(ages_s / stretch_s).astype(np.int64)
    num = int(back[0]) + 1
    peaks = np.full(num, -np.inf)
    np.maximum.at(peaks, num - 1 - back, used)
    is_known = np.isfinite(peaks)
    places = np.arange(num)
    peaks = np.interp(places, places[is_known], peaks[is_known])
    leveled, num_steps = _without_steps(peaks)
    return EvenSeries(stretch_s, peaks, leveled, num_steps)


def _length(ages_s: Floats) -> float:
    """The shortest length that is not finer than the samples and gives few enough stretches."""
    usual_s = float(np.median(-np.diff(ages_s)))
    wanted_s = max(usual_s, float(ages_s[0]) / STRETCHES_MAX)
    # Samples are never quite on time: a stretch a little shorter than their distance has holes.
    return next((one for one in LENGTHS_S if one * 1.05 >= wanted_s), LENGTHS_S[-1])


def _without_steps(peaks: Floats) -> tuple[Floats, int]:
    """Move what lies before a lasting jump (a deploy, a flush, a bigger plan) by that jump."""
    changes = np.diff(peaks)
    if len(changes) == 0:
        return peaks, 0
    usual = float(np.median(np.abs(changes - np.median(changes))))
    least = max(STEP_SPREADS * usual, STEP_SHARE * float(np.median(np.abs(peaks))))
    steps = [
        place
        for place in np.flatnonzero(np.abs(changes) > least).tolist()
        if _lasts(peaks, place, least)
    ]
    if len(steps) > STEPS_MAX:
        return peaks, 0
    leveled = peaks.copy()
    for place in steps:
        leveled[: place + 1] += changes[place]
    return leveled, len(steps)


def _lasts(peaks: Floats, place: int, least: float) -> bool:
    """Whether the level is another one after a place than before it."""
    before = peaks[max(0, place + 1 - STEP_STAYS) : place + 1]
    after = peaks[place + 1 : place + 1 + STEP_STAYS]
    if len(after) < STEP_STAYS:
        return False  # it may be a peak; the next samples will tell
    jump = float(np.median(after) - np.median(before))
    is_same_way = jump * float(peaks[place + 1] - peaks[place]) > 0
    return is_same_way and abs(jump) > least
