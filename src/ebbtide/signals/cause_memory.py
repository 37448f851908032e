"""The causes that rules found for the incidents of past hours, so that they are read once.

An event never changes, so neither does what the rules say of it. Which incidents an hour holds
may change: events come late, and customers are erased. The roll-up tells both, and an hour of
which it says anything new is read again.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.time import HOUR, ceil_hour, floor_hour
from ebbtide.metrics.compute import compute_metric_arrow
from ebbtide.signals.attribution import Incident, by_rules
from ebbtide.store.events.base import EventStore

HOURS_MAX = 70 * 24  # kept: two windows of 31 days, and some older moments that were asked for

NAMED_MAX = 20  # of part of an hour: to name more customers costs more than to read all of them

# What tells one hour's incidents from another set of them: events that come or go change how many
# there are, and those that come after others went are received later.
_MARKS = """
SELECT hour_end, SUM(num) AS num, MAX(last_received_at) AS last_received_at
FROM event_rollup
WHERE event_type = 'INCIDENT_CREATED' AND hour_end > :since AND hour_end <= :until
GROUP BY hour_end
ORDER BY hour_end
"""


class Cause(NamedTuple):
    """What the rules say of one incident; incidents that no rule matches have none."""

    tenant_id: str
    at: datetime
    attribution: str


class _Hour(NamedTuple):
    marks: tuple[Any, ...]
    causes: tuple[Cause, ...]


class CauseMemory:
    """Causes of all customers' incidents by the hour. From any thread."""

    def __init__(self, catalog: Catalog, events: EventStore) -> None:
        self._catalog = catalog
        self._events = events
        self._lock = threading.Lock()
        self._hours: dict[datetime, _Hour] = {}

    def causes(
        self,
        since: datetime,
        as_of: datetime,
        tenants: Collection[str],
        known_at: datetime | None = None,
    ) -> list[Cause]:
        """The causes of incidents of ``(since, as_of]``, in no order.

        Args:
            tenants: only theirs, in the store's spelling.
            known_at: what came later does not count; memory cannot tell, so all is read.

        Raises:
            StoreUnavailable: the event store does not answer.
        """
        wanted = frozenset(tenants)
        first, last = ceil_hour(since), floor_hour(as_of)
        if known_at is not None or first >= last:
            return self._read(since, as_of, wanted, known_at)
        found = [
            one
            for hour in self._full_hours(first, last)
            for one in hour.causes
            if one.tenant_id in wanted
        ]
        if since < first:
            found += self._read(since, first, wanted)
        if last < as_of:
            found += self._read(last, as_of, wanted)
        return found

    def _full_hours(self, first: datetime, last: datetime) -> list[_Hour]:
        """The hours between two full ones, those that are not known as they are now read anew."""
        rows = self._events.query(_MARKS, {"since": first, "until": last})
        marks = {row[0]: row[1:] for row in rows}
        with self._lock:
            # What was erased is not kept either.
            for end in [end for end in self._hours if first < end <= last and end not in marks]:
                del self._hours[end]
            known = {
                end: self._hours[end]
                for end, mark in marks.items()
                if end in self._hours and self._hours[end].marks == mark
            }
        for begin, end in _stretches(one for one in marks if one not in known):
            # Read after the marks: what came in between makes them differ the next time.
            causes: dict[datetime, list[Cause]] = {}
            for cause in self._read(begin, end, None):
                causes.setdefault(ceil_hour(cause.at), []).append(cause)
            for hour in marks:
                if begin < hour <= end:
                    known[hour] = _Hour(marks[hour], tuple(causes.get(hour, ())))
        with self._lock:
            self._hours |= known
            for end in sorted(self._hours)[: max(0, len(self._hours) - HOURS_MAX)]:
                del self._hours[end]
        return list(known.values())

    def _read(
        self,
        since: datetime,
        as_of: datetime,
        tenants: frozenset[str] | None,
        known_at: datetime | None = None,
    ) -> list[Cause]:
        metric = self._catalog.metrics["incident_events"]
        table = compute_metric_arrow(
            metric,
            as_of,
            self._events,
            known_at=known_at,
            since=since,
            tenants=None if tenants is None or len(tenants) > NAMED_MAX else sorted(tenants),
        )
        rule = self._catalog.signals.attribution
        found = []
        for row in zip(*(table[name].to_pylist() for name in metric.columns), strict=True):
            if tenants is None or row[0] in tenants:
                incident = Incident.of_row(row)
                verdict = by_rules(incident, rule)
                if verdict is not None:
                    found.append(Cause(incident.tenant_id, incident.at, verdict.attribution))
        return found


def _stretches(ends: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    """Ascending ends of hours as stretches ``(begin, end]`` without a gap."""
    ends = list(ends)
    if not ends:
        return []
    breaks = [(one, after) for one, after in pairwise(ends) if after - one != HOUR]
    begins = [ends[0], *(after for _, after in breaks)]
    return [
        (begin - HOUR, end)
        for begin, end in zip(begins, [*(one for one, _ in breaks), ends[-1]], strict=True)
    ]
