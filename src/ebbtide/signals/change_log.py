"""What changed for whom up to one moment, read from the store when somebody first asks."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.event import Event
from ebbtide.metrics.compute import compute_metric
from ebbtide.signals.changes import (
    BEFORE_DECLINE,
    EVERYBODY,
    LOOK_BACK_DAYS,
    RECORDED,
    Actions,
    Change,
    Correlation,
    decline_began,
    join,
    nearest_before,
    recent,
    to_changes,
    to_recorded,
    to_sightings,
    who_saw_the_same,
)
from ebbtide.signals.facts import DAY
from ebbtide.signals.gather import tenths_of
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.reading import PAGE_MAX, EventFilter, read_events


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
        self._knows_everybody = False
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
        theirs = {one: join(changes.get(one, ()), changes.get(EVERYBODY, ())) for one in tenants}
        nearest = self._nearest(theirs)
        others = {
            tenant_id: self._others(tenant_id, found, changes)
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
            lately = recent(theirs[tenant_id], self._as_of)
            self._around[tenant_id] = Around(tuple(lately), correlation)

    def _nearest(
        self, changes: Mapping[str, Sequence[Change]]
    ) -> dict[str, tuple[Change, datetime]]:
        """The change before the decline, and the decline's start, of those who have both."""
        changed = [tenant_id for tenant_id, theirs in changes.items() if theirs]
        self._read_declines(changed)
        found = {}
        for tenant_id in changed:
            start = self._declines[tenant_id]
            before = None if start is None else nearest_before(changes[tenant_id], start)
            if start is not None and before is not None:
                found[tenant_id] = (before, start)
        return found

    def _others(
        self, tenant_id: str, found: Change, changes: Mapping[str, Sequence[Change]]
    ) -> list[str]:
        """Who else saw a change: the same one, or everybody when it touched everybody."""
        if found.tenant_id == EVERYBODY:
            saw = self._read_everybody()
        else:
            saw = who_saw_the_same(found, changes, self._as_of)
        return [one for one in saw if one not in (tenant_id, EVERYBODY)]

    def _read_changes(self) -> Mapping[str, Sequence[Change]]:
        if self._changes is None:
            table = compute_metric(
                self._catalog.metrics["change_events"],
                self._as_of,
                self._events,
                known_at=self._known_at,
            )
            found = to_changes(to_sightings(table))
            for one in to_recorded(self._read_recorded()):
                found.setdefault(one.tenant_id, []).append(one)
            self._changes = {tenant_id: join(theirs) for tenant_id, theirs in found.items()}
        return self._changes

    def _read_recorded(self) -> Iterator[Event]:
        """Recorded changes that can still explain something."""
        meant = EventFilter(
            event_type=RECORDED,
            since=self._as_of - LOOK_BACK_DAYS * DAY - BEFORE_DECLINE,
            as_of=self._as_of,
            known_at=self._known_at,
        )
        cursor = None
        while True:
            page = read_events(self._events, meant, cursor=cursor, limit=PAGE_MAX)
            yield from page.events
            cursor = page.next_cursor
            if cursor is None:
                return

    def _read_everybody(self) -> list[str]:
        if not self._knows_everybody:
            self._read_first_events(None)
            self._knows_everybody = True
        return sorted(self._first_events)

    def _read_declines(self, tenants: Iterable[str]) -> None:
        missing = sorted({one for one in tenants if one not in self._declines})
        if not missing:
            return
        unknown = [one for one in missing if one not in self._first_events]
        if unknown:
            self._read_first_events(unknown)
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

    def _read_first_events(self, tenants: Collection[str] | None) -> None:
        """The base of a young tenant needs its age; None asks for everybody's."""
        table = compute_metric(
            self._catalog.metrics["activity_spans"],
            self._as_of,
            self._events,
            known_at=self._known_at,
            tenants=tenants,
        )
        columns = (table.column(name) for name in ("tenant_id", "first_at"))
        for tenant_id, first_at in zip(*columns, strict=True):
            known = self._first_events.get(tenant_id, first_at)
            self._first_events[tenant_id] = min(known, first_at)
