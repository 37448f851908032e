"""Reads facts in full: every tenant's counts and instants, for any moment and any knowledge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.time import EPOCH
from ebbtide.metrics.compute import compute_metric, compute_metric_arrow
from ebbtide.signals.facts import (
    DAY,
    INVESTIGATION_TYPES,
    NO_ACTIONS,
    Actions,
    Facts,
    FrictionEvent,
    Span,
)
from ebbtide.store.events.base import EventStore

STARTED = "SUBSCRIPTION_STARTED"
#: The types whose first event at or after sign-up is a fact.
FIRST_TYPES = ("INCIDENT_CREATED", *INVESTIGATION_TYPES)
#: The tenant of the product's own events, and of changes that touch everybody; no customer.
PLATFORM = "platform"
#: Types that are about a customer, and no sign of its life.
NO_ACTIVITY = frozenset({"CHANGE_RECORDED"})
Spans = dict[str, dict[str, Span]]  #: tenant -> event type -> its span


def gather(
    store: EventStore,
    catalog: Catalog,
    as_of: datetime,
    *,
    known_at: datetime | None = None,
    tenants: Collection[str] | None = None,
) -> dict[str, Facts]:
    """Read the facts of tenants at one moment.

    Args:
        as_of: UTC-aware; events after it do not exist yet.
        known_at: events that arrived after it were not known yet; None: all that is stored.
        tenants: only these, in the store's spelling; None: all.

    Returns:
        Facts by tenant id; a tenant without an event up to the moment is not in it.
        ``expires_at`` is left None: it is of use only to whoever brings facts forward.

    Raises:
        StoreUnavailable: the event store cannot answer.
    """
    asking = Reading(store, catalog, as_of, known_at=known_at, tenants=tenants)
    spans = asking.spans()
    actions = asking.actions()
    counts = asking.friction_counts()
    events = asking.friction_events()
    peaks = asking.peaks()
    firsts = asking.firsts(spans)
    return {
        tenant: Facts(
            tenant,
            theirs,
            firsts[tenant],
            *actions.get(tenant, _NONE),
            peaks.get(tenant, 0),
            counts.get(tenant, {}),
            # Engines order uuids in their own ways.
            tuple(sorted(events.get(tenant, ()))),
        )
        for tenant, theirs in spans.items()
    }


_NONE = (NO_ACTIONS, NO_ACTIONS, NO_ACTIONS)


def is_activity(tenant_id: str, event_type: str) -> bool:
    """Whether an event is something that a customer does, or that happens to it."""
    return tenant_id != PLATFORM and event_type not in NO_ACTIVITY


def spans_of(rows: Iterable[tuple[str, str, datetime, datetime]]) -> Spans:
    """Rows of ``activity_spans`` by tenant and type, of customers and what they do."""
    spans: Spans = {}
    for tenant, event_type, first_at, last_at in rows:
        if not is_activity(tenant, event_type):
            continue
        spans.setdefault(tenant, {})[event_type] = Span(first_at, last_at)
    return spans


def signed_up_at(spans: Mapping[str, Span]) -> datetime:
    """The first SUBSCRIPTION_STARTED of a tenant, else its first event."""
    started = spans.get(STARTED)
    return started.first_at if started else min(span.first_at for span in spans.values())


def firsts_from(spans: Mapping[str, Span]) -> tuple[dict[str, datetime], bool]:
    """The first event of each type at or after sign-up, as far as spans say it.

    Returns:
        What they say, and whether a type began before sign-up and went on after it, so that the
        events have to be asked.
    """
    start = signed_up_at(spans)
    firsts, is_open = {}, False
    for event_type in FIRST_TYPES:
        span = spans.get(event_type)
        if span is None:
            continue
        if span.first_at >= start:
            firsts[event_type] = span.first_at
        elif span.last_at >= start:
            is_open = True
    return firsts, is_open


class Reading:
    """What facts are made of, read in full; the arguments are those of :func:`gather`."""

    def __init__(
        self,
        store: EventStore,
        catalog: Catalog,
        as_of: datetime,
        *,
        known_at: datetime | None = None,
        tenants: Collection[str] | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._as_of = as_of
        self._known_at = known_at
        self._tenants = tenants

    def _rows(self, metric: str, tenants: Collection[str] | None = None) -> list[tuple]:  # type: ignore[type-arg]
        return compute_metric(
            self._catalog.metrics[metric],
            self._as_of,
            self._store,
            known_at=self._known_at,
            tenants=self._tenants if tenants is None else tenants,
        ).rows

    def spans(self) -> Spans:
        """First and newest event of each type, by tenant."""
        return spans_of(self._rows("activity_spans"))

    def actions(self) -> dict[str, tuple[Actions, Actions, Actions]]:
        """Investigations of 3, 7 and 30 days, by tenant; one without any is not in it."""
        return {
            tenant: (Actions(*nums[0:3]), Actions(*nums[3:6]), Actions(*nums[6:9]))
            for tenant, *nums in self._rows("stickiness")
        }

    def friction_counts(self) -> dict[str, dict[str, int]]:
        """What friction/1 counts in 14 days, by tenant and type."""
        counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for tenant, event_type, num in self._rows("friction_counts"):
            counts[tenant][event_type] = num
        return counts

    def friction_events(self) -> dict[str, list[FrictionEvent]]:
        """What friction/2 weighs, by tenant, in no order."""
        events: defaultdict[str, list[FrictionEvent]] = defaultdict(list)
        for tenant, *event in self._rows("friction_events"):
            events[tenant].append(FrictionEvent(*event))
        return events

    def peaks(self) -> dict[str, int]:
        """See :func:`peaks_of`."""
        table = compute_metric_arrow(
            self._catalog.metrics["investigation_hours"],
            self._as_of,
            self._store,
            known_at=self._known_at,
            tenants=self._tenants,
        )
        return peaks_of(table, self._as_of, tenths_of(self._catalog))

    def firsts(self, spans: Spans) -> dict[str, dict[str, datetime]]:
        """First events at or after sign-up, of each tenant that has spans."""
        firsts, unsure = {}, []
        for tenant, theirs in spans.items():
            firsts[tenant], is_open = firsts_from(theirs)
            if is_open:
                unsure.append(tenant)
        if unsure:
            for tenant, event_type, first_at in self._rows("first_since_sign_up", unsure):
                firsts[tenant][event_type] = first_at
        return firsts


def tenths_of(catalog: Catalog) -> dict[str, int]:
    """Ten times the weight of each type of investigation."""
    weights = catalog.metrics["stickiness"].weights
    names = ("view", "replay", "export")
    return {
        event_type: int(weights[name] * 10)
        for event_type, name in zip(INVESTIGATION_TYPES, names, strict=True)
    }


def peaks_of(hours: pa.Table, as_of: datetime, tenths: Mapping[str, int]) -> dict[str, int]:
    """Ten times the highest weighted actions of 7 days at 00:00 UTC of any day up to ``as_of``.

    Args:
        hours: rows of ``investigation_hours``: tenant_id, event_type, last_at, num.
        tenths: by event type.

    Returns:
        By tenant; one without any such midnight is not in it.
    """
    if not hours.num_rows:
        return {}
    names = hours["tenant_id"].combine_chunks().dictionary_encode()
    kinds = hours["event_type"].combine_chunks().dictionary_encode()
    weights = np.array([tenths[kind] for kind in kinds.dictionary.to_pylist()], np.int64)
    points = weights[kinds.indices.to_numpy()] * hours["num"].to_numpy().astype(np.int64)
    day_us = DAY.days * 86_400_000_000
    at_us = pc.cast(hours["last_at"], pa.int64()).to_numpy()
    # What happened at a midnight belongs to the day that ends there.
    days = -(-at_us // day_us)
    newest = (as_of - EPOCH) // DAY
    # One number per tenant and day, a week's distance between tenants at least.
    width = int(days.max() - days.min()) + 8
    keys = names.indices.to_numpy().astype(np.int64) * width + (days - days.min())
    is_past = days <= newest
    keys, points = keys[is_past], points[is_past]
    if not len(keys):
        return {}
    found, places = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(found) + 1, np.int64)
    np.add.at(sums, places + 1, points)
    until = np.cumsum(sums)
    # A week's sum can only be the highest on a day on which something was added.
    weeks = until[1:] - until[np.searchsorted(found, found - 7, side="right")]
    owners = found // width
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    tenants = names.dictionary.to_pylist()
    best = np.maximum.reduceat(weeks, starts)
    return {tenants[owner]: int(peak) for owner, peak in zip(owners[starts], best, strict=True)}
