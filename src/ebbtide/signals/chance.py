"""How likely chance alone is to show such a difference: two exact one-sided tests.

Written with numpy and the standard library: a statistics package would weigh more than a hundred
megabytes for two sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

#: Up to here every possible division is counted; above, the normal curve is close enough.
EXACT_MAX_DRAWN, EXACT_MAX_ALL = 60, 900


def p_more_often(num_new: int, base_new: int, num_old: int, base_old: int) -> float:
    """Chance of at least so many of all incidents on the new side, were both rates equal.

    Given their total, incidents fall on the new side in the ratio of the calls: a binomial tail.

    Args:
        num_new, num_old: incidents.
        base_new, base_old: calls; both above 0.

    Example:
        >>> round(p_more_often(9, 100, 1, 100), 6)
        0.010742
    """
    total, share = num_new + num_old, base_new / (base_new + base_old)
    if num_new <= total * share:
        return 1.0  # not more often at all; the tail above one half is of no use to anybody
    logs = [
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + k * math.log(share)
        + (total - k) * math.log1p(-share)
        for k in range(num_new, total + 1)
    ]
    top = max(logs)
    return min(1.0, math.exp(top) * math.fsum(math.exp(one - top) for one in logs))


def p_more_severe(new: Mapping[int, int], old: Mapping[int, int]) -> float:
    """Chance of a sum of severities at least so high, were the new ones drawn from all alike.

    Args:
        new, old: severity -> incidents.

    Returns:
        1.0 when one side is empty.
    """
    drawn, rest = sum(new.values()), sum(old.values())
    if drawn == 0 or rest == 0:
        return 1.0
    counts = {value: new.get(value, 0) + old.get(value, 0) for value in {*new, *old}}
    reached = sum(value * num for value, num in new.items())
    if drawn <= EXACT_MAX_DRAWN and drawn + rest <= EXACT_MAX_ALL:
        return _exact(counts, drawn, reached)
    return _normal(counts, drawn, reached)


def _exact(counts: Mapping[int, int], drawn: int, reached: int) -> float:
    """Ways to draw so many with such a sum, of all ways to draw so many."""
    highest = max(counts)
    ways = np.zeros((drawn + 1, drawn * highest + 1))
    ways[0, 0] = 1.0
    for value, num in counts.items():
        more = np.zeros_like(ways)
        for taken in range(min(num, drawn) + 1):
            shift = taken * value
            width = ways.shape[1] - shift
            more[taken:, shift:] += math.comb(num, taken) * ways[: drawn + 1 - taken, :width]
        ways = more
    return float(ways[drawn, reached:].sum() / ways[drawn].sum())


def _normal(counts: Mapping[int, int], drawn: int, reached: int) -> float:
    total = sum(counts.values())
    mean = sum(value * num for value, num in counts.items()) / total
    square = sum(num * (value - mean) ** 2 for value, num in counts.items()) / (total - 1)
    spread = math.sqrt(square * drawn * (total - drawn) / total)
    if spread == 0:
        return 1.0
    return 0.5 * math.erfc((reached - 0.5 - drawn * mean) / spread / math.sqrt(2))
