"""What all customers cost and pay, kept up from one moment to a later one.

Two windows of 30 days move on together. Their sums are kept up to a full hour that lies a while
back; only what is newer, and what the windows lose at their other ends, is read again. Whoever
had something stored further back is summed anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import NamedTuple

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.time import EPOCH, HOUR, floor_hour
from ebbtide.signals.economics import read_subscriptions
from ebbtide.signals.facts import DAY, Economics, SubscriptionEvent
from ebbtide.signals.margin import PERIOD
from ebbtide.store.events.base import Change, EventStore
from ebbtide.store.events.relations import event_counts

#: After a longer pause everything is summed anew.
PAUSE_MAX = 7 * DAY
_EXACT = Context(prec=76)  # sums have up to 38 digits; the default would round at 28

_SUMS = """
SELECT tenant_id,
       SUM(CASE WHEN event_type <> 'API_CALL_RECEIVED' THEN cost_usd END) AS cost_usd,
       SUM(CASE WHEN event_type = 'API_CALL_RECEIVED' THEN num ELSE 0 END) AS num_calls,
       SUM(num) AS num
FROM {relation} AS counted
GROUP BY tenant_id
"""


class _Sum(NamedTuple):
    cost_usd: Decimal = Decimal(0)
    num_calls: int = 0
    num: int = 0  # events of any of the types, so that no event and no cost are told apart

    def plus(self, other: _Sum) -> _Sum:
        cost = _EXACT.add(self.cost_usd, other.cost_usd)
        return _Sum(cost, self.num_calls + other.num_calls, self.num + other.num)

    def minus(self, other: _Sum) -> _Sum:
        cost = _EXACT.subtract(self.cost_usd, other.cost_usd)
        return _Sum(cost, self.num_calls - other.num_calls, self.num - other.num)


_ZERO = _Sum()
_Sums = Mapping[str, _Sum]  #: by tenant; one that is missing has no events


class Ledger:
    """Economics of all tenants, equal to those gathered in full. One thread at a time.

    What is stored late and in the very moment of a reading may be seen at one end of a window
    and not yet at the other; the reading after it, which is told of it, puts that right.
    """

    def __init__(self, events: EventStore, catalog: Catalog) -> None:
        self._events = events
        self._catalog = catalog
        self._types = catalog.metrics["tenant_economics"].inputs or ()
        self._subscription_types = frozenset(catalog.metrics["subscriptions"].inputs or ())
        self._known: datetime | None = None  # the moment asked for last
        self._until = EPOCH
        self._last: _Sums = {}
        self._before: _Sums = {}
        self._subscriptions: Mapping[str, Sequence[SubscriptionEvent]] = {}

    def at(self, as_of: datetime, stored: Sequence[Change] | None) -> dict[str, Economics]:
        """Money and calls at a moment, by tenant id.

        Args:
            as_of: UTC-aware; not before the one asked for last, or everything is read anew.
            stored: all that was stored since this was asked last; None reads everything anew.

        Raises:
            StoreUnavailable: the event store cannot answer.
        """
        # Most events arrive within an hour; what comes later costs its tenant a new sum.
        until = floor_hour(as_of - HOUR)
        last: _Sums
        before: _Sums
        subscriptions: Mapping[str, Sequence[SubscriptionEvent]]
        known = self._known
        if stored is None or known is None or not known <= as_of <= known + PAUSE_MAX:
            last, before = self._windows(until, None)
            subscriptions = read_subscriptions(self._events, self._catalog, as_of)
        else:
            last, before = self._moved(until, stored)
            subscriptions = self._new_subscriptions(known, as_of, stored)
        fresh, leaving, gone = (
            self._read(until - back, as_of - back, None) for back in (0 * DAY, PERIOD, 2 * PERIOD)
        )
        found = {}
        for tenant_id in last.keys() | before.keys() | fresh.keys():
            left = leaving.get(tenant_id, _ZERO)
            new = last.get(tenant_id, _ZERO).plus(fresh.get(tenant_id, _ZERO)).minus(left)
            old = before.get(tenant_id, _ZERO).plus(left).minus(gone.get(tenant_id, _ZERO))
            if new.num or old.num:
                found[tenant_id] = Economics(
                    str(new.cost_usd or 0),
                    str(old.cost_usd or 0),
                    new.num_calls,
                    old.num_calls,
                    tuple(subscriptions.get(tenant_id, ())),
                )
        self._until, self._last, self._before = until, last, before
        self._subscriptions, self._known = subscriptions, as_of
        return found

    def _windows(
        self, until: datetime, tenants: Collection[str] | None
    ) -> tuple[dict[str, _Sum], dict[str, _Sum]]:
        last = self._read(until - PERIOD, until, tenants)
        return last, self._read(until - 2 * PERIOD, until - PERIOD, tenants)

    def _moved(self, until: datetime, stored: Sequence[Change]) -> tuple[_Sums, _Sums]:
        """Both windows, as they are when they end at full hours ``until``."""
        last, before, known = dict(self._last), dict(self._before), self._until
        if until > known:
            fresh, leaving, gone = (
                self._read(known - back, until - back, None)
                for back in (0 * DAY, PERIOD, 2 * PERIOD)
            )
            for tenant_id in fresh.keys() | leaving.keys() | gone.keys():
                left = leaving.get(tenant_id, _ZERO)
                new = last.get(tenant_id, _ZERO).plus(fresh.get(tenant_id, _ZERO)).minus(left)
                old = before.get(tenant_id, _ZERO).plus(left).minus(gone.get(tenant_id, _ZERO))
                last[tenant_id], before[tenant_id] = new, old
        touched = sorted(
            {
                one.tenant_id
                for one in stored
                if one.event_type in self._types and one.first_at <= known
            }
        )
        if touched:
            last_again, before_again = self._windows(until, touched)
            for tenant_id in touched:
                last[tenant_id] = last_again.get(tenant_id, _ZERO)
                before[tenant_id] = before_again.get(tenant_id, _ZERO)
        return last, before

    def _new_subscriptions(
        self, known: datetime, as_of: datetime, stored: Sequence[Change]
    ) -> Mapping[str, Sequence[SubscriptionEvent]]:
        if any(
            one.event_type in self._subscription_types and one.first_at <= known for one in stored
        ):
            return read_subscriptions(self._events, self._catalog, as_of)
        # Also what was stored before, dated ahead.
        new = read_subscriptions(self._events, self._catalog, as_of, since=known)
        if not new:
            return self._subscriptions
        merged = dict(self._subscriptions)
        for tenant_id, events in new.items():
            merged[tenant_id] = [*merged.get(tenant_id, ()), *events]
        return merged

    def _read(
        self, start: datetime, end: datetime, tenants: Collection[str] | None
    ) -> dict[str, _Sum]:
        """Sums of ``(start, end]``; with many tenants named it may hold others too."""
        if start >= end:
            return {}
        if tenants is not None and len(tenants) > self._events.tenants_named_max:
            tenants = None
        relation, params = event_counts(
            start, end, event_types=self._types, tenants=None if tenants is None else list(tenants)
        )
        rows = self._events.query(_SUMS.format(relation=relation), params)
        return {
            tenant_id: _Sum(Decimal(0) if cost is None else cost, int(calls), int(num))
            for tenant_id, cost, calls, num in rows
        }
