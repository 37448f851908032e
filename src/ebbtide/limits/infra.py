"""What breaks first if we grow: every resource with its limit, its outlook and its record."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ebbtide.domain.resource import ProbeState, ResourceSample, StoredProjection
from ebbtide.domain.time import floor_hour
from ebbtide.limits.edges import WARNING_SHARE
from ebbtide.limits.outlook import FRESH, HISTORY, expect, reported
from ebbtide.limits.probe import PROBE_RESOURCES
from ebbtide.limits.projection import Status
from ebbtide.limits.score import Score, score
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.resources import Resources

WEEK = timedelta(days=7)
MINUTE = timedelta(minutes=1)
STORED = timedelta(minutes=10)  # a projection of the schedule stands this long
SCORED = timedelta(days=90)
CRITICAL_DAYS = 7.0
WARNING_DAYS = 30.0
API_GROWTH_WARNING = 0.5  # a week


class Level(StrEnum):
    """How soon somebody should act."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ResourceOutlook:
    """One resource at a moment.

    Attributes:
        sample: what was in use last; None when nobody could look yet.
        projection: what is to be expected; None without samples, or when they are too old.
        peak: the fullest moment of the last seven days.
        reason: why something is not known, as a stable word; None when all is.
        detail: the same for people, such as what a probe was answered.
    """

    resource: str
    sample: ResourceSample | None
    projection: StoredProjection | None
    peak: ResourceSample | None
    score: Score | None
    reason: str | None
    detail: str | None

    @property
    def level(self) -> Level:
        """How soon somebody should act."""
        said = self.projection
        if said is None or self.sample is None:
            return Level.UNKNOWN
        days = said.days_to_limit
        if days is not None and days < CRITICAL_DAYS:
            return Level.CRITICAL
        share = self.sample.saturation or 0.0
        if share >= WARNING_SHARE or (days is not None and days < WARNING_DAYS):
            return Level.WARNING
        return Level.OK

    @property
    def growth_per_week(self) -> float | None:
        """Growth in a week as a fraction of what is in use; None when not known."""
        said = self.projection
        if said is None or said.growth_per_day is None or not said.used > 0:
            return None
        return 7 * said.growth_per_day / said.used


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls of our customers' software: the last hour, and this week against the one before.

    ``growth_per_week`` is a fraction; None when the week before had no call.
    """

    calls_per_minute_mean: float
    calls_per_minute_peak: int
    growth_per_week: float | None


@dataclass(frozen=True, slots=True)
class Infra:
    """Every resource, what breaks first on top."""

    as_of: datetime
    known_at: datetime
    resources: tuple[ResourceOutlook, ...]
    probes: tuple[ProbeState, ...]
    traffic: Traffic

    def find(self, resource: str) -> ResourceOutlook | None:
        """One resource by name; None when it was never heard of."""
        return next((one for one in self.resources if one.resource == resource), None)


def read_infra(
    state: StateStore,
    events: EventStore,
    now: datetime,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
) -> Infra:
    """Read how all resources stand.

    Args:
        as_of: the moment to answer for; None: that of ``known_at`` if given, else now, with the
            newest projections of the schedule.
        known_at: samples and events that came later do not count; None means that all do.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    at, is_past = as_of or known_at or now, bool(as_of or known_at)
    # Half of the reading beside the other: engines answer each question on one core.
    with ThreadPoolExecutor(1, thread_name_prefix="ebbtide-infra") as beside:
        traffic = beside.submit(_traffic, events, at, known_at)
        resources, probes = _resources(state.resources, events, at, known_at, is_past=is_past)
        return Infra(at, known_at or now, resources, probes, traffic.result())


def _resources(
    resources: Resources,
    events: EventStore,
    at: datetime,
    known_at: datetime | None,
    *,
    is_past: bool,
) -> tuple[tuple[ResourceOutlook, ...], tuple[ProbeState, ...]]:
    """Every resource, the most urgent first; and how probes fare, of now only."""
    shelf = resources.as_known(known_at)
    hits = reported(events, at - HISTORY, at, known_at)
    newest = {one.resource: one for one in (shelf.newest_at(at) if is_past else shelf.newest())}
    probes = shelf.probes()
    failed = {
        resource: probe
        for probe in probes.values()
        if not probe.is_available and not is_past
        for resource in PROBE_RESOURCES.get(probe.probe, ())
    }
    told_by = at if known_at is None else min(at, known_at)
    said = shelf.daily_projections(at - SCORED, told_by)
    edges = shelf.edges_by_resource(told_by)

    def record(name: str) -> Score:
        return score(said.get(name, []), edges.get(name, []), at)

    found = [
        _outlook(
            shelf,
            name,
            newest.get(name),
            hits.get(name, []),
            failed.get(name),
            record(name),
            at,
            is_past=is_past,
        )
        for name in sorted(newest.keys() | hits.keys() | failed.keys())
    ]
    return tuple(sorted(found, key=_urgency)), () if is_past else tuple(probes.values())


