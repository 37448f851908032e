"""``make bench``: how long each screen of the console takes on a large store, and its size.

The store is that of ``questions``. Somebody signs in with the first key and opens each screen many
times, one after another, over real HTTP; what a first visit loads beside the page is added once.
Time is until the last byte came: the server's, the line's, and that of the page's questions.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.questions import make_store, run_jobs
from benchmarks.server_process import KEY, ServerProcess

from ebbtide.console.sessions import PLAIN_COOKIE

NUM_REQUESTS = 20
GOALS = {"screen_ms_p95": 150, "first_load_bytes": 150_000}

#: Screen -> address; ``{customer}`` is the first of the list.
SCREENS = {
    "today": "/today",
    "pulse": "/pulse",
    "customers": "/customers",
    "customer": "/customers/{customer}",
    "incidents": "/incidents",
    "incidents_7d": "/incidents?hours=168",
    "stickiness": "/stickiness",
    "revenue": "/revenue",
    "infra": "/infra",
    "playbooks": "/playbooks",
    "alerts": "/alerts",
    "data": "/data",
    "jobs": "/jobs",
    "why_pulse": "/why?number=pulse.exports_delta_pct",
    "why_revenue": "/why?number=revenue.mrr_usd",
    "why_funnel": "/why?number=funnel.ordered.steps.rate_pct&of=%5B%22REPLAY_EXECUTED%22%5D",
    "margins_csv": "/tables/margins.csv",
}

_ASSET = re.compile(rb'(?:href|src)="(/static/[^"]+)"')


class Visitor:
    """Somebody who is signed in, on one connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        fields = urlencode({"key": KEY, "next": "/pulse"})
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"http://127.0.0.1:{port}",
        }
        self._line.request("POST", "/sign-in", fields, headers)
        answer = self._line.getresponse()
        answer.read()
        said = answer.getheader("Set-Cookie") or ""
        if answer.status != 303 or not said.startswith(PLAIN_COOKIE):
            raise RuntimeError(f"could not sign in: {answer.status}")
        self._headers = {"Cookie": said.partition(";")[0], "Accept": "text/html"}
        self._headers["Accept-Encoding"] = "gzip"  # as every browser says

    def get(self, path: str) -> tuple[bytes, float]:
        """The page, and the milliseconds until it was here."""
        began = time.perf_counter()
        self._line.request("GET", path, headers=self._headers)
        answer = self._line.getresponse()
        body = answer.read()
        took_ms = (time.perf_counter() - began) * 1e3
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
        return body, took_ms


def visit_all(server: ServerProcess, *, num_requests: int = NUM_REQUESTS) -> dict[str, Any]:
    """Milliseconds of every screen: the first time, half of the others, 95 of 100; and its bytes.

    ``cpu_ms`` is what the server worked for one of them, whoever else was at work.
    """
    visitor = Visitor(server.port)
    link = re.search(rb'href="/customers/([0-9a-f-]{36})', visitor.get("/customers")[0])
    if link is None:
        raise RuntimeError("there is no customer")
    beside: dict[bytes, int] = {}
    found: dict[str, Any] = {}
    for name, path in SCREENS.items():
        path = path.replace("{customer}", link[1].decode())
        body, first_ms = visitor.get(path)
        for asset in set(_ASSET.findall(body)):
            if asset not in beside:
                beside[asset] = len(visitor.get(asset.decode())[0])
        worked_s = server.cpu_s()
        took = sorted(visitor.get(path)[1] for _ in range(num_requests))
        found[name] = {
            "first_ms": round(first_ms, 1),
            "ms_p50": round(statistics.median(took), 1),
            "ms_p95": round(took[int(len(took) * 0.95)], 1),
            "cpu_ms": round((server.cpu_s() - worked_s) * 1e3 / num_requests, 1),
            "bytes": len(body),
            "first_load_bytes": len(body) + sum(beside[one] for one in set(_ASSET.findall(body))),
        }
    return found


def measure_console(work: Path, part: Callable[..., None], *, quick: bool) -> None:
    """``part(name, measure)`` runs the part and keeps its figures."""
    num = 1_000_000 if quick else 10_000_000
    folder = work / "questions"

    def measure() -> dict[str, Any]:
        if not folder.exists():
            make_store(folder, num_events=num, end=datetime.now(UTC) + timedelta(minutes=15))
        with ServerProcess(folder, env={"EBBTIDE_SCHEDULER": "off"}) as server:
            run_jobs(server)
            found = visit_all(server)
        screens = [one for name, one in found.items() if not name.endswith("_csv")]
        return {
            "num_events": num,
            "screen_ms_p95": max(one["ms_p95"] for one in screens),
            "first_load_bytes": max(one["first_load_bytes"] for one in screens),
            "screens": found,
        }

    part("console", measure)


def main() -> int:
    """This part alone, without keeping the figures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    parser.add_argument("--data", type=Path, help="a data folder that is there, with its events")
    given = parser.parse_args()
    if given.data is not None:
        with ServerProcess(given.data, env={"EBBTIDE_SCHEDULER": "off"}) as server:
            for name, one in visit_all(server).items():
                print(f"{name:14}", json.dumps(one), flush=True)
        return 0
    work = Path(tempfile.mkdtemp(prefix="ebbtide-console-"))

    def part(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        print(f"{name}: {json.dumps(measure(), indent=1)}", flush=True)

    try:
        measure_console(work, part, quick=given.quick)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
