"""The causes that rules found for the incidents of past hours, so that they are read once.

An event never changes, so neither does what the rules say of it. Which incidents an hour holds
may change: events come late, and customers are erased. An hour in which that happened is read
again. When each incident came is kept too, so what was known at a moment needs no reading either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ebbtide.catalog.incidents import ATTRIBUTIONS
from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.metric import FRESHNESS
from ebbtide.domain.time import EPOCH, HOUR, MICROSECOND, ceil_hour, floor_hour
from ebbtide.metrics.compute import compute_metric_arrow
from ebbtide.metrics.rows import rows_of
from ebbtide.signals.attribution import Attribution, Incident, Shares, by_rules
from ebbtide.signals.watch import Late, Shelf, Watch
from ebbtide.store.events.base import EventStore

HOURS_MAX = 70 * 24  # kept: two windows of 31 days, and some older moments that were asked for
WHOLE_MAX = 50  # hours whose incidents are kept as a whole, for windows of up to two days
FEW_TENANTS = 20  # while so many hours are not kept, these are read by themselves
FEW_HOURS = 48
READ_HOURS = 48

_METRIC = "incident_events"
_TYPE = "INCIDENT_CREATED"
_HOUR_US = HOUR // MICROSECOND

Numbers = npt.NDArray[np.int64]


class Judged(NamedTuple):
    """An incident, when it came, and what the rules say; None when none matches."""

    incident: Incident
    received_at: datetime
    verdict: Attribution | None


class _Causes(NamedTuple):
    """The causes of some incidents, those of each tenant side by side and in order of time."""

    places: Mapping[str, int]
    starts: Numbers
    at_us: Numbers
    received_us: Numbers
    cause: npt.NDArray[np.int8]

    def within(
        self, tenant_id: str, start_us: int, end_us: int, known_us: int | None
    ) -> Iterator[tuple[str, int]]:
        """How many of each cause a tenant has in ``(start, end]``."""
        place = self.places.get(tenant_id)
        if place is None:
            return
        begin, end = int(self.starts[place]), int(self.starts[place + 1])
        first, last = begin + np.searchsorted(
            self.at_us[begin:end], [start_us, end_us], side="right"
        )
        causes = self.cause[first:last]
        if known_us is not None:
            causes = causes[self.received_us[first:last] <= known_us]
        for number, num in enumerate(np.bincount(causes).tolist()):
            if num:
                yield ATTRIBUTIONS[number], num


class CauseMemory:
    """Causes of all customers' incidents by the hour. From any thread."""

    def __init__(self, catalog: Catalog, events: EventStore, watch: Watch | None = None) -> None:
        """Begin with nothing kept.

        Args:
            watch: tells what is stored late or erased; None: erasures are not seen.
        """
        self._catalog = catalog
        self._events = events
        self._watch = watch or Watch(events, lambda: None)
        self._hours: Shelf[datetime, _Causes] = self._watch.keep(_is_touched, HOURS_MAX)
        self._whole: Shelf[datetime, Sequence[Judged]] = self._watch.keep(_is_touched, WHOLE_MAX)
        self._merged: tuple[list[_Causes], _Causes] = [], _NOTHING

    def look_ahead(self, as_of: datetime) -> None:
        """Read what most questions need.

        Raises:
            StoreUnavailable: the event store does not answer.
        """
        days = timedelta(days=self._catalog.signals.attribution.share_days + 1)
        self.shares(as_of - days, as_of, None)
        self.judged(as_of - timedelta(days=1), as_of)

    def shares(
        self,
        since: datetime,
        as_of: datetime,
        tenants: Collection[str] | None,
        known_at: datetime | None = None,
    ) -> Shares:
        """What counts the causes of a tenant's incidents in a part of ``(since, as_of]``.

        Args:
            tenants: whoever is asked about, in the store's spelling; None means all.
            known_at: what came later does not count.

        Raises:
            StoreUnavailable: the event store does not answer.
        """
        self._watch.look()
        ends = list(_ends(since, as_of))
        known_us = None if known_at is None else _us(known_at)
        is_few = tenants is not None and len(tenants) <= FEW_TENANTS
        if is_few and sum(end not in self._hours for end in ends) > FEW_HOURS:
            assert tenants is not None
            parts = [_merge([_causes_of(self._read(since, as_of, tenants), self._catalog)])]
        else:
            hours = self._hours.get_all(ends, self._read_causes)
            # The hour that is not over changes all the time, and the others hardly ever.
            parts = [
                self._merge([hours[end] for end in ends[:-1]]),
                *(hours[one] for one in ends[-1:]),
            ]

        def count(tenant_id: str, start: datetime, end: datetime) -> Counter[str]:
            found: Counter[str] = Counter()
            for part in parts:
                for cause, num in part.within(tenant_id, _us(start), _us(end), known_us):
                    found[cause] += num
            return found

        return count

    def judged(
        self, since: datetime, as_of: datetime, known_at: datetime | None = None
    ) -> list[Judged]:
        """The incidents of ``(since, as_of]``, oldest first, with what the rules say of them.

        Raises:
            StoreUnavailable: the event store does not answer.
        """
        self._watch.look()
        ends = list(_ends(since, as_of))
        if len(ends) > WHOLE_MAX:
            found = self._judge(self._read(since, as_of, None))
        else:
            hours = self._whole.get_all(ends, self._read_whole)
            found = [one for end in ends for one in hours[end]]
        return [
            one
            for one in found
            if since < one.incident.at <= as_of
            and (known_at is None or one.received_at <= known_at)
        ]

    def _merge(self, hours: list[_Causes]) -> _Causes:
        """All hours in one; the last one made is kept, since nearly everybody asks for it."""
        kept, merged = self._merged
        if len(kept) != len(hours) or any(
            one is not other for one, other in zip(kept, hours, strict=True)
        ):
            merged = _merge(hours)
            self._merged = hours, merged
        return merged

    def _read(self, since: datetime, as_of: datetime, tenants: Collection[str] | None) -> pa.Table:
        metric = self._catalog.metrics[_METRIC]
        named = None if tenants is None else sorted(tenants)
        return compute_metric_arrow(metric, as_of, self._events, since=since, tenants=named)

    def _read_causes(self, ends: list[datetime]) -> dict[datetime, _Causes]:
        found = dict.fromkeys(ends, _NOTHING)
        # A few at a time: what a month takes while it is read would stay with the process.
        for place in range(0, len(ends), READ_HOURS):
            for begin, end in _stretches(ends[place : place + READ_HOURS]):
                for hour, part in _by_hour(self._read(begin, end, None)):
                    found[hour] = _causes_of(part, self._catalog)
        return found

    def _read_whole(self, ends: list[datetime]) -> dict[datetime, Sequence[Judged]]:
        found: dict[datetime, Sequence[Judged]] = dict.fromkeys(ends, ())
        for begin, end in _stretches(ends):
            for hour, part in _by_hour(self._read(begin, end, None)):
                found[hour] = self._judge(part)
        return found

    def _judge(self, table: pa.Table) -> list[Judged]:
        metric, rule = self._catalog.metrics[_METRIC], self._catalog.signals.attribution
        names = [*metric.columns, FRESHNESS]
        found = []
        for *row, received_at in rows_of(table, names):
            incident = Incident.of_row(row)
            found.append(Judged(incident, received_at, by_rules(incident, rule)))
        return found


