"""What changed for whom up to one moment, read from the store when somebody first asks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.metrics.compute import compute_metric
from ebbtide.signals.changes import (
    Actions,
    Change,
    Correlation,
    decline_began,
    nearest_before,
    recent,
    to_changes,
    to_sightings,
    who_saw_the_same,
)
from ebbtide.signals.facts import DAY
from ebbtide.signals.gather import tenths_of
from ebbtide.store.events.base import EventStore


@dataclass(frozen=True, slots=True)
class Around:
    """What changed around a customer lately, newest first, and what came before its decline."""

    recent: tuple[Change, ...]
    correlation: Correlation | None


class ChangeLog:
    """Changes and declines of all tenants at one moment. From any thread.

    Args:
        first_events: first events by tenant, as far as they are known already.
    """

    def __init__(
        self,
        events: EventStore,
        catalog: Catalog,
        as_of: datetime,
        known_at: datetime | None,
        first_events: Mapping[str, datetime],
    ) -> None:
        self._events = events
        self._catalog = catalog
        self._as_of = as_of
        self._known_at = known_at
        self._first_events = dict(first_events)
        self._lock = threading.Lock()
        self._changes: Mapping[str, Sequence[Change]] | None = None
        self._declines: dict[str, datetime | None] = {}
        self._around: dict[str, Around] = {}

    def around(self, tenants: Sequence[str]) -> dict[str, Around]:
        """What changed around each of these tenants, named as the store spells them."""
        with self._lock:
            self._look_around([one for one in tenants if one not in self._around])
            return {one: self._around[one] for one in tenants}

    def _look_around(self, tenants: Sequence[str]) -> None:
        changes = self._read_changes()
        nearest = self._nearest(changes, tenants)
        others = {
            tenant_id: who_saw_the_same(found, changes, self._as_of)
            for tenant_id, (found, _) in nearest.items()
        }
        self._read_declines({one for some in others.values() for one in some})
        for tenant_id in tenants:
            correlation = None
            if tenant_id in nearest:
                found, start = nearest[tenant_id]
                saw = others[tenant_id]
                declined = sum(self._declines[one] is not None for one in saw)
                correlation = Correlation(found, start, len(saw) - declined, declined)
            lately = recent(changes.get(tenant_id, ()), self._as_of)
            self._around[tenant_id] = Around(tuple(lately), correlation)

    def _nearest(
        self, changes: Mapping[str, Sequence[Change]], tenants: Sequence[str]
    ) -> dict[str, tuple[Change, datetime]]:
        """The change before the decline, and the decline's start, of those who have both."""
        changed = [tenant_id for tenant_id in tenants if changes.get(tenant_id)]
        self._read_declines(changed)
        found = {}
        for tenant_id in changed:
            start = self._declines[tenant_id]
            before = None if start is None else nearest_before(changes[tenant_id], start)
            if start is not None and before is not None:
                found[tenant_id] = (before, start)
        return found

    def _read_changes(self) -> Mapping[str, Sequence[Change]]:
        if self._changes is None:
            table = compute_metric(
                self._catalog.metrics["change_events"],
                self._as_of,
                self._events,
                known_at=self._known_at,
            )
            self._changes = to_changes(to_sightings(table))
        return self._changes

    def _read_declines(self, tenants: Iterable[str]) -> None:
        missing = sorted({one for one in tenants if one not in self._declines})
        if not missing:
            return
        self._read_first_events(missing)
        midnight = self._as_of.replace(hour=0, minute=0, second=0, microsecond=0)
        table = compute_metric(
            self._catalog.metrics["investigation_hours"],
            self._as_of,
            self._events,
            known_at=self._known_at,
            tenants=missing,
            since=midnight - 60 * DAY,
        )
        actions: dict[str, list[Actions]] = {}
        for tenant_id, event_type, last_at, num in table.rows:
            actions.setdefault(tenant_id, []).append(Actions(last_at, event_type, num))
        weights = tenths_of(self._catalog)
        for one in missing:
            first = self._first_events[one]
            self._declines[one] = decline_began(actions.get(one, ()), first, self._as_of, weights)

    def _read_first_events(self, tenants: Iterable[str]) -> None:
        """The base of a young tenant needs its age; who changed had an event, so there is one."""
        missing = [one for one in tenants if one not in self._first_events]
        if missing:
            table = compute_metric(
                self._catalog.metrics["activity_spans"],
                self._as_of,
                self._events,
                known_at=self._known_at,
                tenants=missing,
            )
            columns = (table.column(name) for name in ("tenant_id", "first_at"))
            for tenant_id, first_at in zip(*columns, strict=True):
                known = self._first_events.get(tenant_id, first_at)
                self._first_events[tenant_id] = min(known, first_at)
