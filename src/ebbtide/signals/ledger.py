"""What all customers cost and pay, kept up from one moment to a later one.

Two windows of 30 days move on together. What they lose at their ends is read some hours ahead
and kept; of what they gain, only the last hours are read again, for there late events are usual.
Whoever had something stored further back is summed anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.errors import StoreUnavailable
from ebbtide.domain.time import HOUR, floor_hour
from ebbtide.signals.economics import read_subscriptions
from ebbtide.signals.facts import DAY, Economics, SubscriptionEvent
from ebbtide.signals.margin import PERIOD
from ebbtide.signals.recent import to_us
from ebbtide.store.events.base import Change, EventStore
from ebbtide.store.events.relations import event_counts, events_within

#: After a longer pause everything is summed anew.
PAUSE_MAX = 7 * DAY
#: How much of what windows are going to lose is read at a time.
AHEAD = 3 * HOUR
_EXACT = Context(prec=76)  # sums have up to 38 digits; the default would round at 28
_API_CALL = "API_CALL_RECEIVED"
_COST_TYPE = pa.decimal128(18, 10)
_COST_HALF = 10**9  # a cost in its smallest unit has up to 18 digits; sums of halves fit 64 bits

_SUMS = """
SELECT tenant_id,
       SUM(CASE WHEN event_type <> 'API_CALL_RECEIVED' THEN cost_usd END) AS cost_usd,
       SUM(CASE WHEN event_type = 'API_CALL_RECEIVED' THEN num ELSE 0 END) AS num_calls,
       SUM(num) AS num,
       is_after
