"""Reads the pulse from the stores; what cannot be read stays unknown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.pulse import Threshold
from ebbtide.domain.errors import StoreUnavailable
from ebbtide.domain.time import MICROSECOND
from ebbtide.metrics.compute import MetricTable, compute_metric, compute_metric_arrow
from ebbtide.signals.pulse import (
    Change,
    Producer,
    Reading,
    Sample,
    Verdict,
    judge,
    percentile,
)
from ebbtide.signals.pulse_memory import PulseMemory
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.resources import Resources

WEEK = timedelta(days=7)
P95 = Fraction(95, 100)
_RECENT_MINUTES = 5
_DAYS, _DAY = 7, timedelta(days=1)
_LOOKED = timedelta(hours=1)  # a probe that failed longer ago says nothing about now

#: Names of thresholds -> columns of pulse_counts.
_COUNTED = {
    "active_tenants": "num_tenants",
    "incidents_created": "num_incidents",
    "replays_executed": "num_replays",
    "exports_generated": "num_exports",
}


@dataclass(frozen=True, slots=True)
class Strip:
    """What stands beside the state.

    Attributes:
        cost_24h_usd: known cost of all events of 24 hours; None when no cost is known.
        cost_today_usd: known cost of model calls on the UTC date; None when there were calls and
            of none the cost is known.
        num_without_cost: calls of today whose cost is not known.
        latency_ms_p95: exact; None when no call names its latency.
        events_per_minute: over the last 5 minutes.
        newest_at, newest_received_at: of the newest event of 24 hours; None when there is none.
    """

    cost_24h_usd: Decimal | None
    cost_today_usd: Decimal | None
    num_without_cost: int
    latency_ms_p95: Fraction | None
    events_per_minute: Fraction
    newest_at: datetime | None
    newest_received_at: datetime | None


@dataclass(frozen=True, slots=True)
class Pulse:
    """One look at the business.

    ``reading`` and ``strip`` are None when the event store cannot answer, ``thresholds`` when
    the state store cannot.
    """

    as_of: datetime
    known_at: datetime | None
    formula: str
    verdict: Verdict
    reading: Reading | None
    strip: Strip | None
    thresholds: tuple[Threshold, ...] | None


def take_pulse(
    catalog: Catalog,
    events: EventStore,
    state: StateStore,
    as_of: datetime,
    known_at: datetime | None = None,
    memory: PulseMemory | None = None,
) -> Pulse:
    """Look at the business at a moment.

    Args:
        as_of: UTC-aware.
        known_at: what came later was not known; thresholds set later did not hold either.
        memory: spares the event store most of the reading; without it all is read.

    Returns:
        Always an answer: a store that cannot answer makes it UNKNOWN, and its numbers None.
    """
    rule = catalog.signals.pulse
    read, thresholds = None, None
    try:
        read = _recall(catalog, events, as_of, known_at, memory)
        if read is None:
            read = _read(catalog, events, as_of, known_at)
    except StoreUnavailable:
        pass  # the verdict says so
    reading, strip = read or (None, None)
    try:
        thresholds = state.thresholds.effective(rule.thresholds, known_at)
        if reading is not None:
            reading = _with_resources(reading, state.resources, as_of, known_at)
    except StoreUnavailable:
        thresholds = None
    verdict = judge(reading, thresholds, rule.stale_after)
    return Pulse(as_of, known_at, rule.formula, verdict, reading, strip, thresholds)


def _recall(
    catalog: Catalog,
    events: EventStore,
    as_of: datetime,
    known_at: datetime | None,
    memory: PulseMemory | None,
) -> tuple[Reading, Strip] | None:
    """The same as :func:`_read` from memory; None when memory is of no use."""
    try:
        kept = None if memory is None else memory.look(as_of, known_at)
    except StoreUnavailable:
        return None  # whichever store it was: what can be read, is read
    if kept is None:
        return None
    counts = {
        name: Change(
            *(
                len(one.tenants) if column == "num_tenants" else one.nums[column]
                for one in (kept.now, kept.before, kept.week)
            )
        )
        for name, column in _COUNTED.items()
    }
    days: MetricTable | None = None
    if not all(one.num_3h for one in kept.producers.values()):
        days = compute_metric(
            catalog.metrics["pulse_producer_days"], as_of, events, known_at=known_at
        )
    usual = _usual(days)
    num_failed = kept.now.nums["num_llm_failed"]
    reading = Reading(
        as_of=as_of,
        newest_at=kept.now.newest_at,
        counts=counts,
        num_events=kept.now.nums["num_events"],
        num_llm_calls=kept.now.nums["num_llm_made"] + num_failed,
        num_llm_failed=num_failed,
        samples=tuple(newest_samples(_samples(kept.infra))),
        producers=tuple(
            Producer(
                source,
                one.newest_at,
                one.newest_received_at,
                one.num_24h,
                one.num_3h,
                usual(source),
            )
            for source, one in kept.producers.items()
        ),
    )
    num_calls, num_costs, cost_usd = kept.costs
    strip = Strip(
        cost_24h_usd=kept.now.cost_usd,
        cost_today_usd=Decimal(0) if num_calls == 0 else cost_usd,
        num_without_cost=num_calls - num_costs,
        latency_ms_p95=percentile(kept.latencies, P95),
        events_per_minute=Fraction(kept.num_5m, _RECENT_MINUTES),
        newest_at=kept.now.newest_at,
        newest_received_at=kept.now.newest_received_at,
    )
    return reading, strip


def _read(
    catalog: Catalog, events: EventStore, as_of: datetime, known_at: datetime | None
) -> tuple[Reading, Strip]:
    def ask(name: str, at: datetime = as_of, since: datetime | None = None) -> MetricTable:
        metric = catalog.metrics[name]
        return compute_metric(metric, at, events, known_at=known_at, since=since)

    def counts_at(at: datetime) -> MetricTable:
        return ask("pulse_counts", at)

    window = catalog.metrics["pulse_counts"].window
    assert window is not None  # its definition has one
    # The day begins with midnight itself, so the window that is open at its start begins before.
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    # Half of the questions beside the others: engines answer each on one core.
    with ThreadPoolExecutor(1, thread_name_prefix="ebbtide-pulse") as beside:
        others = beside.map(counts_at, (as_of - window, as_of - WEEK))
        infra = beside.submit(ask, "pulse_infra")
        today = beside.submit(ask, "pulse_cost", since=midnight - MICROSECOND)
        now = ask("pulse_counts")
        present = ask("pulse_producers")
        latencies = _latencies(catalog, events, as_of, known_at)
        counts, before, week = (_one(table) for table in (now, *others))
        cost = _one(today.result())
        samples = _samples(infra.result().rows)
    num_calls, num_cost = cost["num_calls"] or 0, cost["num_cost"] or 0
    num_failed = counts["num_llm_failed"] or 0
    # Most of the time everybody is there, and the days before need not be looked at.
    days = ask("pulse_producer_days") if 0 in present.column("num_3h") else None
    producers = tuple(_producers(present, days))
    reading = Reading(
        as_of=as_of,
        newest_at=counts["newest_at"],
        counts={
            name: Change(counts[column] or 0, before[column] or 0, week[column] or 0)
            for name, column in _COUNTED.items()
        },
        num_events=counts["num_events"] or 0,
        num_llm_calls=(counts["num_llm_made"] or 0) + num_failed,
        num_llm_failed=num_failed,
        samples=tuple(newest_samples(samples)),
        producers=producers,
    )
    strip = Strip(
        cost_24h_usd=counts["cost_usd"],
        cost_today_usd=Decimal(0) if num_calls == 0 else cost["cost_usd"],
        num_without_cost=num_calls - num_cost,
        latency_ms_p95=percentile(latencies, P95),
        events_per_minute=Fraction(sum(present.column("num_5m")), _RECENT_MINUTES),
        newest_at=counts["newest_at"],
        newest_received_at=now.freshness,
    )
    return reading, strip


def _one(table: MetricTable) -> dict[str, Any]:
    """The only row of a metric that has one row for everything."""
    return dict(zip(table.columns, table.rows[0], strict=True))


def _latencies(
    catalog: Catalog, events: EventStore, as_of: datetime, known_at: datetime | None
) -> list[tuple[int, int]]:
    """How many calls took how long; in columns, since there are thousands of latencies."""
    metric = catalog.metrics["pulse_latency"]
    table = compute_metric_arrow(metric, as_of, events, known_at=known_at)
    return list(zip(*(table[name].to_pylist() for name in metric.columns), strict=True))


def _producers(present: MetricTable, days: MetricTable | None) -> Iterable[Producer]:
    usual = _usual(days)
    for source, newest_at, newest_received_at, _, num_3h, num_24h in present.rows:
        yield Producer(source, newest_at, newest_received_at, num_24h, num_3h, usual(source))


def _usual(days: MetricTable | None) -> Callable[[str], tuple[int, ...]]:
    """What producers sent in the same hours of the days before; zeros when nobody looked."""
    before: dict[tuple[str, int], int] = {}
    if days is not None:
        for source, newest_at, num in days.rows:
            before[source, (days.as_of - newest_at) // _DAY] = num
    return lambda source: tuple(before.get((source, day), 0) for day in range(1, _DAYS + 1))


def _samples(rows: Iterable[tuple[Any, ...]]) -> Iterable[Sample]:
    """What resources reported, oldest first; a limit of 0 or less says nothing."""
    for resource, at, _, _, metadata in rows:
        values = json.loads(metadata, parse_float=Decimal)
        used, limit = Fraction(values["current"]), Fraction(values["limit"])
        if limit > 0:
            yield Sample(resource, at, used, limit)


def _with_resources(
    reading: Reading, shelf: Resources, as_of: datetime, known_at: datetime | None
) -> Reading:
    """The same with what was sampled on schedule or sent as a gauge, and the probes that failed.

    A sample counts for 24 hours, as a report does. How a probe fared last is known of now only.
    """
    sampled = (
        Sample(one.resource, one.at, Fraction(one.used), Fraction(one.limit))
        for one in shelf.as_known(known_at).newest_at(as_of)
        if one.limit is not None and one.limit > 0 and one.at > as_of - _DAY
    )
    blind = tuple(
        (one.probe, one.reason)
        for one in shelf.probes().values()
        if not one.is_available and timedelta(0) <= as_of - one.checked_at <= _LOOKED
    )
    # Those of events last: of one moment what somebody reported counts.
    return replace(
        reading, samples=tuple(newest_samples([*sampled, *reading.samples])), blind=blind
    )


def newest_samples(samples: Iterable[Sample]) -> list[Sample]:
    """The newest one of each resource, the fullest first; of equal moments the last one given."""
    newest: dict[str, Sample] = {}
    for sample in samples:
        known = newest.get(sample.resource)
        if known is None or sample.at >= known.at:
            newest[sample.resource] = sample
    return sorted(newest.values(), key=lambda one: (-one.saturation, one.resource))
