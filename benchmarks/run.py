"""``make bench``: how many events a second, how late, how large; figures as JSON.

Each part starts a real server in its own process and sends over loopback. Absolute figures belong
to the machine they were measured on; it stands beside them in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.console import GOALS as CONSOLE_GOALS
from benchmarks.console import measure_console
from benchmarks.databases import throwaway_postgres
from benchmarks.history import write_history
from benchmarks.learners import GOALS as LEARNER_GOALS
from benchmarks.learners import measure_learners
from benchmarks.policy_replay import GOALS as POLICY_REPLAY_GOALS
from benchmarks.policy_replay import measure_policy_replay
from benchmarks.proxy import GOALS as PROXY_GOALS
from benchmarks.proxy import measure_proxy
from benchmarks.questions import GOALS as QUESTION_GOALS
from benchmarks.questions import measure_questions
from benchmarks.results import save
from benchmarks.server_process import KEY, ServerProcess
from benchmarks.signals import GOALS as SIGNAL_GOALS
from benchmarks.signals import measure_signals

GOALS = {
    "http_events_per_s": 30_000,
    "http_latency_ms_p99": 250,
    "import_events_per_s": 300_000,
    "bytes_10m_events": 1_000_000_000,
    "rss_idle_10m_bytes": 400_000_000,
    **SIGNAL_GOALS,
    **QUESTION_GOALS,
    **CONSOLE_GOALS,
    **LEARNER_GOALS,
    **POLICY_REPLAY_GOALS,
    **PROXY_GOALS,
}

PARTS = [
    "duckdb",
    "postgres",
    "import",
    "large",
    "signals",
    "questions",
    "console",
    "learners",
    "policy_replay",
    "proxy",
]

# After a start the jobs have their turn, and the store gives back what they left in its caches.
IDLE_AFTER_S = 40.0


def send(server: ServerProcess, seconds: float, seed: int, **more: int) -> dict[str, Any]:
    """Load one server from a process beside it."""
    command = [sys.executable, "-m", "benchmarks.load", "--port", str(server.port), "--key", KEY]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    for name, value in more.items():
        command += [f"--{name}", str(value)]
    before = server.cpu_s()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    used = server.cpu_s() - before
    figures["server_cpu_us_per_event"] = round(used / max(1, figures["num_events"]) * 1e6, 1)
    return figures


def http_ingest(server: ServerProcess, *, runs: int, seconds: float) -> dict[str, Any]:
    """Batches of 100 from 16 clients: a warm-up, then several runs; the median run counts."""
    send(server, 3, seed=1)
    measured = [send(server, seconds, seed=10 + number) for number in range(runs)]
    rates = [run["events_per_s"] for run in measured]
    middle = sorted(measured, key=lambda run: run["events_per_s"])[len(measured) // 2]
    return middle | {
        "clients": 16,
        "batch": 100,
        "events_per_s_of_runs": rates,
        "events_per_s_median": round(statistics.median(rates)),
        "latency_ms_p99_of_runs": [run["latency_ms_p99"] for run in measured],
    }


def run_http(work: Path, url: str | None, quick: bool) -> dict[str, Any]:
    """HTTP ingest on an empty store."""
    env = {"EBBTIDE_EVENTS_URL": url} if url else {}
    with ServerProcess(work / f"http-{'pg' if url else 'duckdb'}", env=env) as server:
        return http_ingest(server, runs=1 if quick else 3, seconds=5 if quick else 15)


def run_import(
    work: Path, file: Path, num_events: int, folder: Path, url: str | None = None
) -> dict[str, Any]:
    """``ebbtide import`` of a Parquet file into an empty store, the whole command."""
    env = {"EBBTIDE_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    if url:
        env["EBBTIDE_EVENTS_URL"] = url
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ebbtide", "import", str(file), "--json"],
        env=env,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    return {
        "num_events": num_events,
        "seconds": round(elapsed, 1),
        "events_per_s": round(num_events / elapsed),
        "file_bytes": file.stat().st_size,
    }


def run_imports(
    work: Path, file: Path, num_events: int, folder: Path, quick: bool
) -> dict[str, Any]:
    """The same a few times, each into an empty store, since machines are noisy: the median."""
    measured = []
    for number in range(1 if quick else 3):
        if number:
            shutil.rmtree(folder)
            os.sync()
        measured.append(run_import(work, file, num_events, folder))
    measured.sort(key=lambda run: run["events_per_s"])
    return measured[len(measured) // 2] | {
        "events_per_s_of_runs": [run["events_per_s"] for run in measured]
    }


def run_large(folder: Path, num_events: int, quick: bool) -> dict[str, Any]:
    """A server on a store that is already large: size, start, memory, ingest on top."""
    server = ServerProcess(folder)
    start_s = server.start()
    try:
        time.sleep(IDLE_AFTER_S)
        rss = server.rss_bytes()
        size = sum(f.stat().st_size for f in folder.iterdir() if f.name.startswith("events"))
        on_top = http_ingest(server, runs=1 if quick else 3, seconds=5 if quick else 15)
        time.sleep(5)
        return {
            "num_events": num_events,
            "start_s": round(start_s, 2),
            "store_bytes": size,
            "bytes_per_event": round(size / num_events, 1),
            "rss_idle_bytes": rss,
            "rss_after_load_bytes": server.rss_bytes(),
            "http_ingest_on_top": on_top,
        }
    finally:
        server.stop()


def main() -> int:
    """Measure what was asked for and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short runs on 1 M events")
    parser.add_argument(
        "--only",
        choices=PARTS,
        action="append",
        default=None,
    )
    given = parser.parse_args()
    wanted = given.only or PARTS
    work = Path(tempfile.mkdtemp(prefix="ebbtide-bench-"))
    num_large = 1_000_000 if given.quick else 10_000_000
    num_pg = 200_000 if given.quick else 1_000_000
    report: dict[str, Any] = {"goals": GOALS}

    def part(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        print(f"{name} ...", flush=True)
        report[name] = measure()
        print(f"  {json.dumps(report[name])}", flush=True)

    try:
        if "duckdb" in wanted:
            part("http_duckdb", lambda: run_http(work, None, given.quick))
        if "postgres" in wanted:
            with throwaway_postgres(work / "pg-http") as url:
                part("http_postgres", lambda: run_http(work, url, given.quick))
            small = write_history(work / "small.parquet", num_events=num_pg)
            with throwaway_postgres(work / "pg-import") as url:
                part(
                    "import_postgres",
                    lambda: run_import(work, small, num_pg, work / "pg-data", url),
                )
        if "import" in wanted or "large" in wanted:
            print(f"writing a history of {num_large:,} events ...", flush=True)
            file = write_history(work / "history.parquet", num_events=num_large)
            os.sync()  # or the disk would still be busy with the input while it is read
            folder = work / "large"
            part("import_duckdb", lambda: run_imports(work, file, num_large, folder, given.quick))
            if "large" in wanted:
                part("large_duckdb", lambda: run_large(folder, num_large, given.quick))
        if "signals" in wanted:
            measure_signals(work, part, quick=given.quick)
        if "questions" in wanted:
            measure_questions(work, part, quick=given.quick)
        if "console" in wanted:
            measure_console(work, part, quick=given.quick)
        if "learners" in wanted:
            measure_learners(work, part, quick=given.quick)
        if "policy_replay" in wanted:
            measure_policy_replay(work, part, quick=given.quick)
        if "proxy" in wanted:
            measure_proxy(work / "guard", part, quick=given.quick)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not given.quick:
        print(f"saved to {save('bench', report)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
