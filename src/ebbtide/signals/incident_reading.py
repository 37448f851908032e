"""Reads incidents from the event store and puts causes, cells, patterns and versions together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import MICROSECOND, floor_hour
from ebbtide.metrics.compute import MetricTable, compute_metric, compute_metric_arrow
from ebbtide.metrics.rows import rows_of
from ebbtide.signals.attribution import Attribution, Incident, Shares, attribute, correct
from ebbtide.signals.cause_memory import CauseMemory
from ebbtide.signals.regressions import (
    Calls,
    Comparison,
    DayRise,
    DaySum,
    Happened,
    Incidents,
    compare_versions,
    day_over_day,
    first_shown,
)
from ebbtide.signals.stretches import Stretch, Stretches
from ebbtide.signals.watch import watch_over
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.attributions import Correction
from ebbtide.store.state.base import StateStore

T = TypeVar("T")
Cell = tuple[str | None, ...]
_DAY = timedelta(days=1)
_LENGTH = 14 * _DAY  # the window of the metrics of versions
_OF_A_DAY = ("policy_id", "num_severity", "severity")
_TOP_TENANTS = 3


@dataclass(frozen=True, slots=True)
class HeatRow:
    """Incidents of one model, policy, version, or pair; None where it was not said."""

    cell: Cell
    num: int
    share: Fraction
    mean_severity: Fraction | None


@dataclass(frozen=True, slots=True)
class Found:
    """A regression with the moment at which it first showed; None when that cannot be told."""

    comparison: Comparison
    detected_at: datetime | None

    @property
    def first_hour(self) -> datetime:
        """The full hour UTC in which the new version was first seen."""
        return floor_hour(self.comparison.first_seen_at)

    @property
    def minutes_to_detect(self) -> int | None:
        """From the first sight of the version to the incident that gave it away, floored."""
        if self.detected_at is None:
            return None
        return (self.detected_at - self.comparison.first_seen_at) // timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Events of one type; ``trend`` is increasing, decreasing or stable, None without any."""

    event_type: str
    num_24h: int
    num_7d: int
    trend: str | None
    top_tenants: tuple[tuple[str, int], ...]


