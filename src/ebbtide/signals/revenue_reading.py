"""Reads revenue for any moment, from what is kept and what is new since.

Every door calls the methods of :class:`RevenueReader` and only shows what they return.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.tenant import Origin, Tenant
from ebbtide.metrics.compute import MetricTable, compute_metric
from ebbtide.signals.billing import BillingEvent, read_event, subscriptions_of
from ebbtide.signals.changes import EVERYBODY
from ebbtide.signals.day_counts import DayCounts
from ebbtide.signals.read import CustomerReader
from ebbtide.signals.revenue import PERIOD, Counts, Revenue, Unit, sum_up, units_of
from ebbtide.signals.watch import Shelf, Watch, watch_over
from ebbtide.store.events.base import EventStore
from ebbtide.store.events.relations import event_counts
from ebbtide.store.state.base import StateStore

_COUNTS, _BILLING = "unit_counts", "billing_events"
_KEPT_MAX = 4  # answers; most ask for the newest run
_KNOWN_KEPT_MAX = 2  # of those that know less
_END = datetime(9000, 1, 1, tzinfo=UTC)  # events of any date; the asked moment comes later

_Asked = tuple[datetime, datetime, int | None]  # as_of, known_at, and the directory's newest edit


@dataclass(frozen=True, slots=True)
class Units:
    """The economics of all tenants at a moment, the lowest margin first.

    ``known_at`` is None when all that is stored counts; ``entered`` are prices that people wrote
    into the directory, by tenant id.
    """

    as_of: datetime
    known_at: datetime | None
    units: Sequence[Unit]
    entered: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class RevenueAt:
    """Revenue at a moment, and how many are at risk beside it."""

    as_of: datetime
    known_at: datetime | None
    revenue: Revenue
    units: Sequence[Unit]
    num_at_risk: int
    num_critical: int
    num_silent: int


class _Known(NamedTuple):
    """All that units are worked out from; equal ones give equal units."""

    counts: Mapping[str, Counts]
    firsts: Mapping[str, datetime]
    billing: Sequence[BillingEvent]
    entered: Mapping[str, Fraction]


class RevenueReader:
    """Reads revenue from the stores; may be called from any thread."""

    def __init__(
        self,
        catalog: Catalog,
        events: EventStore,
        state: StateStore,
        customers: CustomerReader,
        clock: Callable[[], datetime],
        watch: Watch | None = None,
    ) -> None:
        """Begin with nothing kept.

        Args:
            watch: tells what is stored late or erased; a new one by default.
        """
        self._watch = watch or watch_over(events, state)
        # What is stored later for a moment, or for one before it, makes it another one.
        self._known: Shelf[_Asked, Units] = self._watch.keep(
            lambda asked, late: late.first <= asked[0], _KNOWN_KEPT_MAX
        )
        self._catalog = catalog
        self._events = events
        self._state = state
        self._customers = customers
        self._clock = clock
        self._types = {
            name: frozenset(catalog.metrics[name].inputs or ()) for name in (_COUNTS, _BILLING)
        }
        self._lock = threading.Lock()
        self._begin_anew({})

    def look_ahead(self) -> None:
        """Read what answers are made of, so that the first one who asks need not wait.

        Raises:
            StoreUnavailable: the event store cannot answer.
        """
        self.units()

    def revenue(
        self, *, as_of: datetime | None = None, known_at: datetime | None = None
    ) -> RevenueAt:
        """All tenants together.

        Args:
            as_of: None: that of the newest run, so that risk and money are of one moment.

        Raises:
            Unprocessable: the moment lies in the future.
            StoreUnavailable: a store cannot answer.
        """
        seen = self._customers.everybody(as_of=as_of, known_at=known_at)
        at = seen.moment.as_of
        found = self.units(as_of=at, known_at=known_at)
        standing = seen.standing.values()
        levels = {
            one.tenant_id: one.risk.risk_level or "" for one in standing if one.risk.is_on_list
        }
        rule = self._catalog.signals.pricing
        total = sum_up(found.units, levels, found.entered, at, rule.default_price_usd)
        return RevenueAt(
            as_of=at,
            known_at=known_at,
            revenue=total,
            units=found.units,
            num_at_risk=len(levels),
            num_critical=sum(level == "critical" for level in levels.values()),
            num_silent=sum(one.silence.is_silent_churn for one in standing),
        )

    def units(self, *, as_of: datetime | None = None, known_at: datetime | None = None) -> Units:
        """Each tenant by itself; arguments as above.

        Raises:
            Unprocessable: the moment lies in the future.
            StoreUnavailable: a store cannot answer.
        """
        now = self._clock()
        for name, moment in (("as_of", as_of), ("known_at", known_at)):
            if moment is not None and moment > now:
                raise Unprocessable(f"{name} lies in the future")
        at = as_of or known_at or min(self._state.scores.head().as_of or now, now)
        if known_at is not None:
            self._watch.look()
            asked = at, known_at, self._state.tenants.newest_edit()
            return self._known.get(asked, lambda: self._as_known(at, known_at))
        with self._lock:
            self._follow()
            known = _Known(
                self._days.within(at - PERIOD, at, self._read_counts),
                _begun(self._firsts, at),
                self._billing,
                _entered(self._priced, at),
            )
            kept = self._kept.pop(at, None)
            if kept is None or kept[0] != known:
                kept = known, self._work_out(known, at, None)
            self._kept[at] = kept
            while len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
            return kept[1]

    def _as_known(self, at: datetime, known_at: datetime) -> Units:
        """Read all anew, for a moment at which less was known."""
        table = self._compute(_COUNTS, at, known_at, at - PERIOD)
        firsts = self._first_events(at, known_at)
        uuids = {to_uuid_text(tenant_id) for tenant_id in firsts}
        known = _Known(
            DayCounts().within(at - PERIOD, at, lambda *_: table),
            _begun(firsts, at),
            self._read_billing(at, known_at),
            _entered(self._state.tenants.find(uuids, known_at).values(), at),
        )
        return self._work_out(known, at, known_at)

    def _work_out(self, known: _Known, at: datetime, known_at: datetime | None) -> Units:
        rule = self._catalog.signals
        events = [one for one in known.billing if one.timestamp <= at]
        units = units_of(
            known.firsts,
            known.counts,
            subscriptions_of(events, at),
            known.entered,
            at,
            rule.pricing.default_price_usd,
            rule.revenue,
        )
        return Units(at, known_at, units, known.entered)

    # -- what is kept --------------------------------------------------------------------------

    def _begin_anew(self, erasures: Mapping[str, datetime]) -> None:
        self._erasures = erasures
        self._since = 0
        self._days = DayCounts()
        self._billing: Sequence[BillingEvent] = ()
        self._firsts: dict[str, datetime] = {}
        self._newest_edit: int | None = None
        self._priced: Sequence[Tenant] = ()
        self._kept: OrderedDict[datetime, tuple[_Known, Units]] = OrderedDict()

    def _follow(self) -> None:
        """Learn what was stored since, and what was erased."""
        erasures = self._state.tenants.erasures()
        if erasures != self._erasures:
            self._begin_anew(erasures)
        newest_edit = self._state.tenants.newest_edit()
        if newest_edit != self._newest_edit:
            self._priced = [one for one in self._state.tenants.priced() if _is_by_hand(one)]
            self._newest_edit = newest_edit
        changes, since = self._events.changes(self._since)
        if since < self._since:
            # Another store than before, or an older copy of it: what is gone is not reported.
            self._begin_anew(erasures)
            changes, since = self._events.changes(0)
        if not changes:
            return
        self._days.forget(changes, self._types[_COUNTS])
        for one in changes:
            known = self._firsts.get(one.tenant_id)
            if known is None or one.first_at < known:
                self._firsts[one.tenant_id] = one.first_at
        if any(one.event_type in self._types[_BILLING] for one in changes):
            self._billing = self._read_billing(_END, None)
        self._since = since

    def _read_counts(self, start: datetime, end: datetime) -> MetricTable:
        return self._compute(_COUNTS, end, None, start)

    def _read_billing(self, at: datetime, known_at: datetime | None) -> list[BillingEvent]:
        return [read_event(*row) for row in self._compute(_BILLING, at, known_at, None).rows]

    def _compute(
        self, metric: str, at: datetime, known_at: datetime | None, since: datetime | None
    ) -> MetricTable:
        return compute_metric(
            self._catalog.metrics[metric], at, self._events, known_at=known_at, since=since
        )

    def _first_events(self, at: datetime, known_at: datetime) -> dict[str, datetime]:
        relation, params = event_counts(None, at, known_at=known_at)
        text = f"SELECT tenant_id, MIN(first_at) FROM {relation} AS counted GROUP BY tenant_id"
        return dict(self._events.query(text, params))


def _begun(firsts: Mapping[str, datetime], at: datetime) -> dict[str, datetime]:
    """Tenants with an event by then; what is about everybody is of none."""
    return {one: first for one, first in firsts.items() if first <= at and one != EVERYBODY}


def _entered(tenants: Iterable[Tenant], at: datetime) -> dict[str, Fraction]:
    """Prices that people had entered by then, by tenant id."""
    return {
        one.tenant_id: Fraction(one.price_usd)
        for one in tenants
        if one.price_usd is not None and _is_by_hand(one) and one.provenance["price_usd"].at <= at
    }


def _is_by_hand(tenant: Tenant) -> bool:
    said = tenant.provenance.get("price_usd")
    return said is not None and said.origin is Origin.API
