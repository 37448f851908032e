"""``make bench``: what the scores of all customers cost, at every tick and from nothing.

A tick is what the three jobs of the schedule do one after another, 15 minutes after the last
time, when 1,000 events have come: their own work, and the transaction that ends each run with its
results. Threads and the first row of a run are not in it.
"""

from __future__ import annotations

import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.customers import make_fresh, make_history
from benchmarks.databases import throwaway_postgres
from benchmarks.seed_sql import measure_seed_sql
from benchmarks.server_process import KEY, ServerProcess

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.schedule import load_schedules
from ebbtide.domain.job_run import RunEnd
from ebbtide.jobs.job import RunContext, Stores
from ebbtide.jobs.registry import make_jobs
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.runs import RunStart
from ebbtide.store.state.sqlite import SQLiteStateStore

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
TICK = timedelta(minutes=15)
TENANTS = 1000
FRESH_EVENTS = 1000
JOBS = ("compute-stickiness", "detect-silent-churn", "evaluate-playbooks")
NUM_TICKS = 24  # six hours: every fourth one begins a new hour of sums
NUM_REQUESTS = 200

GOALS = {
    "tick_ms": 100,
    "full_recompute_ms": 1000,
    "at_risk_ms_p95": 100,
    "tick_ratio_20m": 1.2,
}


class Ticking:
    """Stores in a folder, with the jobs that score customers."""

    def __init__(self, folder: Path, *, num_events: int, days: int) -> None:
        """Fill the event store with a history that ends at :data:`END`."""
        folder.mkdir(parents=True)
        self.now = END
        self.events = DuckDBEventStore(folder / "events.duckdb")
        self.events.migrate()
        self.state = SQLiteStateStore(folder / "state.sqlite")
        self.state.migrate()
        start = END - timedelta(days=days)
        for batch in make_history(num_events=num_events, tenants=TENANTS, start=start, end=END):
            self.events.append(batch)
            self.events.maintain()
        self._stores = Stores(load_catalog(), self.events, self.state)
        schedules = {name: one for name, one in load_schedules().items() if name in JOBS}
        self._jobs = make_jobs(schedules, self._stores)
        self._num_fresh = 0

    def close(self) -> None:
        """Close both stores."""
        self.events.close()
        self.state.close()

    def arrive(self) -> None:
        """New events until the next tick."""
        self._num_fresh += 1
        self.events.append(
            make_fresh(
                num_events=FRESH_EVENTS,
                tenants=TENANTS,
                start=self.now,
                end=self.now + TICK,
                seed=1000 + self._num_fresh,
            )
        )
        self.events.maintain()
        self.state.maintain()
        self.now += TICK

    def tick(self) -> dict[str, float]:
        """Run all jobs for now; milliseconds by job, and of all together."""
        took = {}
        for name, job in self._jobs.items():
            run = self.state.runs.begin(RunStart(name, self.now, self.now, "benchmark", "here"))
            assert run is not None
            context = RunContext(name, run.run_id, self.now, None, 0, lambda: None)
            began = time.perf_counter()
            outcome = job.body.run(context)
            end = RunEnd(outcome.status, self.now, "measured", counts=outcome.counts)
            self.state.runs.settle(run.run_id, end, write=outcome.write)
            took[name] = (time.perf_counter() - began) * 1e3
            if outcome.failed_tenants:
                raise RuntimeError(f"left out: {outcome.failed_tenants}")
        return took | {"all": sum(took.values())}

    def full(self) -> float:
        """Everything anew, as after a change of definitions; milliseconds."""
        from ebbtide.signals.refresh import Refresher

        refresher = Refresher(self._stores.catalog, self.events, self.state)
        refresher._definitions = f"anew {time.monotonic()}"
        began = time.perf_counter()
        step = refresher.prepare(self.now, run_id=None, computed_at=self.now)
        with self.state.scores.writing() as connection:
            refresher.write(step, connection)
        return (time.perf_counter() - began) * 1e3


