"""``GET /metrics``: what Prometheus reads; names end in their unit, labels stay few."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ebbtide import __version__
from ebbtide.api.auth import admit
from ebbtide.api.dependencies import check_unbound
from ebbtide.api.services import Services, services_of
from ebbtide.domain.errors import EbbtideError
from ebbtide.domain.job_run import AlertKind, RunStatus
from ebbtide.domain.keys import Scope
from ebbtide.store.state.runs import Tally


async def metrics(request: Request) -> Response:
    """The current figures in Prometheus text format."""
    services = services_of(request)
    key = await admit(services.authenticator, request, Scope.READ)
    check_unbound(key)
    registry = CollectorRegistry()
    registry.register(_Collector(services))
    text = await run_in_threadpool(generate_latest, registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


class _Collector:
    """Reads the services at the moment of the scrape."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        services = self._services
        received = CounterMetricFamily(
            "ebbtide_events_received",
            "Records received and answered, by door; the sum of all results.",
            labels=["door"],
        )
        results = CounterMetricFamily(
            "ebbtide_events",
            "Records by door and result; the results of a door add up to its received.",
            labels=["door", "result"],
        )
        for door, counts in sorted(services.accounting.snapshot().items()):
            for word, count in counts.items():
                if word == "received":
                    received.add_metric([door], count)
                else:
                    results.add_metric([door, word], count)
        yield received
        yield results
        waiting = services.writer.waiting_events
        yield GaugeMetricFamily(
            "ebbtide_events_waiting",
            "Records checked but not yet on disk.",
            value=waiting,
        )
        up = GaugeMetricFamily(
            "ebbtide_store_up",
            "1 when the store answers, else 0.",
            labels=["store", "engine"],
        )
        for name, store in (("events", services.events), ("state", services.state)):
            up.add_metric([name, store.engine], _answers(store))
        yield up
        size = _size(services)
        if size is not None:  # unknown is left out: 0 would be a claim
            yield GaugeMetricFamily(
                "ebbtide_event_store_bytes",
                "Bytes of the event store on disk.",
                value=size,
            )
        yield from _jobs(services)
        build = GaugeMetricFamily("ebbtide_build_info", "The running version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build


def _answers(store: object) -> int:
    try:
        store.ping()  # type: ignore[attr-defined]
    except EbbtideError:
        return 0
    return 1


def _size(services: Services) -> int | None:
    try:
        return services.events.storage_bytes()
    except EbbtideError:
        return None


def _jobs(services: Services) -> Iterator[Metric]:
    """What the run log says: of all processes, and since it began."""
    runs = CounterMetricFamily(
        "ebbtide_job_runs", "Runs that ended, by status.", labels=["job", "status"]
    )
    alerts = CounterMetricFamily(
        "ebbtide_job_alerts",
        "Runs that somebody should know about, by kind.",
        labels=["job", "kind"],
    )
    running = GaugeMetricFamily("ebbtide_job_running", "1 while it runs, else 0.", labels=["job"])
    newest = GaugeMetricFamily(
        "ebbtide_job_last_result_timestamp_seconds",
        "When results were written last; left out for a job that never came through.",
        labels=["job"],
    )
    try:
        tally = services.state.runs.tally()
    except EbbtideError:
        return  # ebbtide_store_up says so
    for job in services.runner.jobs:
        of = tally.get(job, Tally({}, {}, None))
        for status in RunStatus:
            if status is RunStatus.RUNNING:
                running.add_metric([job], of.runs.get(status, 0))
            else:
                runs.add_metric([job, status], of.runs.get(status, 0))
        for kind in AlertKind:
            alerts.add_metric([job, kind], of.alerts.get(kind, 0))
        if of.last_result_at is not None:
            newest.add_metric([job], of.last_result_at.timestamp())
    yield from (runs, alerts, running, newest)