class IncidentReader:
    """Questions about incidents at one moment. From any thread.

    ``memory`` and ``stretches`` spare it what earlier readers read already.
    """

    def __init__(
        self,
        catalog: Catalog,
        events: EventStore,
        state: StateStore,
        as_of: datetime,
        known_at: datetime | None = None,
        memory: CauseMemory | None = None,
        stretches: Stretches | None = None,
    ) -> None:
        self._catalog = catalog
        self._events = events
        self._state = state
        self._as_of = as_of
        self._known_at = known_at
        self._memory = memory or CauseMemory(catalog, events)
        self._stretches = stretches or Stretches(catalog, events, watch_over(events, state))
        self._judged: dict[tuple[str, str], Attribution | None] = {}

    def heatmap(self, since: datetime) -> dict[str, list[HeatRow]]:
        """Incidents of ``(since, as_of]`` by model, policy, policy version, and model x policy."""
        rows = list(self._cells(since))
        cuts = {"by_model": (0,), "by_policy": (1,), "by_policy_version": (1, 2)}
        cuts["by_model_and_policy"] = (0, 1)
        return {name: heat_rows(rows, places) for name, places in cuts.items()}

    def heatmap_cells(self, since: datetime) -> list[tuple[Cell, int]]:
        """``((model, policy, policy version), incidents)`` of ``(since, as_of]``; some repeat."""
        return [(row[:3], row[3]) for row in self._cells(since)]

    def _cells(self, since: datetime) -> Iterator[tuple[Any, ...]]:
        self._stretches.look()
        columns = self._catalog.metrics["incident_cells"].columns
        for part in self._stretches.parts("incident_cells", since, self._as_of, self._known_at):
            yield from rows_of(part.table, columns)

    def incidents(self, since: datetime, tenants: Collection[str] | None = None) -> list[Incident]:
        """Incidents of ``(since, as_of]``, oldest first."""
        if tenants is None:
            judged = self._memory.judged(since, self._as_of, self._known_at)
            for one, _, verdict in judged:
                self._judged[one.tenant_id, one.event_uuid] = verdict
            return [one.incident for one in judged]
        metric = self._catalog.metrics["incident_events"]
        table = self._ask_arrow(metric.name, since, tenants)
        wanted = frozenset(tenants)
        return [Incident.of_row(row) for row in rows_of(table, metric.columns) if row[0] in wanted]

    def attributions(self, incidents: Collection[Incident]) -> dict[tuple[str, str], Attribution]:
        """The cause of each, corrections included, by ``(tenant_id, event_uuid)``."""
        rule = self._catalog.signals.attribution

        def shares(unmatched: Collection[Incident]) -> Shares:
            start = min(one.at for one in unmatched) - timedelta(days=rule.share_days)
            tenants = {one.tenant_id for one in unmatched}
            return self._memory.shares(start, self._as_of, tenants, self._known_at)

        found = attribute(incidents, shares, rule, self._judged)
        corrections = self._state.attributions.effective(self._known_at)
        if corrections:
            for (tenant_id, event_uuid), verdict in found.items():
                correction = corrections.get((to_uuid_text(tenant_id), event_uuid))
                if correction is not None:
                    found[tenant_id, event_uuid] = _corrected(verdict, correction)
        return found

    def patterns(self) -> list[Pattern]:
        """The four patterns, in the order of their definition."""
        metric = self._catalog.metrics["pattern_counts"]
        assert metric.inputs is not None  # its definition names them
        rows = self._ask("pattern_counts").rows
        return [
            to_pattern(event_type, [row[1:] for row in rows if row[0] == event_type])
            for event_type in metric.inputs
        ]

    def regressions(self) -> tuple[list[Found], list[Comparison]]:
        """Regressions, and then every comparison that was made."""
        rule = self._catalog.signals.regression
        self._stretches.look()
        calls, incidents = (
            list(self._stretches.parts(name, self._as_of - _LENGTH, self._as_of, self._known_at))
            for name in ("policy_version_calls", "policy_version_incidents")
        )
        # Most policies run in one version, and then there is nothing to compare.
        several = _in_several_versions(*calls, *incidents)
        comparisons = compare_versions(
            list(self._rows_of(calls, "policy_version_calls", several, Calls)),
            list(self._rows_of(incidents, "policy_version_incidents", several, Incidents)),
            self._as_of,
            rule,
        )
        found = [self._found(one) for one in comparisons if one.is_regression]
        return found, comparisons

    def day_over_day(self) -> list[DayRise]:
        """Rises of 7 days, from one UTC day with incidents to the next one."""
        sums: Counter[tuple[str, datetime]] = Counter()
        nums: Counter[tuple[str, datetime]] = Counter()
        self._stretches.look()
        begin = self._as_of - 7 * _DAY
        day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        while day <= self._as_of:
            # A day begins with its midnight, a window just after its start.
            since, until = day - MICROSECOND, day + _DAY - MICROSECOND
            if begin <= since and until <= self._as_of:
                kept = self._stretches.kept("incident_cells", since, until, self._known_at)
                table = kept.table
            else:
                table = self._ask_arrow(
                    "incident_cells", max(since, begin), as_of=min(until, self._as_of)
                )
            for policy_id, num_severity, severity in rows_of(table, _OF_A_DAY):
                if policy_id is not None and num_severity:
                    nums[policy_id, day] += num_severity
                    sums[policy_id, day] += severity
            day += _DAY
        found = [DaySum(*key, num, sums[key]) for key, num in nums.items()]
        return day_over_day(found, self._catalog.signals.regression)

    def _found(self, comparison: Comparison) -> Found:
        since = comparison.first_seen_at - MICROSECOND
        versions = {comparison.new.version: True, comparison.old.version: False}
        tenants = sorted(comparison.tenants)
        table = self._ask_arrow("policy_version_moments", since, tenants)
        names = ("tenant_id", "policy_id", "policy_version", "timestamp")
        calls = [
            (at, versions[version])
            for tenant_id, policy_id, version, at in rows_of(table, names)
            if policy_id == comparison.policy_id
            and version in versions
            and tenant_id in comparison.tenants
        ]
        incidents = [
            Happened(
                one.at,
                versions[one.policy_version],
                one.severity,
                one.metadata.get("policies_fired") != [],
            )
            for one in self.incidents(since, tenants)
            if one.policy_id == comparison.policy_id and one.policy_version in versions
        ]
        rule = self._catalog.signals.regression
        return Found(comparison, first_shown(comparison, calls, incidents, rule))

    def _ask(
        self, name: str, since: datetime | None = None, tenants: Collection[str] | None = None
    ) -> MetricTable:
        return compute_metric(
            self._catalog.metrics[name],
            self._as_of,
            self._events,
            known_at=self._known_at,
            since=since,
            tenants=tenants,
        )

    def _ask_arrow(
        self,
        name: str,
        since: datetime | None = None,
        tenants: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> pa.Table:
        """The same in columns, which is much cheaper for thousands of rows.

        With many tenants it may hold rows of others.
        """
        return compute_metric_arrow(
            self._catalog.metrics[name],
            as_of or self._as_of,
            self._events,
            known_at=self._known_at,
            since=since,
            tenants=tenants,
        )

    def _rows_of(
        self,
        parts: Iterable[Stretch],
        metric: str,
        policies: Sequence[str],
        make: Callable[..., T],
    ) -> Iterator[T]:
        columns = self._catalog.metrics[metric].columns

        def rows(table: pa.Table) -> list[T]:
            wanted = pc.is_in(table["policy_id"], pa.array(policies, pa.string()))
            return [make(*row) for row in rows_of(table.filter(wanted), columns)]

        for part in parts:
            yield from part.derive((make, tuple(policies)), rows)


def _in_several_versions(*parts: Stretch) -> list[str]:
    """The policies of which there is more than one version in all parts together."""
    names = ("policy_id", "policy_version")

    def pairs(table: pa.Table) -> set[tuple[str, str]]:
        return set(rows_of(table.group_by(list(names)).aggregate([]), names))

    versions = Counter(
        policy_id for policy_id, _ in set().union(*(part.derive(names, pairs) for part in parts))
    )
    return sorted(policy_id for policy_id, num in versions.items() if num > 1)


def _corrected(verdict: Attribution, correction: Correction) -> Attribution:
    return correct(verdict, correction.attribution, correction.note)


def heat_rows(
    rows: Iterable[tuple[str | None, str | None, str | None, int, int, int | None]],
    places: tuple[int, ...],
) -> list[HeatRow]:
    """Cells added up to rows, the most incidents first; shares are of all incidents."""
    sums: dict[Cell, list[int]] = {}
    for row in rows:
        total = sums.setdefault(tuple(_text(row[place]) for place in places), [0, 0, 0])
        total[0] += row[3]
        total[1] += row[4]
        total[2] += row[5] or 0
    everything = sum(num for num, _, _ in sums.values())
    found = [
        HeatRow(
            cell,
            num,
            Fraction(num, everything),
            Fraction(severity, num_severity) if num_severity else None,
        )
        for cell, (num, num_severity, severity) in sums.items()
    ]
    return sorted(found, key=lambda one: (-one.num, [(c is None, c or "") for c in one.cell]))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def to_pattern(event_type: str, rows: Iterable[tuple[str, int, int]]) -> Pattern:
    """The pattern of one type from the counts of its tenants."""
    rows = list(rows)
    num_24h, num_7d = sum(row[1] for row in rows), sum(row[2] for row in rows)
    ranked = Counter({tenant_id: num for tenant_id, _, num in rows})
    top = sorted(ranked.items(), key=lambda pair: (-pair[1], pair[0]))[:_TOP_TENANTS]
    # Against num_7d / 7, by cross products: exactly one and a half of it is stable.
    if num_7d == 0:
        trend = None
    elif 2 * 7 * num_24h > 3 * num_7d:
        trend = "increasing"
    elif 2 * 7 * num_24h < num_7d:
        trend = "decreasing"
    else:
        trend = "stable"
    return Pattern(event_type, num_24h, num_7d, trend, tuple(top))
