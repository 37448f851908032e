"""``sample-resources``: look at every resource, warn of those that fill up, project all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec

from ebbtide.domain.errors import JobFailed
from ebbtide.domain.event import Outcome
from ebbtide.domain.resource import (
    Edge,
    EdgeKind,
    Origin,
    ProbeState,
    ResourceSample,
    StoredProjection,
)
from ebbtide.domain.time import format_instant
from ebbtide.ingest.incoming import Incoming
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores
from ebbtide.limits.edges import new_edges
from ebbtide.limits.headroom import read_headroom
from ebbtide.limits.outlook import HISTORY, OWN_SOURCE, expect, reported
from ebbtide.limits.probe import Unavailable
from ebbtide.store.state.database import Transaction

PLATFORM = "platform"  # the tenant of events that are about no customer
SEVERITY = 4
#: A run for an earlier moment than this looks at nothing: probes see the present alone.
PRESENT = timedelta(minutes=10)
SAME_NEWS = timedelta(days=1)  # an event of others this near tells of the same crossing
LATE = timedelta(days=1)  # samples that come later than this are no news any more
LOOK_BACK = timedelta(minutes=5)  # over calls, when nobody looked before
LOOK_BACK_MAX = timedelta(days=1)  # after a stop
EMIT_TIMEOUT_S = 30.0
#: Samples and projections are kept for twice the length of time that a projection rests on, so
#: that old projections can still be held against what came; then they go.
KEPT = 2 * HISTORY


def make_job(stores: Stores) -> Job:
    """The body of this job."""
    return SampleResources(stores)


class SampleResources:
    """Samples, edges and projections of all resources at one moment."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._now = stores.clock or stores.state.runs.now

    def run(self, context: RunContext) -> JobOutcome:
        """Look now, or only project when the moment lies in the past."""
        state, at = self._stores.state, context.as_of
        now = self._now()
        is_now = now - at <= PRESENT
        taken, probes = self._look(context) if is_now else ([], [])
        shelf = state.resources
        hits = reported(self._stores.events, at - HISTORY, at)
        names = {one.resource for one in (*shelf.newest_at(at), *taken)} | hits.keys()
        edges: list[Edge] = []
        projections: list[StoredProjection] = []
        units: dict[str, str | None] = {}
        for name in sorted(names):
            context.check()
            before = shelf.newest_projection(name, at)
            looked_at = at - HISTORY if before is None else before.as_of - LATE
            others = [*hits.get(name, ()), *(one for one in taken if one.resource == name)]
            fresh = {one.at: one for one in others if one.at > looked_at}
            fresh |= {one.at: one for one in shelf.window(name, looked_at, at)}
            samples = [fresh[moment] for moment in sorted(fresh)]
            if not samples:
                continue  # nothing came for so long that nothing new can be said
            units[name] = samples[-1].unit
            if is_now:
                edges += new_edges(shelf.edges(name, at), samples)
            is_first = before is None or before.as_of.date() < at.date()
            projections.append(expect(shelf, samples[-1], others, at, is_first_of_day=is_first))
        # Events first: when the rest cannot be written, the next run sends them again under the
        # same ids, and they are stored once.
        warnings = [edge for edge in edges if edge.kind is EdgeKind.WARNING]
        num_sent = self._send(_news(warnings, hits), units)

        def write(transaction: Transaction) -> None:
            shelf.write_samples(transaction, taken)
            shelf.record(transaction, edges, projections, probes, forget_before=now - KEPT)

        return JobOutcome(
            {
                "num_samples": len(taken),
                "num_unavailable": sum(not one.is_available for one in probes),
                "num_projected": len(projections),
                "num_limit_hits": num_sent,
            },
            write=write,
        )

    def _look(self, context: RunContext) -> tuple[list[ResourceSample], list[ProbeState]]:
        at = context.as_of
        samples: list[ResourceSample] = []
        states: list[ProbeState] = []
        for probe in self._stores.probes:
            context.check()
            found = probe.read()
            if isinstance(found, Unavailable):
                states.append(ProbeState(probe.name, at, False, found.reason))
                continue
            states.append(ProbeState(probe.name, at, True, None))
            samples += [
                ResourceSample(one.resource, at, one.used, one.limit, one.unit, Origin.PROBE)
                for one in found
            ]
        looked = [one.checked_at for one in self._stores.state.resources.probes().values()]
        since = max([one for one in looked if one < at], default=at - LOOK_BACK)
        since = max(since, at - LOOK_BACK_MAX)
        samples += read_headroom(self._stores.events, since, at)
        return samples, states

    def _send(self, edges: Sequence[Edge], units: dict[str, str | None]) -> int:
        """Store INFRA_LIMIT_HIT for edges; returns how many."""
        ingestor = self._stores.ingestor
        if ingestor is None or not edges:
            return 0
        incoming = []
        for edge in edges:
            fields = _event(edge, units[edge.resource])
            incoming.append(Incoming(fields, msgspec.json.encode(fields), None))
        results = ingestor.submit(
            incoming,
            door="limits",
            received_at=self._now(),
            default_source=OWN_SOURCE,
        ).result(EMIT_TIMEOUT_S)
        refused = [
            one.reason for one in results if one.outcome not in (Outcome.STORED, Outcome.DUPLICATE)
        ]
        if refused:
            raise JobFailed(f"a limit event was not stored: {refused[0]}")
        return len(edges)


def _news(edges: Iterable[Edge], hits: dict[str, list[ResourceSample]]) -> list[Edge]:
    """Edges that somebody else has not told of already."""
    return [
        edge
        for edge in edges
        if all(abs(one.at - edge.at) > SAME_NEWS for one in hits.get(edge.resource, ()))
    ]


def _event(edge: Edge, unit: str | None) -> dict[str, object]:
    metadata: dict[str, object] = {
        "resource": edge.resource,
        "current": edge.used,
        "limit": edge.limit,
        "utilization_pct": round(100 * edge.used / edge.limit, 2),
    }
    if unit is not None:
        metadata["unit"] = unit
    at = format_instant(edge.at)
    return {
        "event_id": f"limit-hit:{edge.resource}:{at}",
        "timestamp": at,
        "tenant_id": PLATFORM,
        "event_type": "INFRA_LIMIT_HIT",
        "severity": SEVERITY,
        "source": OWN_SOURCE,
        "metadata": metadata,
    }
