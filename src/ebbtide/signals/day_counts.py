"""What all tenants did in any 30 days, added up from days that are kept.

A month of a large installation is a million rows of sums by the hour; a day that is over never
changes again, but for what comes late, and the store tells whose days those are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from decimal import Context, Decimal

import numpy as np
import numpy.typing as npt

from ebbtide.domain.event import COST_DECIMALS
from ebbtide.domain.time import MICROSECOND, ceil_hour, floor_hour
from ebbtide.metrics.compute import MetricTable
from ebbtide.signals.facts import DAY
from ebbtide.signals.revenue import STEPS_PER_USD, Counts
from ebbtide.store.events.base import Change

#: Rows of tenants and days that are kept: about 80 bytes each.
KEPT_ROWS_MAX = 500_000
_EXACT = Context(prec=60)
_COLUMNS = 8  # calls, costs, whole USD, their steps, API calls, incidents, replays, exports

Numbers = npt.NDArray[np.int64]
#: Reads the metric ``unit_counts`` for ``(start, end]``.
Read = Callable[[datetime, datetime], MetricTable]


class _Part:
    """One stretch of time: a place for each tenant with events, and its numbers."""

    def __init__(self, places: Numbers, numbers: Numbers) -> None:
        self.places = places
        self.numbers = numbers


class DayCounts:
    """Counts of all tenants, by full days of UTC and what is left at the ends; both are kept.

    One thread at a time.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._parts: OrderedDict[tuple[datetime, datetime], _Part] = OrderedDict()
        self._num_rows = 0

    def forget(self, changes: Iterable[Change], event_types: Collection[str]) -> None:
        """Drop the stretches in which something was stored since they were read."""
        spans = {
            (floor_hour(one.first_at), ceil_hour(one.last_at))
            for one in changes
            if one.event_type in event_types
        }
        # Nearly all that comes is of the same few hours.
        gone = [
            part
            for part in self._parts
            if any(first <= part[1] and last > part[0] for first, last in spans)
        ]
        for part in gone:
            self._num_rows -= len(self._parts.pop(part).places)

    def within(self, start: datetime, as_of: datetime, read: Read) -> dict[str, Counts]:
        """Counts of ``(start, as_of]`` by tenant id; one without events is not in it."""
        first, last = _ceil_day(start), _floor_day(as_of)
        stretches = [(start, as_of)]
        if first <= last:
            days = [(first + n * DAY, first + (n + 1) * DAY) for n in range((last - first) // DAY)]
            stretches = [(start, first), *days, (last, as_of)]
        parts = [self._part(one, read) for one in stretches if one[0] < one[1]]
        total = np.zeros((len(self._places), _COLUMNS), np.int64)
        for part in parts:
            total[part.places] += part.numbers
        seen = np.flatnonzero(total.any(axis=1))
        names = list(self._places)
        return {
            names[place]: _counts(row)
            for place, row in zip(seen.tolist(), total[seen].tolist(), strict=True)
        }

    def _part(self, stretch: tuple[datetime, datetime], read: Read) -> _Part:
        part = self._parts.get(stretch)
        if part is None:
            part = self._parts[stretch] = self._take(read(*stretch))
            self._num_rows += len(part.places)
            while self._num_rows > KEPT_ROWS_MAX and len(self._parts) > 1:
                _, dropped = self._parts.popitem(last=False)
                self._num_rows -= len(dropped.places)
        self._parts.move_to_end(stretch)
        return part

    def _take(self, table: MetricTable) -> _Part:
        places = self._places
        numbers = np.zeros((len(table.rows), _COLUMNS), np.int64)
        taken = np.zeros(len(table.rows), np.int64)
        for at, (tenant_id, calls, costs, cost, *rest) in enumerate(table.rows):
            taken[at] = places.setdefault(tenant_id, len(places))
            whole, part = divmod(_steps(cost), STEPS_PER_USD)
            numbers[at] = (calls, costs, whole, part, *rest)
        return _Part(taken, numbers)


def _counts(row: list[int]) -> Counts:
    calls, costs, whole, steps, *rest = row
    return Counts(calls, costs, whole * STEPS_PER_USD + steps, *rest)


def _steps(cost: Decimal | None) -> int:
    """A sum of costs in whole steps; its context would round one of more than 28 digits."""
    return 0 if cost is None else int(cost.scaleb(COST_DECIMALS, _EXACT))


def _floor_day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _ceil_day(moment: datetime) -> datetime:
    return _floor_day(moment + DAY - MICROSECOND)
