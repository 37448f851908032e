"""The simulator is fast enough to make millions of events for a load test."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from ebbtide.simulate.simulation import simulate


@pytest.mark.slow
def test_a_hundred_thousand_events_a_second() -> None:
    simulation = simulate(7, 60, 20, datetime(2026, 3, 1, tzinfo=UTC))
    begin = time.process_time()
    num_events = sum(map(len, simulation.batches()))
    assert num_events / (time.process_time() - begin) > 100_000
