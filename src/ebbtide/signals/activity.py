"""What each customer did in a stretch of time: events by feature, put together from whole weeks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.metric import FRESHNESS
from ebbtide.domain.time import MICROSECOND
from ebbtide.metrics.compute import compute_metric_arrow
from ebbtide.signals.changes import EVERYBODY
from ebbtide.signals.facts import INVESTIGATION_TYPES
from ebbtide.signals.watch import Shelf, Watch
from ebbtide.signals.weeks import WEEK, Key, Weeks, monday_of
from ebbtide.store.events.base import EventStore

#: The column of ``activity_counts`` that counts a type.
COLUMN_OF = {
    "INCIDENT_CREATED": "num_incidents",
    "INCIDENT_VIEWED": "num_views",
    "REPLAY_EXECUTED": "num_replays",
    "EXPORT_GENERATED": "num_exports",
    "CERT_VERIFIED": "num_verifications",
}
COLUMNS = ("num_events", *COLUMN_OF.values())
#: Activities that are more than one feature, and the columns that count for each.
INVESTIGATION = tuple(COLUMN_OF[one] for one in INVESTIGATION_TYPES)

#: Beginnings of lists that are kept: people ask for a few numbers of weeks.
BEFORE_KEPT = 4
#: From one further back everything is read anew: that costs less than so many weeks.
BEFORE_REACH = 26 * WEEK

Counts = npt.NDArray[np.int64]  #: a row for each tenant, a column for each of COLUMNS


@dataclass(frozen=True, slots=True)
class Activity:
    """Who did what, and how often; ``freshness`` is None when there is nothing."""

    tenants: Sequence[str]
    counts: Counts
    freshness: datetime | None

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """How often each tenant did one thing, in their order."""
        found: npt.NDArray[np.int64] = self.counts[:, COLUMNS.index(name)]
        return found

    def who(self, columns: Iterable[str]) -> frozenset[str]:
        """Tenants that did any of some things."""
        places = [COLUMNS.index(name) for name in columns]
        rows = np.flatnonzero(self.counts[:, places].any(axis=1)).tolist()
        return frozenset(self.tenants[row] for row in rows)


def together(pieces: Sequence[Activity]) -> Activity:
    """The sums of stretches that do not touch one another."""
    if len(pieces) == 1:
        return pieces[0]
    places: dict[str, int] = {}
    rows: list[list[int]] = []
    for place, one in enumerate(pieces):
        # Mostly everybody was there in each of two weeks, and in the same order.
        if place and one.tenants == pieces[place - 1].tenants:
            rows.append(rows[-1])
        else:
            rows.append([places.setdefault(name, len(places)) for name in one.tenants])
    counts = np.zeros((len(places), len(COLUMNS)), np.int64)
    for one, where in zip(pieces, rows, strict=True):
        counts[where] += one.counts  # no tenant stands twice in a piece
    freshness = max(filter(None, (one.freshness for one in pieces)), default=None)
    return Activity(list(places), counts, freshness)


class ActivityReader:
    """Reads activity at any moment; past weeks come from memory. From any thread."""

    def __init__(self, catalog: Catalog, events: EventStore, watch: Watch) -> None:
        self._metric = catalog.metrics["activity_counts"]
        self._events = events
        self._watch = watch
        self._weeks = Weeks(watch, self._load, lambda one: one.freshness)
        # All that happened before a Monday.
        self._before: Shelf[datetime, Activity] = watch.keep(
            lambda monday, late: late.first < monday, BEFORE_KEPT
        )

    def over(
        self,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        look: bool = True,
    ) -> Activity:
        """Activity of ``(start, end]``.

        Args:
            look: False when the same question has had the watch look already.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        return together([_NOTHING, *self._weeks.over(start, end, known_at=known_at, look=look)])

    def by_week(
        self, first: datetime, as_of: datetime, *, known_at: datetime | None = None
    ) -> tuple[Activity, list[Activity]]:
        """Activity before a Monday, and then week by week up to the moment.

        Args:
            first: 00:00 UTC of a Monday, not after ``as_of``.

        Returns:
            All that happened before, and one for each week; the last one may be cut short.
        """
        last = monday_of(as_of + MICROSECOND)  # of the week that is not over yet
        self._watch.look()
        weeks = [self._weeks.read(key, known_at) for key in _weeks(first, last)]
        before = self._before.get(first, lambda: self._until(first))
        if known_at is not None and before.freshness is not None and before.freshness > known_at:
            before = self._load(None, first - MICROSECOND, known_at)
        if last <= as_of:
            weeks.append(self._load(last - MICROSECOND, as_of, known_at))
        return before, weeks

    def _until(self, monday: datetime) -> Activity:
        """All that happened before a Monday: what is kept up to an earlier one, and since then."""
        near = (one for one in self._before.keys() if monday - BEFORE_REACH <= one < monday)
        earlier = max(near, default=None)
        known = None if earlier is None else self._before.peek(earlier)
        if earlier is None or known is None:
            return self._load(None, monday - MICROSECOND, None)
        return together([known, *(self._weeks.read(key) for key in _weeks(earlier, monday))])

    def _load(self, start: datetime | None, end: datetime, known_at: datetime | None) -> Activity:
        table = compute_metric_arrow(
            self._metric, end, self._events, known_at=known_at, since=start
        )
        freshness = pc.max(table[FRESHNESS]).as_py() if table.num_rows else None
        # What is told of everybody is told of no customer.
        table = table.filter(pc.not_equal(table["tenant_id"], EVERYBODY))
        counts = np.empty((table.num_rows, len(COLUMNS)), np.int64)
        for place, name in enumerate(COLUMNS):
            counts[:, place] = table[name].to_numpy()
        # Each name stands once in memory, in however many weeks.
        return Activity(
            [sys.intern(one) for one in table["tenant_id"].to_pylist()], counts, freshness
        )


def _weeks(first: datetime, last: datetime) -> Iterator[Key]:
    while first < last:
        yield first, WEEK
        first += WEEK


_NOTHING = Activity((), np.zeros((0, len(COLUMNS)), np.int64), None)