def _causes_of(table: pa.Table, catalog: Catalog) -> _Causes:
    """What the rules say of rows of ``incident_events``; those that none matches are left out."""
    rule = catalog.signals.attribution
    at_us, received_us = (_instants(table, name) for name in ("timestamp", FRESHNESS))
    names = ("tenant_id", "policy_id", "error_type", "metadata")
    rows = rows_of(table, names)
    kept, whose, causes = [], [], []
    places: dict[str, int] = {}
    for number, (tenant_id, policy_id, error_type, metadata) in enumerate(rows):
        # All that rules look at, in the order of the columns.
        row = (tenant_id, EPOCH, "", None, None, None, policy_id, None, error_type, metadata)
        verdict = by_rules(Incident.of_row(row), rule)
        if verdict is not None:
            kept.append(number)
            whose.append(places.setdefault(tenant_id, len(places)))
            causes.append(ATTRIBUTIONS.index(verdict.attribution))
    return _sorted(
        places,
        np.array(whose, np.int64),
        at_us[kept],
        received_us[kept],
        np.array(causes, np.int8),
    )


def _merge(parts: Sequence[_Causes]) -> _Causes:
    places: dict[str, int] = {}
    whose = [np.zeros(0, np.int64)]
    for part in parts:
        renamed = np.array([places.setdefault(one, len(places)) for one in part.places], np.int64)
        whose.append(np.repeat(renamed, np.diff(part.starts)))
    filled = [_NOTHING, *parts]
    return _sorted(
        places,
        np.concatenate(whose),
        np.concatenate([one.at_us for one in filled]),
        np.concatenate([one.received_us for one in filled]),
        np.concatenate([one.cause for one in filled]),
    )


def _sorted(
    places: Mapping[str, int],
    whose: Numbers,
    at_us: Numbers,
    received_us: Numbers,
    cause: npt.NDArray[np.int8],
) -> _Causes:
    order = np.lexsort((at_us, whose))
    starts = np.searchsorted(whose[order], np.arange(len(places) + 1))
    return _Causes(places, starts, at_us[order], received_us[order], cause[order])


_NONE = np.zeros(0, np.int64)
_NOTHING = _Causes({}, np.zeros(1, np.int64), _NONE, _NONE, np.zeros(0, np.int8))


def _by_hour(table: pa.Table) -> Iterator[tuple[datetime, pa.Table]]:
    """Rows in order of time, by the end of their hour."""
    hours = -(-_instants(table, "timestamp") // _HOUR_US)
    starts = [*np.flatnonzero(np.diff(hours, prepend=-1)).tolist(), len(hours)]
    for begin, end in pairwise(starts):
        yield EPOCH + int(hours[begin]) * HOUR, table.slice(begin, end - begin)


def _instants(table: pa.Table, name: str) -> Numbers:
    moments = table[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return np.asarray(moments.to_numpy(), np.int64)


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _is_touched(end: datetime, late: Late) -> bool:
    return late.event_type == _TYPE and late.is_within(end - HOUR, end)


def _ends(since: datetime, as_of: datetime) -> Iterator[datetime]:
    """The ends of all hours that hold some of a window."""
    end = floor_hour(since) + HOUR
    while end < ceil_hour(as_of) + HOUR and since < as_of:
        yield end
        end += HOUR


def _stretches(ends: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    """Ends of hours as stretches ``(begin, end]`` without a gap."""
    ends = sorted(ends)
    if not ends:
        return []
    breaks = [(one, after) for one, after in pairwise(ends) if after - one != HOUR]
    begins = [ends[0], *(after for _, after in breaks)]
    return [
        (begin - HOUR, end)
        for begin, end in zip(begins, [*(one for one, _ in breaks), ends[-1]], strict=True)
    ]
