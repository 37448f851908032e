"""Random draws that come out the same on every machine and for every other tenant."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import accumulate
from math import exp
from statistics import NormalDist
from typing import Generic, TypeVar

T = TypeVar("T")


class Draws:
    """One stream of random numbers, named by a seed and a path.

    A stream is known by its name alone, so adding a tenant or a kind of event leaves all other
    streams as they were. Only ``random()`` and ``getrandbits()`` of the generator are used, and
    only ``+ - * /`` on what they give: both are exact and equal on every platform, which the
    other methods of :class:`random.Random` do not promise from version to version.
    """

    __slots__ = ("bits", "unit")

    def __init__(self, seed: int, *path: str | int) -> None:
        name = "/".join(str(part) for part in (seed, *path))
        stream = random.Random(int.from_bytes(sha256(name.encode()).digest(), "big"))
        self.unit = stream.random  #: a float in [0, 1)
        self.bits = stream.getrandbits  #: an integer of so many random bits

    def below(self, bound: int) -> int:
        """A whole number in [0, bound)."""
        return int(self.unit() * bound)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def chance(self, share: float) -> bool:
        """True in this share of the draws, 0 to 1."""
        return self.unit() < share

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely as the others."""
        return options[int(self.unit() * len(options))]


class Weighted(Generic[T]):
    """A choice among options with whole-number weights."""

    __slots__ = ("_cumulative", "_options", "_total")

    def __init__(self, weights: Mapping[T, int]) -> None:
        self._options = tuple(weights)
        self._cumulative = tuple(accumulate(weights.values()))
        self._total = self._cumulative[-1]

    def at(self, unit: float) -> T:
        """The option that a number in [0, 1) falls on."""
        return self._options[bisect_right(self._cumulative, unit * self._total)]


class Quota:
    """Turns a rate into whole numbers whose sum stays close to the rate.

    What a step leaves over is carried to the next one. A scripted customer thus really does what
    the ground truth says: independent draws would let a steady one look as if it faded.
    """

    __slots__ = ("_draws", "_owed")

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._owed = draws.unit()

    def take(self, rate: float) -> int:
        """How many this step has, on average ``rate``."""
        self._owed += rate * self._draws.between(0.8, 1.2)
        whole = int(self._owed)
        self._owed -= whole
        return whole


def _lognormal_permille(sigma: float, size: int = 1024) -> tuple[int, ...]:
    normal = NormalDist()
    quantiles = (normal.inv_cdf((step + 0.5) / size) for step in range(size))
    # Rounded to whole per mille: exp() may differ in its last bit between C libraries.
    return tuple(round(1000 * exp(sigma * z)) for z in quantiles)


#: Evenly spaced quantiles of a lognormal with median 1 and sigma 0.5, in per mille. One of them
#: at random is a lognormal draw without calling the C library, and faster.
LOGNORMAL_PERMILLE = _lognormal_permille(0.5)