@contextmanager
def _as_in_the_server() -> Iterator[None]:
    """Look for garbage as seldom as the server does."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def measure_ticks(folder: Path, *, num_events: int, days: int) -> dict[str, Any]:
    """A full computation, and some ticks after it."""
    one = Ticking(folder, num_events=num_events, days=days)
    try:
        with _as_in_the_server():
            fulls = [one.full() for _ in range(3)]
            one.tick()
            found, cpu_ms = [], []
            for _ in range(NUM_TICKS):
                one.arrive()
                began = time.process_time()
                found.append(one.tick())
                cpu_ms.append((time.process_time() - began) * 1e3)
    finally:
        one.close()
    figures: dict[str, Any] = {
        "num_events": num_events,
        "num_tenants": TENANTS,
        "days": days,
        "full_recompute_ms": round(statistics.median(fulls)),
        "tick_ms": round(statistics.median(tick["all"] for tick in found), 1),
        "tick_ms_min": round(min(tick["all"] for tick in found), 1),
        "tick_ms_max": round(max(tick["all"] for tick in found), 1),
        # With the row that begins each run; what others do on the machine is not in it.
        "tick_cpu_ms": round(statistics.median(cpu_ms), 1),
    }
    for name in JOBS:
        if name in found[0]:
            key = f"{name.replace('-', '_')}_ms"
            figures[key] = round(statistics.median(tick[name] for tick in found), 1)
    return figures


def measure_at_risk(folder: Path) -> dict[str, Any]:
    """The list over HTTP, of a server on these stores."""
    env = {
        "EBBTIDE_SCHEDULER": "off",
        "EBBTIDE_EVENTS_URL": f"duckdb:///{folder / 'events.duckdb'}",
        "EBBTIDE_STATE_URL": f"sqlite:///{folder / 'state.sqlite'}",
    }
    took = []
    with ServerProcess(folder / "server", env=env) as server:
        url = f"{server.url}/ops/customers/at-risk?limit=50"
        for _ in range(NUM_REQUESTS):
            request = urllib.request.Request(url, headers={"X-API-Key": KEY})
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = json.loads(answer.read())
            took.append((time.perf_counter() - began) * 1e3)
        assert body["items"], "nobody is at risk in this history"
    ordered = sorted(took[1:])
    return {
        "first_ms": round(took[0], 1),
        "at_risk_ms_p50": round(ordered[len(ordered) // 2], 1),
        "at_risk_ms_p95": round(ordered[int(len(ordered) * 0.95)], 1),
    }


def _ratios(figures: dict[str, Any], to: dict[str, Any]) -> dict[str, float]:
    """How much dearer a tick is than with half the events, in time and in work."""
    return {
        "tick_ratio": round(figures["tick_ms"] / to["tick_ms"], 2),
        "tick_cpu_ratio": round(figures["tick_cpu_ms"] / to["tick_cpu_ms"], 2),
    }


def measure_signals(work: Path, part: Callable[..., None], *, quick: bool) -> None:
    """All parts; ``part(name, measure)`` runs one and keeps its figures."""
    num, days = (1_000_000, 90) if quick else (10_000_000, 90)
    found: dict[str, dict[str, Any]] = {}

    def keep(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        found[name] = measure()
        part(name, lambda: found[name])

    keep("signals", lambda: measure_ticks(work / "signals", num_events=num, days=days))
    keep("signals_http", lambda: measure_at_risk(work / "signals"))

    def longer() -> dict[str, Any]:
        figures = measure_ticks(work / "longer", num_events=2 * num, days=2 * days)
        return figures | _ratios(figures, found["signals"])

    def denser() -> dict[str, Any]:
        figures = measure_ticks(work / "denser", num_events=2 * num, days=days)
        return figures | _ratios(figures, found["signals"])

    keep("signals_twice_as_long", longer)
    keep("signals_twice_as_dense", denser)

    def seed_sql() -> dict[str, Any]:
        start = END - timedelta(days=days)
        history = make_history(num_events=num, tenants=TENANTS, start=start, end=END)
        with throwaway_postgres(work / "pg-seed") as url:
            figures = measure_seed_sql(url, history, END)
        ours = found["signals"]
        return figures | {
            "num_events": num,
            "times_a_full_recompute": round(
                figures["compute_stickiness_ms"] / ours["full_recompute_ms"], 1
            ),
            "times_a_tick": round(figures["compute_stickiness_ms"] / ours["tick_ms"], 1),
        }

    keep("signals_seed_sql", seed_sql)


def main() -> int:
    """This part alone, without keeping the figures; ``--quick`` for a tenth of the events."""
    work = Path(tempfile.mkdtemp(prefix="ebbtide-signals-"))

    def part(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        print(f"{name}: {json.dumps(measure())}", flush=True)

    try:
        measure_signals(work, part, quick="--quick" in sys.argv)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
