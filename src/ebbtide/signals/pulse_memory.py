"""The windows of the pulse from memory: what lies between full hours is read once an hour.

A window is what its full hours hold, kept until something is stored in them, and the parts of
hours at its two ends. These hours are kept event by event, so that only the hour that is not over
is read each time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.metric import FRESHNESS
from ebbtide.domain.event import COST_DECIMALS
from ebbtide.domain.time import EPOCH, HOUR, MICROSECOND, ceil_hour, floor_hour
from ebbtide.metrics.compute import compute_metric, compute_metric_arrow
from ebbtide.signals.watch import Late, Shelf, Watch
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.relations import events_within

HOURS_KEPT, STRETCHES_KEPT = 24, 48
#: With more events in a mean hour the sums of the store are cheaper than the events.
HOURLY_MAX = 30_000
#: More events of one hour are not held.
NUM_READ_MAX = 200_000

_DAY = timedelta(days=1)
_PRODUCERS = timedelta(hours=171)  # the window of pulse_producers
_RECENT = timedelta(minutes=5)

#: Moments whose windows the calendar holds.
_FIRST, _LAST = EPOCH + timedelta(days=30), datetime(9000, 1, 1, tzinfo=UTC)

_EXACT = Context(prec=60)
_STEP = Decimal(1).scaleb(-COST_DECIMALS)
_HALF = 10**9  # sums of either part of a cost stay within 64 bits
_COLUMNS = (
    "timestamp",
    "received_at",
    "tenant_id",
    "event_type",
    "source",
    "latency_ms",
    "cost_usd",
)
_CALL, _LIMIT = "API_CALL_RECEIVED", "INFRA_LIMIT_HIT"
#: Columns of ``pulse_tenants`` -> the type that each counts.
_COUNTED = {
    "num_incidents": "INCIDENT_CREATED",
    "num_replays": "REPLAY_EXECUTED",
    "num_exports": "EXPORT_GENERATED",
    "num_llm_made": "LLM_CALL_MADE",
    "num_llm_failed": "LLM_CALL_FAILED",
}
_NUMS = ("num_events", *_COUNTED)
_CALLS_OF_MODELS = ("LLM_CALL_MADE", "LLM_CALL_FAILED")

T = TypeVar("T")
Window = tuple[datetime, datetime]  #: ``(start, end]``
Key = tuple[str, datetime, datetime]  #: what is kept of a window
Numbers = npt.NDArray[np.int64]


@dataclass(slots=True)
class Sums:
    """What happened in a window; ``nums`` by the columns of ``pulse_tenants``."""

    tenants: set[str] = field(default_factory=set)
    nums: Counter[str] = field(default_factory=Counter)
    cost_usd: Decimal | None = None
    newest_at: datetime | None = None
    newest_received_at: datetime | None = None

    def add(self, other: Sums) -> None:
        """Add a window beside it."""
        self.tenants |= other.tenants
        self.nums.update(other.nums)
        self.cost_usd = _plus(self.cost_usd, other.cost_usd)
        self.newest_at = _latest(self.newest_at, other.newest_at)
        self.newest_received_at = _latest(self.newest_received_at, other.newest_received_at)


class Seen(NamedTuple):
    """A producer in a window."""

    newest_at: datetime
    newest_received_at: datetime
    num_3h: int
    num_24h: int


class Kept(NamedTuple):
    """The answers of metrics about the pulse, put together.

    ``now``, ``before`` and ``week`` are windows of 24 hours; ``costs`` are the columns of
    ``pulse_cost``, ``latencies`` and ``infra`` the rows of their metrics.
    """

    now: Sums
    before: Sums
    week: Sums
    costs: tuple[int, int, Decimal | None]
    latencies: list[tuple[int, int]]
    producers: Mapping[str, Seen]
    num_5m: int
    infra: Sequence[tuple[Any, ...]]


class _Hour:
    """The events of an hour, in columns; a part of it is the places of some of them."""

    def __init__(self, table: pa.Table) -> None:
        table = table.combine_chunks()
        self.num = table.num_rows
        self.at_us = _instants(table, "timestamp")
        self.received_us = _instants(table, "received_at")
        self.tenants, self.whose = _words(table, "tenant_id")
        self.types, self.type_of = _words(table, "event_type")
        self.sources, self.source_of = _words(table, "source")
        latency = _column(table, "latency_ms")
        self.has_latency = latency.is_valid().to_numpy(zero_copy_only=False)
        self.latency_ms = latency.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        cost = _column(table, "cost_usd").cast(pa.decimal128(38, COST_DECIMALS))
        self.has_cost = cost.is_valid().to_numpy(zero_copy_only=False)
        self.cost_steps = _steps(cost)

    def part(self, start: datetime, end: datetime, known_at: datetime | None) -> _Part:
        inside = (self.at_us > _us(start)) & (self.at_us <= _us(end))
        if known_at is not None:
            inside &= self.received_us <= _us(known_at)
        return _Part(self, np.flatnonzero(inside))


class _Part:
    """Some events of an hour."""

    def __init__(self, hour: _Hour, places: npt.NDArray[np.intp]) -> None:
        self._hour = hour
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def sums(self) -> Sums:
        hour, places = self._hour, self._places
        if not len(places):
            return Sums()
        nums = np.bincount(hour.type_of[places], minlength=len(hour.types))
        by_type = dict(zip(hour.types, nums.tolist(), strict=True))
        found = Sums(
            tenants={hour.tenants[one] for one in np.unique(hour.whose[places]).tolist()},
            nums=Counter({column: by_type.get(kind, 0) for column, kind in _COUNTED.items()}),
            cost_usd=self._cost(places),
            newest_at=_moment(hour.at_us[places].max()),
            newest_received_at=_moment(hour.received_us[places].max()),
        )
        found.nums["num_events"] = len(places)
        return found

    def costs(self) -> tuple[int, int, Decimal | None]:
        """As ``pulse_cost`` counts them."""
        places = self._of_types(_CALLS_OF_MODELS)
        return len(places), int(self._hour.has_cost[places].sum()), self._cost(places)

    def latencies(self) -> dict[int, int]:
        places = self._of_types((_CALL,))
        taken = self._hour.latency_ms[places[self._hour.has_latency[places]]]
        values, nums = np.unique(taken, return_counts=True)
        return dict(zip(values.tolist(), nums.tolist(), strict=True))

    def by_source(self) -> dict[str, tuple[datetime, datetime, int]]:
        """Newest moment, newest arrival and number of each producer's events."""
        hour, found = self._hour, {}
        of = hour.source_of[self._places]
        for place in np.unique(of).tolist():
            theirs = self._places[of == place]
            found[hour.sources[place]] = (
                _moment(hour.at_us[theirs].max()),
                _moment(hour.received_us[theirs].max()),
                len(theirs),
            )
        return found

    def has_limits(self) -> bool:
        return len(self._of_types((_LIMIT,))) > 0

    def _of_types(self, types: Iterable[str]) -> npt.NDArray[np.intp]:
        hour = self._hour
        wanted = [hour.types.index(one) for one in types if one in hour.types]
        found: npt.NDArray[np.intp] = self._places[np.isin(hour.type_of[self._places], wanted)]
        return found

    def _cost(self, places: npt.NDArray[np.intp]) -> Decimal | None:
        known = places[self._hour.has_cost[places]]
        if not len(known):
            return None
        whole, rest = np.divmod(self._hour.cost_steps[known], _HALF)
        return _EXACT.multiply(Decimal(int(whole.sum()) * _HALF + int(rest.sum())), _STEP)


