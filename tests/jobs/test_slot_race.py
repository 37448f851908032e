"""Real processes race for slots, are killed and frozen: each slot has exactly one result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_each_slot_counts_once_however_many_processes_run_and_die(engine: str) -> None:
    size = ["--processes", "4", "--slots", "20", "--kills", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.slot_race", "--engine", engine, *size],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["slots_with_one_result"] == figures["results_written"] == 20, figures
    assert figures["kills"] > 0, figures
