"""How far customers get from an incident to a verified certificate, in any order and one by one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.metric import FRESHNESS
from ebbtide.catalog.product import FunnelRule, FunnelStep
from ebbtide.metrics.compute import compute_metric_arrow
from ebbtide.signals.changes import EVERYBODY
from ebbtide.signals.facts import DAY
from ebbtide.signals.recent import to_moment
from ebbtide.signals.watch import Watch
from ebbtide.signals.weeks import Weeks
from ebbtide.store.events.base import EventStore

LENGTH = 30 * DAY
NEVER = np.iinfo(np.int64).max  #: later than any moment

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Taken:
    """Steps in order of time: whose (a place in ``tenants``), which one (0 is the first), when."""

    tenants: Sequence[str]
    who: npt.NDArray[np.int32]
    step: npt.NDArray[np.int8]
    at_us: Numbers  # microseconds since 1970
    freshness: datetime | None


@dataclass(frozen=True, slots=True)
class Path:
    """One way to count: customers at each step, and the rate into each but the first.

    A rate is None when nobody reached the step before; of customers in any order it may be above
    1, since they may take a step without the one before.
    """

    num_tenants: tuple[int, ...]
    rates: tuple[Fraction | None, ...]
    worst: int | None  # the step with the lowest rate; None when nobody is lost anywhere


@dataclass(frozen=True, slots=True)
class Funnel:
    """The funnel of one window.

    Attributes:
        counts: how often each tenant took each step: a row for each tenant.
        reached_us: when it took each step, one after another; NEVER when it did not.
    """

    as_of: datetime
    rule: FunnelRule
    tenants: Sequence[str]
    counts: Numbers
    reached_us: Numbers
    freshness: datetime | None

    @property
    def since(self) -> datetime:
        """Open start of the window."""
        return self.as_of - LENGTH

    @property
    def loose(self) -> Path:
        """Customers that took a step at all."""
        return path_of([int(num) for num in (self.counts > 0).sum(axis=0)])

    @property
    def ordered(self) -> Path:
        """Customers that took it after the step before."""
        return path_of([int(num) for num in (self.reached_us != NEVER).sum(axis=0)])

    def who(self, step: int, *, in_order: bool, stopped: bool) -> list[str]:
        """Tenants that reached a step, by their ids.

        Args:
            stopped: only those that did not reach the step after it.
        """
        reached = self.reached_us != NEVER if in_order else self.counts > 0
        chosen = reached[:, step]
        if stopped and step + 1 < reached.shape[1]:
            chosen = chosen & ~reached[:, step + 1]
        return sorted(self.tenants[row] for row in np.flatnonzero(chosen).tolist())

    def of(self, tenant_id: str) -> tuple[tuple[int, datetime | None], ...]:
        """How often one tenant took each step, and when it did so in order."""
        if tenant_id not in self.tenants:
            return tuple((0, None) for _ in self.rule.steps)
        row = list(self.tenants).index(tenant_id)
        return tuple(
            (int(num), None if us == NEVER else to_moment(int(us)))
            for num, us in zip(self.counts[row], self.reached_us[row], strict=True)
        )


def path_of(nums: Sequence[int]) -> Path:
    """Rates from step to step, and where most are lost of those that might go on."""
    rates = tuple(Fraction(num, before) if before else None for before, num in pairwise(nums))
    lossy = [(rate, step) for step, rate in enumerate(rates, 1) if rate is not None and rate < 1]
    return Path(tuple(nums), rates, min(lossy)[1] if lossy else None)


def advice_of(rule: FunnelRule, path: Path) -> FunnelStep | None:
    """The step whose words stand beside a path; None when nobody is lost."""
    return None if path.worst is None else rule.steps[path.worst]


def follow(pieces: Sequence[Taken], num_steps: int) -> tuple[list[str], Numbers, Numbers]:
    """Put stretches of time together and follow every customer through them.

    Args:
        pieces: oldest first; they do not overlap.

    Returns:
        Tenants, how often each took each step, and when one after another: the earliest event
        of the first step, then the earliest of each next one that is strictly later.
    """
    places: dict[str, int] = {}
    renamed = [
        np.array([places.setdefault(name, len(places)) for name in one.tenants], np.int64)
        for one in pieces
    ]
    whose = [names[one.who] for one, names in zip(pieces, renamed, strict=True) if len(one.who)]
    num = len(places)
    counts = np.zeros((num, num_steps), np.int64)
    reached = np.full((num, num_steps), NEVER, np.int64)
    if not whose:
        return list(places), counts, reached
    who = np.concatenate(whose)
    step = np.concatenate([one.step for one in pieces])
    at_us = np.concatenate([one.at_us for one in pieces])
    last = np.full(num, np.iinfo(np.int64).min, np.int64)
    for number in range(num_steps):
        taken = step == number
        of, at = who[taken], at_us[taken]
        counts[:, number] = np.bincount(of, minlength=num)
        later = at > last[of]
        # Backwards: of several assignments to one place the last one stays, here the earliest.
        reached[of[later][::-1], number] = at[later][::-1]
        last = reached[:, number]
    return list(places), counts, reached


class FunnelReader:
    """Reads the funnel at any moment; past weeks come from memory. From any thread."""

    def __init__(self, catalog: Catalog, events: EventStore, watch: Watch) -> None:
        self._rule = catalog.signals.product.funnel
        self._metric = catalog.metrics["funnel_instants"]
        self._events = events
        self._steps = [step.event_type for step in self._rule.steps]
        self._weeks = Weeks(watch, self._load, lambda one: one.freshness)

    def at(self, as_of: datetime, *, known_at: datetime | None = None) -> Funnel:
        """The funnel over 30 days.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        pieces = self._weeks.over(as_of - LENGTH, as_of, known_at=known_at)
        tenants, counts, reached = follow(pieces, len(self._steps))
        freshness = max(filter(None, (one.freshness for one in pieces)), default=None)
        return Funnel(as_of, self._rule, tenants, counts, reached, freshness)

    def of_tenant(
        self, tenant_id: str, as_of: datetime, *, known_at: datetime | None = None
    ) -> Funnel:
        """The funnel of one tenant alone, in the store's spelling."""
        piece = self._load(as_of - LENGTH, as_of, known_at, [tenant_id])
        tenants, counts, reached = follow([piece], len(self._steps))
        return Funnel(as_of, self._rule, tenants, counts, reached, piece.freshness)

    def _load(
        self,
        start: datetime | None,
        end: datetime,
        known_at: datetime | None,
        only: Sequence[str] | None = None,
    ) -> Taken:
        table = compute_metric_arrow(
            self._metric, end, self._events, known_at=known_at, since=start, tenants=only
        ).combine_chunks()
        if table.num_rows == 0:
            return NOTHING_TAKEN
        names = _texts(table, "tenant_id").dictionary_encode()
        steps = pc.index_in(_texts(table, "event_type"), value_set=pa.array(self._steps))
        at_us = table["timestamp"].chunk(0).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        order = np.argsort(at_us.to_numpy(), kind="stable")
        is_customer = [name != EVERYBODY for name in names.dictionary.to_pylist()]
        who = names.indices.to_numpy()[order].astype(np.int32)
        kept = np.array(is_customer)[who]  # what is told of everybody is told of no customer
        return Taken(
            [sys.intern(name) for name in names.dictionary.to_pylist()],
            who[kept],
            steps.to_numpy()[order][kept].astype(np.int8),
            at_us.to_numpy()[order][kept],
            pc.max(table[FRESHNESS]).as_py(),
        )


NOTHING_TAKEN = Taken((), np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.int64), None)


def _texts(table: pa.Table, column: str) -> pa.StringArray:
    return table[column].chunk(0).cast(pa.string())