FROM (
    SELECT tenant_id, event_type, num, cost_usd,
           CASE WHEN last_at > :cut THEN 1 ELSE 0 END AS is_after
    FROM {relation} AS counted
) AS parted
GROUP BY tenant_id, is_after
"""
_EACH = """
SELECT tenant_id, timestamp, event_type, cost_usd FROM {relation} AS leaving ORDER BY timestamp
"""
_AHEAD = """
SELECT MAX(timestamp) FROM events WHERE timestamp > :at AND event_type IN (:types)
"""


class _Sum(NamedTuple):
    cost: int = 0  # in units of 10^-10 USD: whole numbers are added several times as fast
    num_calls: int = 0
    num: int = 0  # events of any of the types, so that no event and no cost are told apart

    def plus(self, other: _Sum) -> _Sum:
        return _Sum(self.cost + other.cost, self.num_calls + other.num_calls, self.num + other.num)

    def minus(self, other: _Sum) -> _Sum:
        return _Sum(self.cost - other.cost, self.num_calls - other.num_calls, self.num - other.num)

    @property
    def cost_usd(self) -> str:
        """Exact, as text."""
        return str(Decimal(self.cost).scaleb(-10, _EXACT)) if self.cost else "0"


_ZERO = _Sum()
_Sums = Mapping[str, _Sum]  #: by tenant; one that is missing has no events
_Parts = tuple[dict[str, _Sum], dict[str, _Sum]]  #: up to a cut, and after it
_Integers = npt.NDArray[np.int64]


class Money(Mapping[str, Economics]):
    """Economics at one moment by tenant id, each put together when somebody asks for it."""

    def __init__(
        self,
        as_of: datetime,
        settled: _Sums,
        fresh: _Sums,
        before: _Sums,
        subscriptions: Mapping[str, Sequence[SubscriptionEvent]],
    ) -> None:
        """Make it ready.

        Args:
            settled, fresh: the last 30 days, in two parts.
            before: the 30 days before them.
            subscriptions: also those after the moment, which do not count yet.
        """
        self._as_of = as_of
        self._settled = settled
        self._fresh = fresh
        self._before = before
        self._subscriptions = subscriptions

    def get(self, tenant_id: str, default: Economics | None = None) -> Economics | None:  # type: ignore[override]
        """The money of one tenant; None when it has no event of the kinds in 60 days."""
        new, fresh = self._settled.get(tenant_id, _ZERO), self._fresh.get(tenant_id)
        if fresh is not None:
            new = new.plus(fresh)
        old = self._before.get(tenant_id, _ZERO)
        if not (new.num or old.num):
            return default
        return Economics(
            new.cost_usd,
            old.cost_usd,
            new.num_calls,
            old.num_calls,
            tuple(
                one
                for one in self._subscriptions.get(tenant_id, ())
                if one.timestamp <= self._as_of
            ),
        )

    def __getitem__(self, tenant_id: str) -> Economics:
        found = self.get(tenant_id)
        if found is None:
            raise KeyError(tenant_id)
        return found

    def __iter__(self) -> Iterator[str]:
        names = self._settled.keys() | self._fresh.keys() | self._before.keys()
        return (name for name in names if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True)
class _Edge:
    """The events of ``(start, end]`` in order of time, which a window is about to lose."""

    start: datetime
    end: datetime
    at_us: _Integers
    names: Sequence[str]
    codes: _Integers  # places in ``names``
    costs: _Integers  # in units of 10^-10 USD
    is_call: npt.NDArray[np.bool_]

    def between(self, start: datetime, end: datetime) -> dict[str, _Sum]:
        """Sums of ``(start, end]``, which lies inside."""
        first, last = np.searchsorted(self.at_us, [to_us(start), to_us(end)], side="right")
        if first == last:
            return {}
        there, places = np.unique(self.codes[first:last], return_inverse=True)
        costs, calls = self.costs[first:last], self.is_call[first:last]
        parts = (costs // _COST_HALF, costs % _COST_HALF, calls, np.ones_like(costs))
        sums = []
        for values in parts:
            into = np.zeros(len(there), np.int64)
            np.add.at(into, places, values)
            sums.append(into)
        return {
            self.names[code]: _Sum(high * _COST_HALF + low, num_calls, num)
            for code, high, low, num_calls, num in zip(
                there.tolist(), *(one.tolist() for one in sums), strict=True
            )
        }


class _ReadAhead:
    """A reading under way; whoever asks for what it reads waits for its end."""

    def __init__(self, asked: tuple[datetime, ...], read: Callable[[], _Parts]) -> None:
        self._asked = asked
        self._read = read
        self._found: _Parts | None = None
        self._thread = threading.Thread(target=self._run, name="ebbtide-ledger", daemon=True)
        self._thread.start()

    def result(self, asked: tuple[datetime, ...]) -> _Parts | None:
        """What was found; None when it was asked for another stretch, or could not be read."""
        if asked != self._asked:
            return None
        self._thread.join()
        return self._found

    def _run(self) -> None:
        # Whoever needs it reads it again, and hears then why it cannot be read.
        with suppress(StoreUnavailable):
            self._found = self._read()


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
        self._until: datetime | None = None  # the full hour up to which sums are kept
        self._settled: dict[str, _Sum] = {}  # of the last window, up to there
        self._before: dict[str, _Sum] = {}
        self._edges: list[_Edge | None] = [None, None]
        self._subscriptions: Mapping[str, Sequence[SubscriptionEvent]] = {}
        self._read_ahead: _ReadAhead | None = None

    def read_ahead(self, as_of: datetime) -> None:
        """Begin to read, in a thread of its own, what :meth:`at` will need for a later moment.

        Call it after the changes were asked for that :meth:`at` will be told of; were it told of
        later ones, they might be in nothing that was read: :meth:`forget_ahead` then. What could
        not be read is read again.
        """
        known, was = self._known, self._until
        if known is None or was is None or not known <= as_of <= known + PAUSE_MAX:
            return
        until = floor_hour(as_of - HOUR)
        asked = was, until, as_of
        self._read_ahead = _ReadAhead(asked, lambda: self._read(was, until, as_of, None))

    def forget_ahead(self) -> None:
        """Do not use what was read ahead."""
        self._read_ahead = None

    def at(self, as_of: datetime, stored: Sequence[Change] | None) -> Money:
        """Money and calls at a moment, by tenant id.

        Args:
            as_of: UTC-aware; not before the one asked for last, or everything is read anew.
            stored: all that was stored since this was asked last; None reads everything anew.

        Raises:
            StoreUnavailable: the event store cannot answer.
        """
        known, self._known = self._known, None  # should this fail, sums may be half moved
        # Most events arrive within an hour; what comes later costs its tenant a new sum.
        until = floor_hour(as_of - HOUR)
        if stored is None or known is None or not known <= as_of <= known + PAUSE_MAX:
            self._edges = [None, None]
            self._settled, self._before = self._windows(as_of, until, None)
            _, fresh = self._read(until, until, as_of, None)
            self._subscriptions = self._read_subscriptions(as_of)
        else:
            fresh = self._move(known, as_of, until, stored)
            if any(one.event_type in self._subscription_types for one in stored):
                self._subscriptions = self._read_subscriptions(as_of)
        self._until, self._known = until, as_of
        return Money(as_of, dict(self._settled), fresh, dict(self._before), self._subscriptions)

    def _windows(self, as_of: datetime, until: datetime, tenants: Collection[str] | None) -> _Parts:
        """The last window up to ``until``, and the whole one before it."""
        start = as_of - PERIOD
        settled, _ = self._read(start, until, until, tenants)
        before, _ = self._read(start - PERIOD, start, start, tenants)
        return settled, before

    def _move(
        self, known: datetime, as_of: datetime, until: datetime, stored: Sequence[Change]
    ) -> dict[str, _Sum]:
        """Bring the kept sums to a later moment; returns what is newer than ``until``."""
        settled, before, was = self._settled, self._before, self._until
        assert was is not None
        mine = [one for one in stored if one.event_type in self._types]
        self._forget_edges(mine)
        for number, edge in enumerate(self._edges, 1):
            left = self._leaving(number, edge, known, as_of)
            for tenant_id, lost in left.items():
                if number == 1:
                    settled[tenant_id] = settled.get(tenant_id, _ZERO).minus(lost)
                    before[tenant_id] = before.get(tenant_id, _ZERO).plus(lost)
                else:
                    before[tenant_id] = before.get(tenant_id, _ZERO).minus(lost)
        ahead, self._read_ahead = self._read_ahead, None
        found = ahead.result((was, until, as_of)) if ahead is not None else None
        gained, fresh = found or self._read(was, until, as_of, None)
        for tenant_id, new in gained.items():
            settled[tenant_id] = settled.get(tenant_id, _ZERO).plus(new)
        touched = sorted({one.tenant_id for one in mine if one.first_at <= was})
        if touched:
            settled_again, before_again = self._windows(as_of, until, touched)
            for tenant_id in touched:
                settled[tenant_id] = settled_again.get(tenant_id, _ZERO)
                before[tenant_id] = before_again.get(tenant_id, _ZERO)
        return fresh

    # -- what windows lose ---------------------------------------------------------------------

    def _forget_edges(self, stored: Iterable[Change]) -> None:
        """Read again what more events were dated into."""
        oldest = min((one.first_at for one in stored), default=None)
        self._edges = [
            edge if edge is None or oldest is None or oldest > edge.end else None
            for edge in self._edges
        ]

    def _leaving(
        self, number: int, edge: _Edge | None, known: datetime, as_of: datetime
    ) -> dict[str, _Sum]:
        """What leaves the first or the second window between two moments."""
        start, end = known - number * PERIOD, as_of - number * PERIOD
        if start >= end:
            return {}
        if edge is None or start < edge.start or end > edge.end:
            edge = self._edges[number - 1] = self._read_edge(start, max(end, start + AHEAD))
        return edge.between(start, end)

    def _read_edge(self, start: datetime, end: datetime) -> _Edge:
        relation, params = events_within(start, end, event_types=self._types)
        table = self._events.query_arrow(_EACH.format(relation=relation), params)
        if not table.num_rows:
            nothing = np.zeros(0, np.int64)
            return _Edge(start, end, nothing, (), nothing, nothing, nothing.astype(np.bool_))
        names = table["tenant_id"].combine_chunks().dictionary_encode()
        is_call = pc.equal(table["event_type"], _API_CALL).to_numpy()
        costs = table["cost_usd"].cast(_COST_TYPE).combine_chunks().fill_null(Decimal(0))
        whole = np.frombuffer(costs.buffers()[1], "<i8").reshape(-1, 2)
        low = whole[costs.offset : costs.offset + len(costs), 0]
        return _Edge(
            start,
            end,
            pc.cast(table["timestamp"], pa.int64()).to_numpy(),
            names.dictionary.to_pylist(),
            names.indices.to_numpy().astype(np.int64),
            np.where(is_call, 0, low),
            is_call,
        )

    # -- subscriptions -------------------------------------------------------------------------

    def _read_subscriptions(self, as_of: datetime) -> Mapping[str, Sequence[SubscriptionEvent]]:
        """All of them, those that are dated ahead too."""
        types = sorted(self._subscription_types)
        newest = self._events.query(_AHEAD, {"at": as_of, "types": types})[0][0]
        return read_subscriptions(self._events, self._catalog, newest or as_of)

    # -- sums ----------------------------------------------------------------------------------

    def _read(
        self, start: datetime, cut: datetime, end: datetime, tenants: Collection[str] | None
    ) -> _Parts:
        """Sums of ``(start, cut]`` and ``(cut, end]``; the cut is a full hour, or the end.

        With many tenants named they may hold others too.
        """
        found: _Parts = ({}, {})
        if start >= end:
            return found
        if tenants is not None and len(tenants) > self._events.tenants_named_max:
            tenants = None
        relation, params = event_counts(
            start,
            end,
            [cut],
            event_types=self._types,
            tenants=None if tenants is None else list(tenants),
        )
        rows = self._events.query(_SUMS.format(relation=relation), params | {"cut": cut})
        for tenant_id, cost, calls, num, is_after in rows:
            units = 0 if cost is None else int(cost.scaleb(10, _EXACT))
            found[is_after][tenant_id] = _Sum(units, int(calls), int(num))
        return found
