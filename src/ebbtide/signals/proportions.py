"""How much of a difference between two shares may be chance: intervals by Wilson and Newcombe."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(num: int, base: int, z: float) -> tuple[float, float]:
    """The interval of a share.

    Args:
        num, base: ``num`` of ``base``, which is above 0.
        z: how many standard errors wide; see :func:`z_of`.

    Example:
        >>> [round(one, 4) for one in wilson(8, 10, z_of(0.95))]
        [0.4902, 0.9433]
    """
    share, square = num / base, z * z
    middle = (share + square / (2 * base)) / (1 + square / base)
    half = (
        z * math.sqrt(share * (1 - share) / base + square / (4 * base * base)) / (1 + square / base)
    )
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(
    num: int, base: int, other_num: int, other_base: int, z: float
) -> tuple[float, float]:
    """The interval of ``num / base - other_num / other_base``, by Newcombe's hybrid score.

    It stays within -1 and 1, and holds for few customers and for shares near 0 and 1, where the
    textbook interval does not. Both bases are above 0.

    Example:
        >>> [round(one, 4) for one in difference(56, 70, 48, 80, z_of(0.95))]
        [0.0524, 0.3339]
    """
    share, other = num / base, other_num / other_base
    (low, high), (other_low, other_high) = wilson(num, base, z), wilson(other_num, other_base, z)
    return (
        share - other - math.hypot(share - low, other_high - other),
        share - other + math.hypot(high - share, other - other_low),
    )


def z_of(confidence: float, num_intervals: int = 1) -> float:
    """The width at which so many intervals together are so sure.

    Example:
        >>> round(z_of(0.95), 4), round(z_of(0.95, 4), 4)
        (1.96, 2.4977)
    """
    return NormalDist().inv_cdf(1 - (1 - confidence) / (2 * num_intervals))