class PulseMemory:
    """Reads what the pulse looks at, for any moment. From any thread."""

    def __init__(self, catalog: Catalog, events: EventStore, watch: Watch) -> None:
        self._catalog = catalog
        self._events = events
        self._watch = watch
        self._hours: Shelf[Window, _Hour | None] = watch.keep(
            lambda hour, late: late.is_within(*hour), HOURS_KEPT
        )
        self._stretches: Shelf[Key, Any] = watch.keep(self._is_touched, STRETCHES_KEPT)

    def look(self, as_of: datetime, known_at: datetime | None = None) -> Kept | None:
        """The same as the metrics say.

        Returns:
            None when memory is of no use: for hours with very many events, and where some of
            what is kept came after ``known_at``.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        if not _FIRST <= as_of <= _LAST:
            return None
        # What is kept must not hide that the store is down.
        self._events.ping()
        self._watch.look()
        one = _Reading(self, as_of, known_at)
        try:
            is_new = one.is_new()
            if not is_new:
                return one.all(_do_now)
            # Half of it beside the rest, for whoever asks first in an hour.
            with ThreadPoolExecutor(1, thread_name_prefix="ebbtide-pulse") as beside:
                return one.all(lambda read: beside.submit(read).result)
        except _Unusable:
            return None

    def hour(self, hour: Window) -> _Hour:
        """The events of a full hour, those up to now when it is not over."""

        def load() -> _Hour | None:
            relation, params = events_within(*hour)
            text = (
                f"SELECT {', '.join(_COLUMNS)} FROM {relation} AS events LIMIT {NUM_READ_MAX + 1}"
            )
            table = self._events.query_arrow(text, params)
            return _Hour(table) if table.num_rows <= NUM_READ_MAX else None

        found = self._hours.get(hour, load)
        if found is None:
            raise _Unusable
        return found

    def is_kept(self, metric: str, window: Window) -> bool:
        """Whether a metric is kept for some full hours."""
        return (metric, *window) in self._stretches

    def stretch(
        self, metric: str, window: Window, read: Callable[[pa.Table], T]
    ) -> tuple[T, datetime | None]:
        """What is made of a metric's rows for full hours, and the newest arrival among them."""
        start, end = window

        def load() -> tuple[T, datetime | None]:
            definition = self._catalog.metrics[metric]
            table = compute_metric_arrow(definition, end, self._events, since=start)
            return read(table), pc.max(table[FRESHNESS]).as_py()

        found: tuple[T, datetime | None] = self._stretches.get((metric, start, end), load)
        return found

    def limits(self, since: datetime, as_of: datetime) -> list[tuple[Any, ...]]:
        """The newest reports of resources of part of an hour, which is not kept."""
        metric = self._catalog.metrics["pulse_infra"]
        return compute_metric(metric, as_of, self._events, since=since).rows

    def _is_touched(self, key: Key, late: Late) -> bool:
        metric, start, end = key
        inputs = self._catalog.metrics[metric].inputs
        return (inputs is None or late.event_type in inputs) and late.is_within(start, end)


