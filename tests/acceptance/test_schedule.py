"""A real server runs its jobs at their slots, is killed and started again: no slot runs twice."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmarks.server_process import KEY, ServerProcess

from ebbtide.catalog.schedule import load_schedules

JOBS = list(load_schedules())


@pytest.fixture
def process(tmp_path: Path) -> Any:
    """A server whose slots are a second apart."""
    env = {"EBBTIDE_JOBS_EVERY": "1s"}
    server = ServerProcess(tmp_path / "data", env=env, log=tmp_path / "log")
    yield server
    server.stop()


def runs(process: ServerProcess) -> list[dict[str, Any]]:
    """The run log, newest first."""
    question = urllib.request.Request(
        f"{process.url}/ops/jobs/runs?limit=1000", headers={"X-API-Key": KEY}
    )
    with urllib.request.urlopen(question, timeout=20) as answer:
        found: list[dict[str, Any]] = json.load(answer)["runs"]
    return found


def wait_for(process: ServerProcess, num_completed: int) -> list[dict[str, Any]]:
    """Until every job has completed so many slots."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = runs(process)
        done = Counter(run["job"] for run in found if run["status"] == "completed" and run["slot"])
        if all(done[job] >= num_completed for job in JOBS):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_slots_go_on_after_a_kill_and_none_runs_twice(process: ServerProcess) -> None:
    process.start()
    wait_for(process, 2)
    process.kill()
    time.sleep(2)  # at least one slot is missed
    process.start()
    found = wait_for(process, 5)
    results = [(run["job"], run["slot"]) for run in found if run["status"] != "running"]
    assert len(set(results)) == len(results)
    assert {run["status"] for run in found} <= {"completed", "running", "abandoned"}
    # Nothing is lost silently: the runs of a job cover every slot from its first to its last.
    for job in JOBS:
        done = [run for run in found if run["job"] == job and run["status"] == "completed"]
        slots = sorted(run["slot"] for run in done)
        first, last = (time.strptime(text, "%Y-%m-%dT%H:%M:%SZ") for text in (slots[0], slots[-1]))
        span_s = time.mktime(last) - time.mktime(first)
        assert sum(run["covers"] for run in done) == span_s + 1
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < 10
