"""Starts and cancellations of who ever cancelled, kept until a subscription says something new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.time import EPOCH
from ebbtide.metrics.compute import compute_metric
from ebbtide.signals.retention import Word
from ebbtide.signals.subscription import CANCELLED
from ebbtide.signals.watch import Shelf, Watch
from ebbtide.store.events.base import EventStore

_END = EPOCH.replace(year=9999)  # after every event that can be stored
_ALL = ""  # the only key


class SubscriptionWords:
    """Reads them at any moment. From any thread."""

    def __init__(self, catalog: Catalog, events: EventStore, watch: Watch) -> None:
        self._metric = catalog.metrics["subscriptions"]
        self._events = events
        self._watch = watch
        types = frozenset(self._metric.inputs or ())
        self._shelf: Shelf[str, Sequence[Word]] = watch.keep(
            lambda _, late: late.event_type in types, 1
        )

    def until(self, as_of: datetime, *, known_at: datetime | None = None) -> Sequence[Word]:
        """At least those up to a moment; has the watch look, when anything kept is used.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        if known_at is not None:
            return self._load(as_of, known_at)
        self._watch.look()
        return self._shelf.get(_ALL, lambda: self._load(_END, None))

    def _load(self, as_of: datetime, known_at: datetime | None) -> Sequence[Word]:
        table = compute_metric(self._metric, as_of, self._events, known_at=known_at)
        places = [table.columns.index(name) for name in ("tenant_id", "timestamp", "event_type")]
        words = [Word(*(row[place] for place in places)) for row in table.rows]
        # Of the others there is nothing to know: they are customers as long as they are active.
        cancelled = {word.tenant_id for word in words if word.event_type == CANCELLED}
        return [word for word in words if word.tenant_id in cancelled]
