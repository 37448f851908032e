"""What changed for whom up to one moment, read from the store when somebody first asks.

What one log has read, the log of a later moment takes over: then only what was stored since is
read. A stateful test holds that both say the same.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.event import Event
from ebbtide.domain.time import MICROSECOND
from ebbtide.metrics.compute import compute_metric
from ebbtide.signals.changes import (
    BEFORE_DECLINE,
    EVERYBODY,
    LOOK_BACK_DAYS,
    RECORDED,
    Actions,
    Change,
    Correlation,
    Sighting,
    decline_began,
    join,
    nearest_before,
    recent,
    to_changes,
    to_recorded,
    to_sightings,
    who_saw_the_same,
)
from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Facts
from ebbtide.signals.gather import is_activity, tenths_of
from ebbtide.store.events.base import Change as Stored
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.reading import PAGE_MAX, EventFilter, read_events

#: A recorded change further back explains nothing any more.
_EXPLAINS = LOOK_BACK_DAYS * DAY + BEFORE_DECLINE
#: Sightings of which every one counts; of the other kinds only the first of its value does.
_EACH_COUNTS = ("freeze", "subscription")


@dataclass(frozen=True, slots=True)
class Around:
    """What changed around a customer lately, newest first, and what came before its decline."""

    recent: tuple[Change, ...]
    correlation: Correlation | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of changes, all of it up to one moment; never changed once made.

    ``recorded`` are the events that can still explain something. ``changes`` follow from both.
    """

    sightings: Mapping[str, Sequence[Sighting]]
    recorded: Sequence[Event]
    changes: Mapping[str, Sequence[Change]]


