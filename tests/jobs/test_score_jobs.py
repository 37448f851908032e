"""``compute-stickiness`` and ``detect-silent-churn`` through the runner, in either order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.schedule import load_schedules
from ebbtide.domain.job_run import RunStatus
from ebbtide.jobs.job import Stores
from ebbtide.jobs.registry import make_jobs
from ebbtide.jobs.runner import Runner
from ebbtide.signals import refresh
from ebbtide.signals.customer import Customer, assess
from ebbtide.signals.facts import Facts
from ebbtide.store.events.base import to_batch
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.base import StateStore
from event_factory import make_event

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STICKINESS, SILENCE = "compute-stickiness", "detect-silent-churn"


class Scored:
    """A runner with the two jobs, on stores of its own."""

    def __init__(self, folder: Path, state: StateStore) -> None:
        self.now = NOW
        self.state = state
        self.events = DuckDBEventStore(folder / "events.duckdb")
        self.events.migrate()
        schedules = {name: load_schedules()[name] for name in (STICKINESS, SILENCE)}
        jobs = make_jobs(schedules, Stores(load_catalog(), self.events, state))
        self.runner = Runner(state.runs, jobs, lambda: self.now)
        self._num = 0

    def happens(self, event_type: str, age: timedelta, tenant: str) -> None:
        self._num += 1
        details = {"timestamp": self.now - age, "tenant_id": tenant, "event_type": event_type}
        self.events.append(to_batch([make_event(f"e-{self._num}", **details)]))

    def segments(self) -> dict[str, bool]:
        """Who is current, and whether silent."""
        rows = self.state.scores.segments()
        return {row["tenant_id"]: row["is_silent_churn"] for row in rows}


@pytest.fixture
def scored(tmp_path: Path, store: StateStore) -> Iterator[Scored]:
    one = Scored(tmp_path, store)
    for tenant in ("silent", "steady"):
        one.happens("API_CALL_RECEIVED", timedelta(hours=1), tenant)
        one.happens("INCIDENT_VIEWED", 10 * DAY, tenant)
    one.happens("EXPORT_GENERATED", DAY, "steady")
    yield one
    one.events.close()


@pytest.mark.parametrize("order", [(STICKINESS, SILENCE), (SILENCE, STICKINESS)])
def test_either_job_may_come_first(scored: Scored, order: tuple[str, str]) -> None:
    runs = {name: scored.runner.run_now(name, "test") for name in order}
    assert {run.status for run in runs.values()} == {RunStatus.COMPLETED}
    assert runs[STICKINESS].message == "Stickiness computation completed"
    assert runs[SILENCE].message == "Silent churn detection completed"
    assert runs[STICKINESS].counts["num_tenants"] == 2
    assert dict(runs[SILENCE].counts) == {
        "num_tenants": 2,
        "num_silent": 1,
        "num_newly_silent": 1,
    }
    assert scored.segments() == {"silent": True, "steady": False}
    assert scored.state.scores.head().computed_at == NOW


def test_who_became_silent_is_counted_once(scored: Scored) -> None:
    scored.runner.run_now(SILENCE, "test")
    scored.now += timedelta(minutes=15)
    assert scored.runner.run_now(SILENCE, "test").counts["num_newly_silent"] == 0
    scored.now += 7 * DAY
    for tenant in ("silent", "steady"):
        scored.happens("API_CALL_RECEIVED", timedelta(0), tenant)
    scored.runner.run_now(STICKINESS, "test")
    counts = scored.runner.run_now(SILENCE, "test").counts
    assert (counts["num_silent"], counts["num_newly_silent"]) == (2, 1)


def test_a_run_for_the_past_leaves_what_is_current(scored: Scored) -> None:
    scored.runner.run_now(STICKINESS, "test")
    before = scored.state.scores.head()
    run = scored.runner.run_now(STICKINESS, "test", NOW - 5 * DAY)
    assert (run.status, run.counts["num_tenants"]) == (RunStatus.COMPLETED, 2)
    assert scored.state.scores.head() == before


def test_a_tenant_that_cannot_be_assessed_makes_the_run_partial(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_for_one(facts: Facts, *rest: object, **more: object) -> Customer:
        if facts.tenant_id == "silent":
            raise OverflowError("date value out of range")
        return assess(facts, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(refresh, "assess", fails_for_one)
    for name in (STICKINESS, SILENCE):
        run = scored.runner.run_now(name, "test")
        assert run.status is RunStatus.PARTIAL
        assert run.failed_tenants == {"silent": "OverflowError: date value out of range"}
    assert scored.segments() == {"steady": False}
