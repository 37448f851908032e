"""The scheduler: each slot once, missed ones in one run, and no failure that stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs_at_hand import NOON, QUARTER, Body, Clock, Gate, job, runner
from structlog.testing import capture_logs

from ebbtide.domain.errors import JobFailed, StoreUnavailable
from ebbtide.domain.job_run import RunStatus
from ebbtide.jobs.job import JobOutcome, RunContext
from ebbtide.jobs.scheduler import Scheduler
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from ready_files import lay_state_file

FIRST, SECOND = "compute-stickiness", "detect-silent-churn"


def test_due_jobs_run_once_per_slot_in_their_order(store: StateStore) -> None:
    order: list[tuple[str, datetime | None]] = []

    def note(context: RunContext) -> JobOutcome:
        order.append((context.job, context.slot))
        return JobOutcome()

    clock = Clock(NOON + timedelta(minutes=1))
    scheduler = Scheduler(
        runner(store, job(FIRST, Body(note)), job(SECOND, Body(note)), clock=clock)
    )
    for _ in range(3):
        scheduler.tick()
    clock.now += QUARTER
    scheduler.tick()
    slots = [NOON, NOON, NOON + QUARTER, NOON + QUARTER]
    assert order == list(zip([FIRST, SECOND] * 2, slots, strict=True))


def test_what_comes_after_runs_is_done_once_they_left_results(store: StateStore) -> None:
    done: list[str] = []

    def fail(_: RunContext) -> JobOutcome:
        raise JobFailed("it cannot be done")

    clock = Clock(NOON + timedelta(minutes=1))
    jobs = job(FIRST, Body(), every=2 * QUARTER), job(SECOND, Body(fail), attempts=1)
    scheduler = Scheduler(runner(store, *jobs, clock=clock), after_runs=lambda: done.append("it"))
    for _ in range(3):
        scheduler.tick()
    assert done == ["it"]  # after both, and not where nothing ran
    clock.now += QUARTER
    scheduler.tick()
    assert done == ["it"]  # what failed left nothing
    clock.now += QUARTER
    scheduler.tick()
    assert done == ["it", "it"]


def test_a_restart_runs_no_slot_again(store: StateStore) -> None:
    body = Body()
    for _ in range(3):
        Scheduler(runner(store, job(FIRST, body))).tick()
    assert len(body.contexts) == 1


def test_two_years_of_missed_slots_are_one_run_that_begins_at_once(store: StateStore) -> None:
    clock = Clock()
    Scheduler(runner(store, job(FIRST, Body()), clock=clock)).tick()
    clock.now += 70_080 * QUARTER
    body = Body()
    started_at = time.monotonic()
    Scheduler(runner(store, job(FIRST, body), clock=clock)).tick()
    assert time.monotonic() - started_at < 2
    (run, first) = store.runs.list_newest()
    assert (run.covers, run.covers_from) == (70_080, NOON + QUARTER)
    assert run.slot == run.as_of == clock.now and first.covers == 1
    assert [context.covers for context in body.contexts] == [70_080]


def test_a_job_that_fails_does_not_stop_the_others(store: StateStore) -> None:
    def fail(_: RunContext) -> JobOutcome:
        raise JobFailed("no")

    clock, second = Clock(), Body()
    scheduler = Scheduler(runner(store, job(FIRST, Body(fail)), job(SECOND, second), clock=clock))
    for _ in range(3):
        scheduler.tick()
        scheduler.tick()
        clock.now += QUARTER
    assert len(second.contexts) == 3
    failed = store.runs.list_newest(job=FIRST)
    assert [run.status for run in failed] == [RunStatus.FAILED] * 3


def test_a_run_by_hand_only_delays_the_slot(store: StateStore) -> None:
    gate, body = Gate(), Body()
    by_hand = runner(store, job(FIRST, Body(gate)))
    scheduler = Scheduler(runner(store, job(FIRST, body)))
    thread = threading.Thread(target=by_hand.run_now, args=(FIRST, "key k"))
    thread.start()
    gate.is_inside.wait(5)
    scheduler.tick()
    assert body.contexts == []
    gate.may_leave.set()
    thread.join()
    scheduler.tick()
    assert [context.slot for context in body.contexts] == [NOON]


JUMPS = st.lists(
    st.sampled_from(
        [
            timedelta(minutes=7),
            QUARTER,
            timedelta(hours=1),
            timedelta(hours=-1),
            timedelta(days=-2),
            timedelta(days=400),
            timedelta(days=-400),
            timedelta(days=365 * 12),  # beyond 2038
            timedelta(seconds=1),
        ]
    ),
    max_size=12,
)


@settings(max_examples=25)
@given(JUMPS)
def test_whatever_the_clock_does_no_slot_runs_twice_and_the_due_one_runs(
    jumps: list[timedelta],
) -> None:
    runs: dict[datetime | None, int] = {}

    def note(context: RunContext) -> JobOutcome:
        runs[context.slot] = runs.get(context.slot, 0) + 1
        return JobOutcome()

    clock = Clock()
    with new_store() as store:
        for number, jump in enumerate([timedelta(0), *jumps]):
            clock.now += jump
            if number % 3 == 0:  # a restart
                scheduler = Scheduler(runner(store, job(FIRST, Body(note)), clock=clock))
            scheduler.tick()
            scheduler.tick()
            assert clock.now - (clock.now - datetime(1970, 1, 1, tzinfo=UTC)) % QUARTER in runs
    assert set(runs.values()) == {1}


@contextmanager
def new_store() -> Iterator[StateStore]:
    """A store for one example."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        lay_state_file(path)
        store = SQLiteStateStore(path)
        yield store
        store.close()


