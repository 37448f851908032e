"""Answers of metrics whose rows add up, kept by stretches of time until something comes into them.

A window is asked for in three parts that lie side by side: its full hours, which stay the same
for an hour, and what is left at its two ends.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.metric import FRESHNESS
from ebbtide.domain.time import ceil_hour, floor_hour
from ebbtide.metrics.compute import compute_metric_arrow
from ebbtide.signals.watch import Late, Shelf, Watch
from ebbtide.store.events.base import EventStore

KEPT = 60
#: Larger answers are read each time.
ROWS_MAX = 100_000

T = TypeVar("T")
Key = tuple[str, datetime, datetime]  #: of a metric and its window ``(start, end]``


class Stretch:
    """The answer for one stretch, and what was made of it, which is kept as long as it is."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._made: dict[Hashable, Any] = {}

    def derive(self, key: Hashable, make: Callable[[pa.Table], T]) -> T:
        """What ``make`` makes of the table, once for each key."""
        if key not in self._made:
            self._made[key] = make(self.table)
        made: T = self._made[key]
        return made


class Stretches:
    """Tables of metrics by their windows. From any thread."""

    def __init__(self, catalog: Catalog, events: EventStore, watch: Watch) -> None:
        self._catalog = catalog
        self._events = events
        self._watch = watch
        self._shelf: Shelf[Key, Stretch | None] = watch.keep(self._is_touched, KEPT)

    def look(self) -> None:
        """Have what changed dropped; call it before a question is put together.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        self._watch.look()

    def parts(
        self, metric: str, start: datetime, end: datetime, known_at: datetime | None = None
    ) -> Iterator[Stretch]:
        """The answers for ``(start, end]`` in up to three parts, oldest first.

        Raises:
            StoreUnavailable: the event store cannot answer.
        """
        first, last = ceil_hour(start), floor_hour(end)
        if first >= last:
            yield self._read(metric, start, end, known_at)
            return
        if start < first:
            yield self._read(metric, start, first, known_at)
        yield self.kept(metric, first, last, known_at)
        if last < end:
            yield self._read(metric, last, end, known_at)

    def kept(
        self, metric: str, start: datetime, end: datetime, known_at: datetime | None = None
    ) -> Stretch:
        """The answer for a stretch that is asked for again.

        Raises:
            StoreUnavailable: the event store cannot answer.
        """
        read: list[Stretch] = []

        def load() -> Stretch | None:
            read.append(self._read(metric, start, end, None))
            return read[0] if read[0].table.num_rows <= ROWS_MAX else None

        kept = self._shelf.get((metric, start, end), load)
        found = kept or next(iter(read), None)
        if found is not None:
            newest = pc.max(found.table[FRESHNESS]).as_py()
            # Where all had come by then, what was known is what is there.
            if known_at is None or newest is None or newest <= known_at:
                return found
        return self._read(metric, start, end, known_at)

    def _read(
        self, metric: str, start: datetime, end: datetime, known_at: datetime | None
    ) -> Stretch:
        definition = self._catalog.metrics[metric]
        return Stretch(
            compute_metric_arrow(definition, end, self._events, known_at=known_at, since=start)
        )

    def _is_touched(self, key: Key, late: Late) -> bool:
        metric, start, end = key
        inputs = self._catalog.metrics[metric].inputs
        return (inputs is None or late.event_type in inputs) and late.is_within(start, end)