class FirstEvents(Mapping[str, datetime]):
    """When the first event of each tenant happened, worked out when somebody asks."""

    def __init__(self, facts: Mapping[str, Facts]) -> None:
        """Take them from facts by tenant id."""
        self._facts = facts

    def __getitem__(self, tenant_id: str) -> datetime:
        return self._facts[tenant_id].first_event_at

    def __contains__(self, tenant_id: object) -> bool:
        return tenant_id in self._facts

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


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
        self._first_events = first_events
        self._other_first_events: dict[str, datetime] = {}  # read here
        self._lock = threading.Lock()
        self._knows_everybody = False
        self._known: _Known | None = None
        self._known_until = as_of  # what happened after it, or came after it, is still to be read
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

    def followed_by(
        self, as_of: datetime, stored: Sequence[Stored], first_events: Mapping[str, datetime]
    ) -> ChangeLog:
        """The log of a later moment, with what this one has read and what is new.

        Args:
            as_of: not before this one's.
            stored: what was stored since this log was made, all of it.
            first_events: as they are now.

        Returns:
            One that reads everything when asked, where this one was never asked.
        """
        later = ChangeLog(self._events, self._catalog, as_of, None, first_events)
        with self._lock:
            known, declines = self._known, dict(self._declines)
            before, knows_everybody = self._first_events, self._knows_everybody
            others = dict(self._other_first_events)
            until = self._known_until
        if known is not None:
            oldest = min((one.first_at for one in stored), default=as_of)
            later._known = known
            later._known_until = min(until, oldest - MICROSECOND)
        midnight = _midnight(as_of)
        if midnight == _midnight(self._as_of):
            touched = {
                one.tenant_id
                for one in stored
                if one.event_type in INVESTIGATION_TYPES and one.first_at <= midnight
            }
            later._declines = {
                tenant_id: began
                for tenant_id, began in declines.items()
                if tenant_id not in touched
                and tenant_id in first_events
                and first_events[tenant_id] == others.get(tenant_id, before.get(tenant_id))
            }
        if knows_everybody and all(
            one.tenant_id in first_events
            for one in stored
            if is_activity(one.tenant_id, one.event_type)
        ):
            later._other_first_events = {
                name: first for name, first in others.items() if name not in first_events
            }
            later._knows_everybody = True
        return later

    def _read_changes(self) -> Mapping[str, Sequence[Change]]:
        if self._known is None:
            since = self._as_of - _EXPLAINS
            sightings = self._read_sightings(None)
            recorded = list(self._read_recorded(since))
            self._known = _Known(sightings, recorded, _changes_of(sightings, recorded))
        elif self._known_until < self._as_of:
            self._known = self._forward(self._known, self._known_until)
        self._known_until = self._as_of
        return self._known.changes

    def _forward(self, known: _Known, since: datetime) -> _Known:
        """What is known now, from what was known and everything that happened after ``since``."""
        sightings = dict(known.sightings)
        touched = set()
        for tenant_id, new in self._read_sightings(since).items():
            merged = _merged(sightings.get(tenant_id, ()), new, since)
            if merged != sightings.get(tenant_id):
                sightings[tenant_id] = merged
                touched.add(tenant_id)
        start = self._as_of - _EXPLAINS
        recorded = [one for one in known.recorded if start < one.timestamp <= since]
        recorded += self._read_recorded(max(since, start))
        touched |= {one.tenant_id for one in known.recorded}
        touched |= {one.tenant_id for one in recorded}
        changes = dict(known.changes)
        again = {name: sightings[name] for name in touched if name in sightings}
        recorded_again = [one for one in recorded if one.tenant_id in touched]
        for tenant_id in touched:
            changes.pop(tenant_id, None)
        changes |= _changes_of(again, recorded_again)
        return _Known(sightings, recorded, changes)

    def _read_sightings(self, since: datetime | None) -> dict[str, list[Sighting]]:
        table = compute_metric(
            self._catalog.metrics["change_events"],
            self._as_of,
            self._events,
            known_at=self._known_at,
            since=since,
        )
        found: dict[str, list[Sighting]] = {}
        for one in to_sightings(table):
            found.setdefault(one.tenant_id, []).append(one)
        return found

    def _read_recorded(self, since: datetime) -> Iterator[Event]:
        """Recorded changes after a moment."""
        meant = EventFilter(
            event_type=RECORDED, since=since, as_of=self._as_of, known_at=self._known_at
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
        return sorted(self._first_events.keys() | self._other_first_events.keys())

    def _read_declines(self, tenants: Iterable[str]) -> None:
        missing = sorted({one for one in tenants if one not in self._declines})
        if not missing:
            return
        unknown = [one for one in missing if self._first_event(one) is None]
        if unknown:
            self._read_first_events(unknown)
        midnight = _midnight(self._as_of)
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
            first = self._first_event(one)
            assert first is not None
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
        columns = (table.column(name) for name in ("tenant_id", "event_type", "first_at"))
        for tenant_id, event_type, first_at in zip(*columns, strict=True):
            if not is_activity(tenant_id, event_type):
                continue
            known = self._first_event(tenant_id) or first_at
            self._other_first_events[tenant_id] = min(known, first_at)

    def _first_event(self, tenant_id: str) -> datetime | None:
        found = self._other_first_events.get(tenant_id)
        return self._first_events.get(tenant_id) if found is None else found


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _changes_of(
    sightings: Mapping[str, Sequence[Sighting]], recorded: Iterable[Event]
) -> dict[str, Sequence[Change]]:
    found = to_changes(one for theirs in sightings.values() for one in theirs)
    for one in to_recorded(recorded):
        found.setdefault(one.tenant_id, []).append(one)
    return {tenant_id: join(theirs) for tenant_id, theirs in found.items()}


def _merged(
    known: Sequence[Sighting], new: Sequence[Sighting], since: datetime
) -> Sequence[Sighting]:
    """One tenant's sightings, known up to now, with all of those after ``since`` read again."""
    each = [one for one in known if one.kind in _EACH_COUNTS and one.at <= since]
    each += [one for one in new if one.kind in _EACH_COUNTS]
    firsts: dict[tuple[str, str | None, str | None], Sighting] = {}
    for one in (*known, *new):
        if one.kind not in _EACH_COUNTS:
            key = (one.kind, one.subject, one.value)
            if key not in firsts or one.at < firsts[key].at:
                firsts[key] = one
    return [*each, *firsts.values()]
