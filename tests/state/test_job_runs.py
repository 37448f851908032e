"""The run log: one running run, one result per slot, writes that lost their place are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from ebbtide.domain.errors import AlreadyRunning, NotFound, StaleRun
from ebbtide.domain.job_run import AlertKind, JobRun, RunEnd, RunStatus
from ebbtide.store.state import runs
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Transaction
from ebbtide.store.state.runs import VANISHED, RunStart
from ebbtide.store.state.tables import SETTINGS

if TYPE_CHECKING:
    from conftest import Place

JOB = "compute-stickiness"
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DONE = RunEnd(RunStatus.COMPLETED, NOON, "done")


def at_slot(slot: datetime, job: str = JOB) -> RunStart:
    return RunStart(job, slot, NOON, "schedule", "host:1", slot, QUARTER)


BY_HAND = RunStart(JOB, NOON, NOON, "key k", "host:1")


def begin(store: StateStore, start: RunStart) -> JobRun:
    run = store.runs.begin(start)
    assert run is not None
    return run


def set_word(word: str) -> Callable[[Transaction], None]:
    """Results to write: one setting, which is easy to look at."""

    def write(connection: Transaction) -> None:
        connection.execute(sa.insert(SETTINGS).values(name="result", value=word))

    return write


def test_a_run_begins_beats_and_ends_with_its_results(store: StateStore) -> None:
    run = begin(store, at_slot(NOON))
    assert (run.status, run.beat, run.attempt, run.covers) == (RunStatus.RUNNING, 0, 1, 1)
    assert store.runs.beat(run.run_id) and store.runs.running()[0].beat == 1
    end = RunEnd(RunStatus.PARTIAL, NOON, "m", None, {"n": 2}, {"ACME": "absurd", "b": "too"})
    ended = store.runs.settle(
        run.run_id, end, alerts=[(AlertKind.PARTIAL, "m")], write=set_word("new")
    )
    assert ended == store.runs.get(run.run_id)
    assert (ended.status, ended.counts) == (RunStatus.PARTIAL, {"n": 2})
    assert ended.failed_tenants == {"ACME": "absurd", "b": "too"}
    assert store.settings.get("result") == "new"
    assert store.runs.running() == []
    (alert,) = store.runs.list_alerts()
    assert (alert.kind, alert.job, alert.run_id) == (AlertKind.PARTIAL, JOB, run.run_id)
    assert not store.runs.beat(run.run_id)


def test_one_run_of_a_job_at_a_time_by_hand_or_not(store: StateStore) -> None:
    run = begin(store, at_slot(NOON))
    for start in (BY_HAND, at_slot(NOON), at_slot(NOON + QUARTER)):
        with pytest.raises(AlreadyRunning, match=str(run.run_id)) as caught:
            store.runs.begin(start)
        assert caught.value.run_id == run.run_id
    begin(store, at_slot(NOON, "another-job"))


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.PARTIAL, RunStatus.FAILED])
def test_a_slot_has_one_result(store: StateStore, status: RunStatus) -> None:
    run = begin(store, at_slot(NOON))
    store.runs.settle(run.run_id, RunEnd(status, NOON, "m"))
    assert store.runs.begin(at_slot(NOON)) is None
    assert begin(store, BY_HAND).covers == 0  # by hand it can be run again


def test_a_run_that_lost_its_place_writes_nothing(store: StateStore) -> None:
    stale = begin(store, at_slot(NOON))
    assert store.runs.abandon(stale.run_id, NOON, "gone", VANISHED, seen_beat=0)
    fresh = begin(store, at_slot(NOON))
    assert fresh.run_id > stale.run_id and fresh.attempt == 2
    with pytest.raises(StaleRun):
        store.runs.settle(
            stale.run_id, DONE, alerts=[(AlertKind.LATE, "m")], write=set_word("stale")
        )
    assert store.settings.get("result") is None
    assert store.runs.list_alerts() == []
    store.runs.settle(fresh.run_id, DONE, write=set_word("fresh"))
    assert store.settings.get("result") == "fresh"
    assert store.runs.begin(at_slot(NOON)) is None


def test_a_write_that_fails_undoes_the_end_of_its_run(store: StateStore) -> None:
    run = begin(store, at_slot(NOON))

    def write(connection: Transaction) -> None:
        set_word("half")(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.runs.settle(run.run_id, DONE, alerts=[(AlertKind.LATE, "m")], write=write)
    assert store.settings.get("result") is None
    assert store.runs.get(run.run_id).status is RunStatus.RUNNING
    assert store.runs.list_alerts() == []


def test_a_run_that_moves_on_is_not_given_up(store: StateStore) -> None:
    run = begin(store, at_slot(NOON))
    store.runs.beat(run.run_id)
    assert not store.runs.abandon(run.run_id, NOON, "gone", VANISHED, seen_beat=0)
    assert store.runs.get(run.run_id).status is RunStatus.RUNNING


def test_only_runners_that_vanished_count_as_attempts(store: StateStore) -> None:
    for error, attempt in (("stopped", 1), (VANISHED, 1), (VANISHED, 2), ("stopped", 3)):
        run = begin(store, at_slot(NOON))
        assert run.attempt == attempt
        store.runs.abandon(run.run_id, NOON, "gone", error)


@pytest.mark.parametrize(
    ("minutes", "covers"), [(15, 1), (30, 2), (24 * 60, 96), (70_080 * 15, 70_080), (20, 2)]
)
def test_a_slot_after_a_gap_covers_the_gap(store: StateStore, minutes: int, covers: int) -> None:
    store.runs.settle(begin(store, at_slot(NOON)).run_id, DONE)
    slot = NOON + timedelta(minutes=minutes)
    run = begin(store, at_slot(slot))
    assert run.covers == covers
    assert run.covers_from == slot - (covers - 1) * QUARTER > NOON


def test_an_older_slot_does_not_cover_newer_ones(store: StateStore) -> None:
    store.runs.settle(begin(store, at_slot(NOON + 100 * QUARTER)).run_id, DONE)
    assert begin(store, at_slot(NOON)).covers == 1  # the clock was put back


def test_pages_go_from_new_to_old(store: StateStore) -> None:
    for number in range(5):
        run = begin(store, at_slot(NOON + number * QUARTER))
        store.runs.settle(run.run_id, DONE, alerts=[(AlertKind.LATE, str(number))])
    first = store.runs.list_newest(limit=2)
    rest = store.runs.list_newest(before=first[-1].run_id)
    assert [run.slot for run in first + rest] == [NOON + n * QUARTER for n in (4, 3, 2, 1, 0)]
    assert store.runs.list_newest(job="nobody") == []
    assert store.runs.list_newest(status=RunStatus.FAILED) == []
    alerts = store.runs.list_alerts(limit=2)
    older = store.runs.list_alerts(before=alerts[-1].id)
    assert [alert.message for alert in alerts + older] == ["4", "3", "2", "1", "0"]
    for nobody in (0, 99, -1, 2**70):
        with pytest.raises(NotFound):
            store.runs.get(nobody)


def test_the_tally_counts_by_job_and_kind(store: StateStore) -> None:
    assert store.runs.tally() == {}
    for number, status in enumerate([RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.FAILED]):
        run = begin(store, at_slot(NOON + number * QUARTER))
        at = NOON + timedelta(hours=number)
        alerts = [(AlertKind.FAILED, "m")] if status is RunStatus.FAILED else []
        store.runs.settle(run.run_id, RunEnd(status, at, "m"), alerts=alerts)
    tally = store.runs.tally()[JOB]
    assert tally.runs == {RunStatus.COMPLETED: 1, RunStatus.FAILED: 2}
    assert tally.alerts == {AlertKind.FAILED: 2}
    assert tally.last_result_at == NOON  # a failed run leaves no newer result


def test_an_erased_tenant_is_in_no_run(store: StateStore) -> None:
    run = begin(store, at_slot(NOON))
    end = RunEnd(RunStatus.PARTIAL, NOON, "m", failed_tenants={"acme": "absurd", "b": "too"})
    store.runs.settle(run.run_id, end)
    store.erase_tenant("acme", NOON)
    assert store.runs.get(run.run_id).failed_tenants == {"b": "too"}


def test_of_runners_that_begin_at_once_one_begins(migrated_place: Place) -> None:
    stores = [migrated_place.open() for _ in range(6)]
    barrier = threading.Barrier(len(stores))
    began: list[int] = []
    told: list[int] = []

    def compete(store: StateStore, start: RunStart) -> None:
        barrier.wait()
        try:
            began.append(begin(store, start).run_id)
        except AlreadyRunning as error:
            told.append(error.run_id)

    threads = [
        threading.Thread(target=compete, args=(store, BY_HAND if n % 2 else at_slot(NOON)))
        for n, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(began) == 1 and told == began * 5
    for store in stores:
        store.close()


def test_the_clock_is_one_that_all_share(store: StateStore) -> None:
    assert abs(store.runs.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert store.runs.now().utcoffset() == timedelta(0)


def test_a_tenant_that_was_erased_meanwhile_is_not_named_by_the_run_that_left_it_out(
    store: StateStore,
) -> None:
    store.erase_tenant("back again", NOON - QUARTER)  # and has had events since
    run = begin(store, at_slot(NOON))
    store.erase_tenant("ACME", NOON + QUARTER / 2)
    failed = {"ACME": "absurd", "b": "too", "back again": "absurd"}
    store.runs.settle(run.run_id, RunEnd(RunStatus.PARTIAL, NOON, "m", failed_tenants=failed))
    assert store.runs.get(run.run_id).failed_tenants.keys() == {"b", "back again"}


def test_old_runs_are_forgotten_but_for_the_newest_result_of_each_job(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FORGET_EVERY", 1)
    failed = RunEnd(RunStatus.PARTIAL, NOON, "m", failed_tenants={"acme": "absurd"})
    for number in range(4):
        run = begin(store, at_slot(NOON + number * QUARTER))
        store.runs.settle(run.run_id, failed, alerts=[(AlertKind.PARTIAL, "m")])
    old = begin(store, at_slot(NOON, "another-job"))
    store.runs.settle(old.run_id, DONE)
    assert len(store.runs.list_newest()) == 5
    later = NOON + runs.KEPT + QUARTER
    run = begin(store, RunStart(JOB, later, later, "schedule", "host:1", later, QUARTER))
    kept = [one.run_id for one in store.runs.list_newest(job=JOB)]
    store.runs.settle(run.run_id, RunEnd(RunStatus.COMPLETED, later, "done"))
    assert [one.run_id for one in store.runs.list_newest()] == [run.run_id, old.run_id]
    assert len(kept) == 5 and store.runs.list_alerts() == []
    assert begin(store, at_slot(NOON + QUARTER, "another-job")).covers == 1
