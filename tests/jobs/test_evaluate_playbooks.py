"""``evaluate-playbooks`` after a clock that ran ahead: an honest one goes on, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.schedule import load_schedules
from ebbtide.domain.intervention import Intervention, State
from ebbtide.domain.job_run import JobRun
from ebbtide.jobs.job import Stores
from ebbtide.jobs.registry import make_jobs
from ebbtide.jobs.runner import Runner
from ebbtide.store.events.base import to_batch
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.interventions import InterventionFilter
from event_factory import make_event

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("compute-stickiness", "evaluate-playbooks")


class Evaluated:
    """The jobs on stores of their own, with a clock that is set."""

    def __init__(self, folder: Path, state: StateStore) -> None:
        self.now = NOW
        self.state = state
        events = DuckDBEventStore(folder / "events.duckdb")
        events.migrate()
        moments = {"API_CALL_RECEIVED": [9 * DAY, DAY / 24], "INCIDENT_VIEWED": [9 * DAY]}
        events.append(
            to_batch(
                [
                    make_event(f"{name} {age}", timestamp=NOW - age, event_type=name)
                    for name, ages in moments.items()
                    for age in ages
                ]
            )
        )
        self.events = events
        jobs = make_jobs(
            {name: load_schedules()[name] for name in NAMES}, Stores(load_catalog(), events, state)
        )
        self.runner = Runner(state.runs, jobs, lambda: self.now)

    def run(self) -> JobRun:
        """Both jobs now; the second one's end."""
        return [self.runner.run_now(name, "test") for name in NAMES][-1]

    def rows(self) -> list[Intervention]:
        """All suggestions, oldest first."""
        return self.state.interventions.list_newest(InterventionFilter())[::-1]


@pytest.fixture
def evaluated(tmp_path: Path, store: StateStore) -> Iterator[Evaluated]:
    one = Evaluated(tmp_path, store)
    yield one
    one.events.close()


def test_an_honest_clock_goes_on_after_one_that_ran_ahead(evaluated: Evaluated) -> None:
    shelf = evaluated.state.interventions
    evaluated.now = NOW + DAY / 48
    assert evaluated.run().counts["num_suggested"] > 0
    early = evaluated.rows()
    accepted = shelf.change(early[0].id, lambda one: one.accept(evaluated.now, "k"))
    evaluated.now = NOW
    ended = evaluated.run()
    assert ended.status == "completed" and "a clock ran ahead" in (ended.message or "")
    assert shelf.evaluated_at() == NOW
    rows = evaluated.rows()
    before, after = rows[: len(early)], rows[len(early) :]
    assert {one.state for one in before[1:]} == {State.LAPSED}
    assert before[0] == accepted, "what somebody took on stays"
    assert {one.suggested_at for one in after} == {NOW}
    assert {one.suggestion.key for one in after} == {one.suggestion.key for one in early[1:]}
    # From here on all is as ever: the same moment again changes nothing.
    evaluated.now = NOW + DAY / 96
    ended = evaluated.run()
    assert "ran ahead" not in (ended.message or "") and ended.counts["num_suggested"] == 0
    assert evaluated.rows() == rows


def test_a_run_for_an_earlier_moment_changes_nothing(evaluated: Evaluated) -> None:
    evaluated.run()
    rows = evaluated.rows()
    ended = evaluated.runner.run_now("evaluate-playbooks", "test", NOW - DAY)
    assert ended.message == "A newer moment was evaluated already"
    assert evaluated.rows() == rows
    assert evaluated.state.interventions.evaluated_at() == NOW