def _outlook(
    shelf: Resources,
    name: str,
    stored: ResourceSample | None,
    hits: Sequence[ResourceSample],
    failed: ProbeState | None,
    record: Score,
    at: datetime,
    *,
    is_past: bool,
) -> ResourceOutlook:
    candidates = [one for one in (stored, *hits[-1:]) if one is not None]
    sample = max(candidates, key=lambda one: one.at, default=None)
    if failed is not None and (sample is None or sample.at <= failed.checked_at):
        return ResourceOutlook(name, sample, None, None, record, "unavailable", failed.reason)
    assert sample is not None
    peaks = [one for one in hits if one.at > at - WEEK]
    own_peak = shelf.peak(name, at - WEEK, at)
    peaks += [own_peak] if own_peak is not None else []
    peak = max(peaks, key=lambda one: (one.saturation or 0.0, one.used, one.at), default=None)
    if at - sample.at > FRESH:
        detail = f"the newest sample is {(at - sample.at) / timedelta(hours=1):.0f} h old"
        return ResourceOutlook(name, sample, None, peak, record, "stale", detail)
    said = None if is_past else shelf.newest_projection(name, at)
    if said is None or said.as_of < max(sample.at, at - STORED):
        said = expect(shelf, sample, hits, at)
    return ResourceOutlook(name, sample, said, peak, record, _reason(said), None)


def _reason(said: StoredProjection) -> str | None:
    """Why no day is named."""
    if said.limit is None:
        return "no_limit"
    if said.status == Status.INSUFFICIENT_DATA:
        return "insufficient_data"
    if said.status == Status.STABLE:
        grows = said.growth_per_day is not None and said.growth_per_day > 0
        return "too_far_ahead" if grows else "not_growing"
    return None


def _urgency(one: ResourceOutlook) -> tuple[float, float, float, str]:
    """What breaks first comes first; what is not known comes before what is stable."""
    far = float("inf")
    said = one.projection
    if said is None:
        return (far, 0.0, 0.0, one.resource)
    days = far if said.days_to_limit is None else said.days_to_limit
    low = far if said.days_low is None else said.days_low
    share = one.sample.saturation if one.sample is not None else None
    return (days, low, -(share or 0.0), one.resource)


def _traffic(events: EventStore, at: datetime, known_at: datetime | None) -> Traffic:
    minutes = [at - n * MINUTE for n in range(61)]
    # One column a minute: what groups by minute is written otherwise on every engine.
    columns = ", ".join(
        f"SUM(CASE WHEN timestamp > :m{n + 1} AND timestamp <= :m{n} THEN 1 ELSE 0 END)"
        for n in range(60)
    )
    known, asked = _known(known_at)
    row = events.query(
        f"SELECT {columns} FROM events "
        "WHERE event_type = 'API_CALL_RECEIVED' AND timestamp > :m60 AND timestamp <= :m0" + known,
        asked | {f"m{n}": moment for n, moment in enumerate(minutes)},
    )[0]
    counts = [int(value or 0) for value in row]
    this_week, last_week = _weeks(events, floor_hour(at), known_at)
    growth = (this_week - last_week) / last_week if last_week else None
    return Traffic(sum(counts) / 60, max(counts), growth)


def _weeks(events: EventStore, end: datetime, known_at: datetime | None) -> tuple[int, int]:
    """Calls of the last week and of the one before, in full hours."""
    bounds: dict[str, datetime] = {"end": end, "middle": end - WEEK, "start": end - 2 * WEEK}
    # Sums of an hour do not say when their events came.
    at, num, source = ("hour_end", "num", "event_rollup")
    if known_at is not None:
        at, num, source = ("timestamp", "1", "events")
    known, asked = _known(known_at)
    row = events.query(
        f"SELECT SUM(CASE WHEN {at} > :middle THEN {num} ELSE 0 END), "
        f"SUM(CASE WHEN {at} <= :middle THEN {num} ELSE 0 END) FROM {source} "
        f"WHERE event_type = 'API_CALL_RECEIVED' AND {at} > :start AND {at} <= :end{known}",
        bounds | asked,
    )[0]
    return int(row[0] or 0), int(row[1] or 0)


def _known(known_at: datetime | None) -> tuple[str, dict[str, datetime]]:
    """The condition on when events came, and its parameter."""
    if known_at is None:
        return "", {}
    return " AND received_at <= :known_at", {"known_at": known_at}