class _Unusable(Exception):
    """What is kept does not answer this question."""


class _Reading:
    """One look at a moment."""

    def __init__(self, memory: PulseMemory, as_of: datetime, known_at: datetime | None) -> None:
        self._memory = memory
        self._as_of = as_of
        self._known_at = known_at
        self._last = floor_hour(as_of)

    def is_new(self) -> bool:
        """Whether nobody asked for this hour yet; of no use where hours hold very many events."""
        start = self._as_of - _DAY
        hours = ceil_hour(start), self._last
        is_new = not self._memory.is_kept("pulse_tenants", hours)
        found, _ = self._memory.stretch("pulse_tenants", hours, _sum_up)
        if found.nums["num_events"] > HOURLY_MAX * ((hours[1] - hours[0]) // HOUR):
            raise _Unusable
        return is_new

    def all(self, begin: Callable[[Callable[[], Any]], Callable[[], Any]]) -> Kept:
        """Everything; ``begin`` starts a reading and gives what waits for its answer."""
        at = self._as_of
        before = begin(lambda: self.sums(at - 2 * _DAY, at - _DAY))
        week = begin(lambda: self.sums(at - 8 * _DAY, at - 7 * _DAY))
        latencies = begin(self.latencies)
        return Kept(
            now=self.sums(at - _DAY, at),
            costs=self.costs(),
            producers=self.producers(),
            infra=self.infra(),
            num_5m=self.num_5m(),
            before=before(),
            week=week(),
            latencies=latencies(),
        )

    def sums(self, start: datetime, end: datetime) -> Sums:
        """Of a window that is longer than an hour."""
        hours = ceil_hour(start), floor_hour(end)
        found = Sums()
        found.add(self._known(self._memory.stretch("pulse_tenants", hours, _sum_up)))
        for part in self._edges(start, end):
            found.add(part.sums())
        return found

    def costs(self) -> tuple[int, int, Decimal | None]:
        """Since midnight, which is part of the day."""
        midnight = self._as_of.replace(hour=0, minute=0, second=0, microsecond=0)
        num_calls, num_costs, cost = 0, 0, None
        parts = [part.costs() for part in self._edges(midnight - MICROSECOND, self._as_of)]
        if midnight < self._last:
            parts.append(
                self._known(self._memory.stretch("pulse_cost", (midnight, self._last), _costs))
            )
        for calls, costs, usd in parts:
            num_calls, num_costs, cost = num_calls + calls, num_costs + costs, _plus(cost, usd)
        return num_calls, num_costs, cost

    def latencies(self) -> list[tuple[int, int]]:
        start = self._as_of - _DAY
        hours = ceil_hour(start), self._last
        kept = self._known(self._memory.stretch("pulse_latency", hours, _by_value))
        parts = [part.latencies() for part in self._edges(start, self._as_of)]
        if not any(parts):
            return list(kept.items())  # in their order already
        found = Counter(kept)
        for part in parts:
            found.update(part)
        return sorted(found.items())

    def producers(self) -> dict[str, Seen]:
        """Everybody seen in the window of ``pulse_producers``."""
        start = self._as_of - _PRODUCERS
        table = self._memory.stretch("pulse_producers", (ceil_hour(start), self._last), _rows)
        found = {row[0]: Seen(row[1], row[2], row[4], row[5]) for row in self._known(table)}
        # The store counted hours and days back from the full hour: what lies before the windows
        # of the moment itself is taken off, and what came after that hour added.
        three, day = (self._before(self._as_of - length) for length in (3 * HOUR, _DAY))
        for part in self._edges(start, self._as_of):
            for source, (newest_at, newest_received_at, _) in part.by_source().items():
                known = found.get(source, Seen(newest_at, newest_received_at, 0, 0))
                found[source] = known._replace(
                    newest_at=max(newest_at, known.newest_at),
                    newest_received_at=max(newest_received_at, known.newest_received_at),
                )
        newest = self._part(self._last, self._as_of).by_source()
        for source, one in found.items():
            num = newest[source][2] if source in newest else 0
            found[source] = one._replace(
                num_3h=one.num_3h + num - three.get(source, 0),
                num_24h=one.num_24h + num - day.get(source, 0),
            )
        return {source: found[source] for source in sorted(found)}

    def num_5m(self) -> int:
        """Events of the last five minutes."""
        start = self._as_of - _RECENT
        edges = [(start, self._as_of)]
        if start < self._last < self._as_of:
            edges = [(start, self._last), (self._last, self._as_of)]
        return sum(len(self._part(*edge)) for edge in edges)

    def infra(self) -> list[tuple[Any, ...]]:
        """The newest reports of each resource."""
        start = self._as_of - _DAY
        # Of a stretch that began earlier the newest are the same, where they lie in the window.
        rows: list[tuple[Any, ...]] = self._known(
            self._memory.stretch("pulse_infra", (floor_hour(start), self._last), _rows)
        )
        if self._part(self._last, self._as_of).has_limits():
            later = self._memory.limits(self._last, self._as_of)
            if self._known_at is not None and any(row[2] > self._known_at for row in later):
                raise _Unusable
            rows = [*rows, *later]
        return [row for row in rows if row[1] > start]

    def _edges(self, start: datetime, end: datetime) -> list[_Part]:
        """The parts of hours at both ends of a window that no full hour covers."""
        first, last = ceil_hour(start), floor_hour(end)
        if first > last:
            return [self._part(start, end)]
        return [self._part(*edge) for edge in ((start, first), (last, end)) if edge[0] < edge[1]]

    def _part(self, start: datetime, end: datetime) -> _Part:
        """Some minutes of one hour; of none, when they are over before they begin."""
        hour = floor_hour(start), floor_hour(start) + HOUR
        return self._memory.hour(hour).part(start, end, self._known_at)

    def _before(self, moment: datetime) -> dict[str, int]:
        """Each producer's events of the hour of a moment, up to it."""
        start = floor_hour(moment)
        if start == moment:
            return {}
        # Those are in the store's count, whatever was known when: see ``_known``.
        return {source: one[2] for source, one in self._part(start, moment).by_source().items()}

    def _known(self, kept: tuple[Any, datetime | None]) -> Any:
        found, newest_received_at = kept
        if (
            self._known_at is not None
            and newest_received_at is not None
            and newest_received_at > self._known_at
        ):
            raise _Unusable
        return found


def _do_now(read: Callable[[], Any]) -> Callable[[], Any]:
    found = read()
    return lambda: found


def _sum_up(table: pa.Table) -> Sums:
    return Sums(
        tenants=set(table["tenant_id"].to_pylist()),
        nums=Counter({name: pc.sum(table[name]).as_py() or 0 for name in _NUMS}),
        cost_usd=_total(table["cost_usd"]),
        newest_at=pc.max(table["newest_at"]).as_py(),
        newest_received_at=pc.max(table[FRESHNESS]).as_py(),
    )


def _costs(table: pa.Table) -> tuple[int, int, Decimal | None]:
    num_calls, num_costs = (pc.sum(table[name]).as_py() or 0 for name in ("num_calls", "num_cost"))
    return num_calls, num_costs, _total(table["cost_usd"])


def _total(costs: pa.ChunkedArray) -> Decimal | None:
    total: Decimal | None = None
    for one in costs.drop_null().to_pylist():
        total = _plus(total, one)
    return total


def _by_value(table: pa.Table) -> dict[int, int]:
    """Calls by latency, ascending."""
    values, nums = (table[name].to_pylist() for name in ("latency_ms", "num"))
    return dict(zip(values, nums, strict=True))


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns[:-1]), strict=True))


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    if one is None or other is None:
        return other if one is None else one
    return _EXACT.add(one, other)


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _moment(us: Any) -> datetime:
    return EPOCH + int(us) * MICROSECOND


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _instants(table: pa.Table, name: str) -> Numbers:
    moments = _column(table, name).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return np.asarray(moments.to_numpy(zero_copy_only=False), np.int64)


def _words(table: pa.Table, name: str) -> tuple[list[str], npt.NDArray[np.int32]]:
    found = _column(table, name).cast(pa.string()).dictionary_encode()
    return found.dictionary.to_pylist(), found.indices.to_numpy()


def _steps(cost: pa.Array) -> Numbers:
    """Costs of events in whole steps: they have 18 digits, so the lower half holds them."""
    halves = np.frombuffer(cost.buffers()[1], "<i8").reshape(-1, 2)
    return halves[cost.offset : cost.offset + len(cost), 0]
