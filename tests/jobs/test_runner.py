"""One run: it is settled with its results, ended at its deadline, and never silent about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from jobs_at_hand import NOON, PACE, QUARTER, Body, Clock, Gate, job, runner
from structlog.testing import capture_logs

from ebbtide.domain.errors import (
    AlreadyRunning,
    JobFailed,
    NotFound,
    QueryError,
    StorageFull,
    StoreUnavailable,
    Unprocessable,
)
from ebbtide.domain.job_run import AlertKind, JobRun, RunStatus
from ebbtide.jobs.job import JobOutcome, RunContext
from ebbtide.jobs.runner import HANGING_MAX, Runner
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Transaction
from ebbtide.store.state.runs import RunStart
from ebbtide.store.state.tables import SETTINGS

JOB = "compute-stickiness"


def run_slot(one: Runner, number: int = 0, name: str = JOB) -> JobRun:
    run = one.run_slot(name, NOON + number * QUARTER)
    assert run is not None
    return run


def kinds(store: StateStore) -> list[AlertKind]:
    return [alert.kind for alert in reversed(store.runs.list_alerts())]


def write_word(connection: Transaction) -> None:
    connection.execute(sa.insert(SETTINGS).values(name="result", value="new"))


@contextmanager
def in_thread(function: Any, *arguments: Any) -> Iterator[list[Any]]:
    """Something under way beside the test; its result or error is in the list afterwards."""
    came: list[Any] = []

    def work() -> None:
        try:
            came.append(function(*arguments))
        except Exception as error:
            came.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield came
    finally:
        thread.join(20)
    assert not thread.is_alive()


# -- how a run ends ----------------------------------------------------------------------------


def test_a_run_writes_its_results_with_its_row_and_says_so(store: StateStore) -> None:
    body = Body(lambda _: JobOutcome({"num_tenants": 42}, write=write_word))
    with capture_logs() as logs:
        run = run_slot(runner(store, job(JOB, body)))
    assert (run.status, run.message) == (RunStatus.COMPLETED, "Work completed")
    assert (run.counts, run.error) == ({"num_tenants": 42}, None)
    assert store.settings.get("result") == "new"
    (context,) = body.contexts
    assert (context.job, context.run_id, context.covers) == (JOB, run.run_id, 1)
    assert context.as_of == context.slot == NOON
    assert [line["event"] for line in logs] == [
        "Starting compute-stickiness job...",
        "SUCCESS: status=completed, message=Work completed",
    ]
    assert store.runs.list_alerts() == []


def test_tenants_that_were_left_out_make_a_run_partial(store: StateStore) -> None:
    body = Body(lambda _: JobOutcome(failed_tenants={"acme": "absurd"}, write=write_word))
    with capture_logs() as logs:
        run = run_slot(runner(store, job(JOB, body)))
    assert (run.status, run.failed_tenants) == (RunStatus.PARTIAL, {"acme": "absurd"})
    assert run.message == "Work completed, without 1 tenant"
    assert store.settings.get("result") == "new"  # the others have their results
    assert kinds(store) == [AlertKind.PARTIAL]
    assert [line["log_level"] for line in logs] == ["info", "error", "error"]


def refuse(error: BaseException) -> Any:
    def function(_: RunContext) -> JobOutcome:
        raise error

    return function


def refuse_write(error: BaseException) -> Any:
    def write(connection: Transaction) -> None:
        write_word(connection)
        raise error

    return lambda _: JobOutcome(write=write)


FAULTS = [
    (refuse(JobFailed("the rules contradict")), "job-failed", "the rules contradict"),
    (refuse(QueryError("no such column")), "query-error", "no such column"),
    (refuse(StoreUnavailable("/secret/path")), "store-unavailable", "a store could not answer"),
    (refuse(ZeroDivisionError()), "internal-error", "ZeroDivisionError in the job"),
    (refuse(MemoryError()), "internal-error", "MemoryError"),
    (refuse(SystemExit(0)), "internal-error", "SystemExit"),
    (lambda _: None, "internal-error", "NoneType"),
    (refuse_write(ZeroDivisionError()), "internal-error", "while writing"),
    (refuse_write(QueryError("no such table")), "query-error", "no such table"),
    (refuse_write(StorageFull("/secret/path")), "storage-full", "were not written"),
    (refuse_write(StoreUnavailable("/secret/path")), "store-unavailable", "were not written"),
]


@pytest.mark.parametrize(
    ("function", "code", "said"), FAULTS, ids=[f[1] + f[2][:9] for f in FAULTS]
)
def test_whatever_goes_wrong_is_a_failed_row_an_alert_and_a_line(
    store: StateStore, function: Any, code: str, said: str
) -> None:
    with capture_logs() as logs:
        run = run_slot(runner(store, job(JOB, Body(function))))
    assert (run.status, run.error) == (RunStatus.FAILED, code)
    assert run.message is not None and said in run.message and "secret" not in run.message
    assert store.settings.get("result") is None
    assert kinds(store) == [AlertKind.FAILED]
    assert [one for one in logs if one["event"].startswith("FAILED: status=failed")]
    assert [one for one in logs if one["event"] == "job.alert"]
    # The slot is settled with that, and the next one has its turn.
    assert runner(store, job(JOB, Body())).run_slot(JOB, NOON) is None
    assert run_slot(runner(store, job(JOB, Body())), 1).status is RunStatus.COMPLETED


def test_what_cannot_even_be_written_down_is_told_to_log_and_caller(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = runner(store, job(JOB, Body(refuse(JobFailed("no")))))

    def full(*_: Any, **__: Any) -> None:
        raise StorageFull("the disk is full")

    monkeypatch.setattr(store.runs, "settle", full)
    with capture_logs() as logs, pytest.raises(StorageFull):
        run_slot(one)
    assert [line["log_level"] for line in logs][-2:] == ["error", "error"]
    monkeypatch.undo()
    # Nobody moves its beat on any more: it is given up, and the slot tried again.
    with pytest.raises(AlreadyRunning):
        run_slot(one)
    wait_for_release(one, store)
    assert run_slot(one).attempt == 2


def wait_for_release(one: Runner, store: StateStore) -> None:
    for _ in range(500):
        one.release_dead()
        if not store.runs.running():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the run was never given up")


def test_a_store_that_is_away_for_a_moment_is_asked_again(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, left = store.runs.settle, [2]

    def sometimes(*arguments: Any, **named: Any) -> JobRun:
        if left[0]:
            left[0] -= 1
            raise StoreUnavailable("locked")
        return settle(*arguments, **named)

    monkeypatch.setattr(store.runs, "settle", sometimes)
    assert run_slot(runner(store, job(JOB, Body()))).status is RunStatus.COMPLETED


# -- deadlines ---------------------------------------------------------------------------------

SHORT = timedelta(seconds=0.15)


@pytest.mark.parametrize("checks", [True, False], ids=["checking", "deaf"])
def test_a_run_that_hangs_is_failed_at_its_deadline_and_the_next_slot_runs(
    store: StateStore, checks: bool
) -> None:
    gate = Gate(checks=checks)
    one = runner(store, job(JOB, Body(gate), deadline=SHORT))
    run = run_slot(one)
    assert (run.status, run.error) == (RunStatus.FAILED, "deadline")
    assert run.message == "it took longer than 0.15 s and was ended"
    assert kinds(store) == [AlertKind.FAILED]
    one.jobs[JOB].body.function = lambda _: JobOutcome()  # type: ignore[attr-defined]
    assert run_slot(one, 1).status is RunStatus.COMPLETED
    gate.may_leave.set()


def test_what_a_hanging_body_brings_at_last_is_not_written(store: StateStore) -> None:
    gate = Gate(checks=False)
    body = Body(lambda context: JobOutcome(gate(context).counts, write=write_word))
    one = runner(store, job(JOB, body, deadline=SHORT))
    assert run_slot(one).status is RunStatus.FAILED
    gate.may_leave.set()
    for thread in threading.enumerate():
        if thread.name.startswith("ebbtide-job-"):
            thread.join(5)
    assert store.settings.get("result") is None


def test_a_process_full_of_hanging_runs_begins_no_more(store: StateStore) -> None:
    gate = Gate(checks=False)
    one = runner(store, job(JOB, Body(gate), deadline=SHORT))
    for number in range(HANGING_MAX):
        assert "took longer" in (run_slot(one, number).message or "")
    refused = run_slot(one, HANGING_MAX)
    assert refused.message == "3 earlier runs still hang in this process; it needs a restart"
    assert len(one.jobs[JOB].body.contexts) == HANGING_MAX  # type: ignore[attr-defined]
    gate.may_leave.set()
    threading.Event().wait(0.1)
    assert "took longer" not in (run_slot(one, HANGING_MAX + 1).message or "")


# -- others ------------------------------------------------------------------------------------


def test_two_by_hand_and_one_scheduled_at_once(store: StateStore) -> None:
    gate = Gate()
    one = runner(store, job(JOB, Body(gate)))
    with in_thread(one.run_now, JOB, "key a") as came:
        gate.is_inside.wait(5)
        running = store.runs.running()[0].run_id
        for start in (lambda: one.run_now(JOB, "key b"), lambda: run_slot(one)):
            with pytest.raises(AlreadyRunning, match=f"run {running}") as caught:
                start()
            assert caught.value.run_id == running
        gate.may_leave.set()
    assert came[0].status is RunStatus.COMPLETED


def test_a_live_run_of_another_process_is_told_from_a_dead_one(store: StateStore) -> None:
    gate = Gate()
    other, one = (runner(store, job(JOB, Body(gate))) for _ in range(2))
    with in_thread(other.run_now, JOB, "key a"):
        gate.is_inside.wait(5)
        with pytest.raises(AlreadyRunning):
            one.run_now(JOB, "key b")  # it was seen to move
        gate.may_leave.set()
    dead = store.runs.begin(RunStart(JOB, NOON, NOON, "key k", "elsewhere:1"))
    assert dead is not None
    run = one.run_now(JOB, "key b")
    assert run.status is RunStatus.COMPLETED
    assert store.runs.get(dead.run_id).status is RunStatus.ABANDONED
    assert kinds(store) == [AlertKind.ABANDONED]


def test_a_runner_that_was_overtaken_writes_nothing(store: StateStore) -> None:
    gate = Gate(checks=False)
    body = Body(lambda context: JobOutcome(gate(context).counts, write=write_word))
    one = runner(store, job(JOB, body))
    with in_thread(run_slot, one) as came:
        gate.is_inside.wait(5)
        # What another runner does when it finds this one's beat standing still.
        run_id = store.runs.running()[0].run_id
        assert store.runs.abandon(run_id, NOON, "gone", "vanished")
        gate.may_leave.set()
    assert came[0].status is RunStatus.ABANDONED
    assert store.settings.get("result") is None
    assert run_slot(runner(store, job(JOB, Body()))).attempt == 2


def test_clocks_that_differ_do_not_end_a_healthy_run(store: StateStore) -> None:
    gate = Gate()
    one = runner(store, job(JOB, Body(gate)))
    ahead = runner(store, job(JOB, Body()), clock=Clock(NOON + timedelta(days=400)))
    behind = runner(store, job(JOB, Body()), clock=Clock(NOON - timedelta(days=2)))
    with in_thread(run_slot, one) as came:
        gate.is_inside.wait(5)
        for _ in range(int(2 * PACE.lease_s / 0.02)):
            ahead.release_dead()
            behind.release_dead()
            threading.Event().wait(0.02)
        gate.may_leave.set()
    assert came[0].status is RunStatus.COMPLETED


def test_a_slot_whose_runner_always_vanishes_is_failed_in_the_end(store: StateStore) -> None:
    for _ in range(3):
        run = store.runs.begin(RunStart(JOB, NOON, NOON, "schedule", "x:1", NOON, QUARTER))
        assert run is not None
        store.runs.abandon(run.run_id, NOON, "gone", "vanished")
    body = Body()
    run = run_slot(runner(store, job(JOB, body, attempts=3)))
    assert (run.status, run.error, body.contexts) == (RunStatus.FAILED, "vanished", [])
    assert run.message == "the runner vanished 3 times during this slot"


def test_a_process_that_stops_frees_its_slot_at_once(store: StateStore) -> None:
    gate = Gate()
    one = runner(store, job(JOB, Body(gate)))
    with in_thread(run_slot, one) as came:
        gate.is_inside.wait(5)
        one.stop()
    assert (came[0].status, came[0].error) == (RunStatus.ABANDONED, "stopped")
    run = run_slot(runner(store, job(JOB, Body())))
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 1)
    assert store.runs.list_alerts() == []


# -- moments -----------------------------------------------------------------------------------


def test_by_hand_a_moment_of_the_past_can_be_named_but_not_of_the_future(store: StateStore) -> None:
    body = Body()
    one = runner(store, job(JOB, body))
    past = NOON - timedelta(days=365)
    run = one.run_now(JOB, "key k", past)
    assert (run.as_of, run.slot, run.covers) == (past, None, 0)
    assert one.run_now(JOB, "key k").as_of == NOON
    assert [context.as_of for context in body.contexts] == [past, NOON]
    with pytest.raises(Unprocessable, match="it is 2026-03-12T12:00:00Z"):
        one.run_now(JOB, "key k", NOON + timedelta(microseconds=1))
    with pytest.raises(NotFound, match=JOB):
        one.run_now("nobody", "key k")


def test_a_clock_that_went_back_is_told_once(store: StateStore) -> None:
    clock = Clock(NOON + timedelta(days=400))
    one = runner(store, job(JOB, Body()), clock=clock)
    run_slot(one, 400 * 96)
    one.run_now(JOB, "key k")  # a run by hand in between hides nothing
    clock.now = NOON
    run_slot(one)
    clock.now += QUARTER
    run_slot(one, 1)
    (alert,) = store.runs.list_alerts()
    assert alert.kind is AlertKind.CLOCK
    assert alert.message == "the clock went back: there are results for 2027-04-16T12:00:00Z"


@pytest.mark.parametrize(("late", "alerts"), [(5 * 60, []), (5 * 60 + 1, [AlertKind.LATE])])
def test_a_run_that_begins_late_gives_an_alert(
    store: StateStore, late: int, alerts: list[AlertKind]
) -> None:
    clock = Clock(NOON + timedelta(seconds=late))
    one = runner(store, job(JOB, Body()), clock=clock)
    run_slot(one)
    assert kinds(store) == []  # the first run ever was missed by nobody
    clock.now += QUARTER
    run_slot(one, 1)
    assert kinds(store) == alerts