def test_it_runs_by_itself_until_it_is_stopped(store: StateStore) -> None:
    gate = Gate()
    scheduler = Scheduler(runner(store, job(FIRST, Body(gate))), look_every_s=0.01)
    scheduler.start()
    assert gate.is_inside.wait(5)
    started_at = time.monotonic()
    scheduler.stop()
    assert time.monotonic() - started_at < 5
    (run,) = store.runs.list_newest()
    assert (run.status, run.error) == (RunStatus.ABANDONED, "stopped")


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ZeroDivisionError()])
def test_it_outlives_a_store_that_is_away_and_says_so(
    store: StateStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    body = Body()
    one = runner(store, job(FIRST, body))
    left = [2]
    release_dead = one.release_dead

    def away() -> None:
        if left[0]:
            left[0] -= 1
            raise error
        release_dead()

    monkeypatch.setattr(one, "release_dead", away)
    monkeypatch.setattr("ebbtide.jobs.scheduler.REST_S", 0.01)
    scheduler = Scheduler(one, look_every_s=0.01)
    with capture_logs() as logs:
        scheduler.start()
        for _ in range(500):
            if body.contexts:
                break
            time.sleep(0.01)
        scheduler.stop()
    assert len(body.contexts) == 1
    assert [line["log_level"] for line in logs][:2] == ["error", "error"]


def test_a_job_that_hangs_delays_no_job_that_has_a_thread_of_its_own(store: StateStore) -> None:
    gate, done = Gate(), threading.Event()

    def note(_: RunContext) -> JobOutcome:
        assert gate.is_inside.wait(5)  # the other one is at work, and stays there
        done.set()
        return JobOutcome()

    jobs = (job(FIRST, Body(gate)), job(SECOND, Body(note)))
    scheduler = Scheduler(runner(store, *jobs), look_every_s=0.01, apart={SECOND})
    scheduler.start()
    assert done.wait(5)
    scheduler.stop()
    ends = {run.job: run.error for run in store.runs.list_newest()}
    assert ends[FIRST] == "stopped"


def test_one_that_never_began_can_be_stopped(store: StateStore) -> None:
    Scheduler(runner(store, job(FIRST, Body()))).stop()
