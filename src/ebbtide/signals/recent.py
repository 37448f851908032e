"""The instants of one tenant's last 30 days that scores count, so that windows move without asking.

A window that moves on loses events, and which ones only their instants tell. With these in
memory the event store is asked for nothing but what is new.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.time import EPOCH
from ebbtide.metrics.compute import compute_metric, compute_metric_arrow
from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Actions, FrictionEvent
from ebbtide.store.events.base import EventStore

LENGTH = 30 * DAY  # the longest window that counts events
FRICTION_COUNTS = 14 * DAY  # friction/1
FRICTION_EVENTS = 7 * DAY  # friction/2

#: Of so short a while everybody's events are few: naming tenants would cost more than it spares.
UNNAMED = timedelta(hours=1)

_MICROSECOND = timedelta(microseconds=1)
_DAY_US = DAY // _MICROSECOND
_WEEK_US = 7 * _DAY_US
_WINDOWS_US = (3 * _DAY_US, _WEEK_US, LENGTH // _MICROSECOND)
_FORTNIGHT_US = FRICTION_COUNTS // _MICROSECOND

#: Sorted instants of one type, in microseconds since 1970: 8 bytes each, however many.
Instants: TypeAlias = "array[int]"
_NOTHING: Instants = array("q")


def to_us(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def to_moment(us: int) -> datetime:
    """The moment so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the windows that end at one moment hold; ``expires_at`` as in Facts."""

    actions_3d: Actions
    actions_7d: Actions
    actions_30d: Actions
    friction_14d: Mapping[str, int]
    friction_events_7d: tuple[FrictionEvent, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recent:
    """Instants by type, and friction events in order of time and uuid, of one tenant."""

    instants: Mapping[str, Instants]
    friction_events: Sequence[FrictionEvent] = ()

    def followed_by(self, news: Recent, since: datetime, as_of: datetime) -> Recent:
        """With what came after a moment put in place anew.

        Args:
            news: everything of the tenant in ``(since, as_of]``.
        """
        since_us, oldest_us = to_us(since), to_us(as_of) - _WINDOWS_US[-1]
        made = {}
        for event_type in self.instants.keys() | news.instants.keys():
            old = self.instants.get(event_type, _NOTHING)
            new = news.instants.get(event_type, _NOTHING)
            whole = old[bisect_right(old, oldest_us) : bisect_right(old, since_us)]
            whole.extend(new[bisect_right(new, oldest_us) :])
            if whole:
                made[event_type] = whole
        start = as_of - FRICTION_EVENTS
        events = [one for one in self.friction_events if start < one.timestamp <= since]
        events += [one for one in news.friction_events if one.timestamp > start]
        return Recent(made, tuple(events))

    def counts(self, as_of: datetime) -> Counts:
        """What counts at a moment, which lies not before the one that was read up to."""
        as_of_us = to_us(as_of)
        leaving = []
        nums = [[0] * len(INVESTIGATION_TYPES) for _ in _WINDOWS_US]
        for place, event_type in enumerate(INVESTIGATION_TYPES):
            found = self.instants.get(event_type)
            if not found:
                continue
            num = last = len(found)
            for window, length in enumerate(_WINDOWS_US):  # the longer, the earlier it begins
                last = bisect_right(found, as_of_us - length, 0, last)
                if last < num:
                    nums[window][place] = num - last
                    leaving.append(found[last] + length)
        friction = {}
        for event_type, found in self.instants.items():
            if event_type in INVESTIGATION_TYPES:
                continue
            first = bisect_right(found, as_of_us - _FORTNIGHT_US)
            if first < len(found):
                friction[event_type] = len(found) - first
                leaving.append(found[first] + _FORTNIGHT_US)
        week_ago = as_of - FRICTION_EVENTS
        events = tuple(one for one in self.friction_events if one.timestamp > week_ago)
        if events:
            leaving.append(to_us(events[0].timestamp) + _WEEK_US)
        actions_3d, actions_7d, actions_30d = (Actions(*of_window) for of_window in nums)
        return Counts(
            actions_3d,
            actions_7d,
            actions_30d,
            friction_14d=friction,
            friction_events_7d=events,
            expires_at=to_moment(min(leaving)) if leaving else None,
        )

    def peak_tenths(self, start: datetime, end: datetime, tenths: Mapping[str, int]) -> int:
        """Ten times the highest weighted actions of 7 days at any 00:00 UTC in ``[start, end]``.

        Args:
            start: at most 22 days before the moment that was read up to.
            tenths: ten times the weight, by type.
        """
        best = 0
        end_us = to_us(end)
        for midnight in range(-(-to_us(start) // _DAY_US) * _DAY_US, end_us + 1, _DAY_US):
            points = 0
            for event_type, weight in tenths.items():
                if found := self.instants.get(event_type):
                    before = bisect_right(found, midnight - _WEEK_US)
                    points += weight * (bisect_right(found, midnight) - before)
            best = max(best, points)
        return best


NOTHING = Recent({})


def read_recent(
    store: EventStore,
    catalog: Catalog,
    since: datetime,
    as_of: datetime,
    tenants: Collection[str] | None = None,
) -> dict[str, Recent]:
    """What happened in ``(since, as_of]``, of as much of it as scores count one by one.

    Args:
        tenants: only these, in the store's spelling; None: all.

    Returns:
        By tenant; one without any such event is not in it.
    """
    if as_of - since <= DAY:
        return _read_fresh(store, catalog, since, as_of, tenants)
    found = _read_instants(store, catalog, since, as_of, tenants)
    events: dict[str, list[FrictionEvent]] = {}
    metric = catalog.metrics["friction_events"]
    if as_of - since < FRICTION_EVENTS:
        metric = replace(metric, window=as_of - since)
    for tenant, *event in compute_metric(metric, as_of, store, tenants=tenants).rows:
        events.setdefault(tenant, []).append(FrictionEvent(*event))
    return {
        # Engines order uuids in their own ways.
        tenant: Recent(found.get(tenant, {}), tuple(sorted(events.get(tenant, ()))))
        for tenant in found.keys() | events.keys()
    }


def _read_fresh(
    store: EventStore,
    catalog: Catalog,
    since: datetime,
    as_of: datetime,
    tenants: Collection[str] | None,
) -> dict[str, Recent]:
    """The few events of a short while in one question, asked as friction events are."""
    counted = catalog.metrics["signal_instants"].inputs or ()
    friction = catalog.metrics["friction_events"]
    kinds = friction.inputs or ()
    types = tuple(sorted({*counted, *kinds}))
    asked = replace(friction, inputs=types, window=as_of - since)
    wanted = None if tenants is None else frozenset(tenants)
    if as_of - since <= UNNAMED:
        tenants = None
    by_tenant: dict[str, list[FrictionEvent]] = {}
    for tenant, *event in compute_metric(asked, as_of, store, tenants=tenants).rows:
        if wanted is None or tenant in wanted:
            by_tenant.setdefault(tenant, []).append(FrictionEvent(*event))
    found = {}
    for tenant, events in by_tenant.items():
        events.sort()
        instants: dict[str, Instants] = {}
        for one in events:
            if one.event_type in counted:
                instants.setdefault(one.event_type, array("q")).append(to_us(one.timestamp))
        found[tenant] = Recent(instants, tuple(one for one in events if one.event_type in kinds))
    return found


def _read_instants(
    store: EventStore,
    catalog: Catalog,
    since: datetime,
    as_of: datetime,
    tenants: Collection[str] | None,
) -> dict[str, dict[str, Instants]]:
    metric = catalog.metrics["signal_instants"]
    table = compute_metric_arrow(metric, as_of, store, tenants=tenants, since=since)
    if not table.num_rows:
        return {}
    names = table["tenant_id"].combine_chunks().dictionary_encode()
    kinds = table["event_type"].combine_chunks().dictionary_encode()
    # Rows come in order of tenant and type: a group ends where either of them changes.
    groups = names.indices.to_numpy().astype(np.int64) * len(kinds.dictionary)
    groups += kinds.indices.to_numpy()
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    at_us = pc.cast(table["timestamp"], pa.int64()).to_numpy()
    nums = table["num"].to_numpy().astype(np.int64)
    tenant_names, kind_names = names.dictionary.to_pylist(), kinds.dictionary.to_pylist()
    found: dict[str, dict[str, Instants]] = {}
    for start, end in zip(starts, [*starts[1:], len(groups)], strict=True):
        tenant, kind = divmod(int(groups[start]), len(kind_names))
        instants = array("q")
        instants.frombytes(np.repeat(at_us[start:end], nums[start:end]).tobytes())
        found.setdefault(tenant_names[tenant], {})[kind_names[kind]] = instants
    return found
