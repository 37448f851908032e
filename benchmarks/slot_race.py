"""Processes that race for slots while they are killed and frozen; each slot must count once.

``python -m benchmarks.slot_race --state URL`` prints its figures as JSON and ends with 1 when a
promise was broken. Every process walks through the same slots with a clock that is wrong by up to
five minutes; a result is a row in a log, and a state of many rows that the newest slot replaces.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from benchmarks.databases import throwaway_postgres

from ebbtide.app.settings import Settings
from ebbtide.app.stores import open_state
from ebbtide.catalog.schedule import Schedule
from ebbtide.domain.errors import AlreadyRunning, StoreUnavailable
from ebbtide.domain.job_run import RESULTS, RunStatus
from ebbtide.jobs.job import JobOutcome, RunContext, ScheduledJob
from ebbtide.jobs.runner import Pace, Runner
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Transaction

JOB = "race"
FIRST = datetime(2026, 3, 12, tzinfo=UTC)
EVERY = timedelta(minutes=15)
SKEW_MAX_S = 300.0
STATE_ROWS = 20
# Far shorter than in the product, so that many takeovers fit into a minute.
PACE = Pace(beat_every_s=0.1, lease_s=0.8, stop_grace_s=0.1, settle_pause_s=0.05)
FROZEN_S = (0.2, 2.5)  # shorter and longer than a lease
ATTEMPTS_MAX = 10**6  # here a killed runner is the machine's fault, never the slot's

_METADATA = sa.MetaData()
RACE_LOG = sa.Table(
    "race_log",
    _METADATA,
    sa.Column("slot", sa.BigInteger, nullable=False),
    sa.Column("run_id", sa.BigInteger, nullable=False),
)
RACE_STATE = sa.Table(
    "race_state",
    _METADATA,
    sa.Column("part", sa.BigInteger, primary_key=True),
    sa.Column("slot", sa.BigInteger, nullable=False),
)


def slot_at(number: int) -> datetime:
    """The instant of the nth slot."""
    return FIRST + number * EVERY


class RaceBody:
    """A job that takes a moment, and writes one log row and a whole new state."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def run(self, context: RunContext) -> JobOutcome:
        """Wait a little, at times longer than a lease is short of."""
        time.sleep(self._rng.choice([0.0, 0.005, 0.02, 0.15]))
        assert context.slot is not None
        number = (context.slot - FIRST) // EVERY

        def write(connection: Transaction) -> None:
            connection.execute(sa.insert(RACE_LOG).values(slot=number, run_id=context.run_id))
            connection.execute(sa.delete(RACE_STATE))
            for part in range(STATE_ROWS):
                connection.execute(sa.insert(RACE_STATE).values(part=part, slot=number))

        return JobOutcome(counts={"num_parts": STATE_ROWS}, write=write)


def open_store(url: str) -> StateStore:
    """The state store that all processes share."""
    return open_state(Settings(state_url=url))


def race(url: str, num_slots: int, seed: int, log: str) -> None:
    """What one process does: bring every slot to its result, or find that it has one."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(Path(log).open("a", encoding="utf-8")),
    )
    rng = random.Random(seed)
    skew = timedelta(seconds=rng.uniform(-SKEW_MAX_S, SKEW_MAX_S))
    quarter = timedelta(minutes=15)
    schedule = Schedule(JOB, "t", "done", "o", EVERY, quarter, quarter, ATTEMPTS_MAX)
    runner = Runner(
        open_store(url).runs,
        {JOB: ScheduledJob(schedule, RaceBody(rng))},
        lambda: datetime.now(UTC) + skew,
        pace=PACE,
    )
    for number in range(num_slots):
        while True:
            try:
                run = runner.run_slot(JOB, slot_at(number))
                if run is None or run.status in RESULTS:
                    break
            except AlreadyRunning:
                runner.release_dead()
            except StoreUnavailable:
                pass
            time.sleep(rng.uniform(0.005, 0.05))
    os._exit(0)


def run_race(
    url: str, *, num_processes: int, num_slots: int, num_kills: int, seed: int, log: Path
) -> dict[str, Any]:
    """Let processes race, kill and freeze some of them, and count what came of it."""
    rng = random.Random(seed)
    store = open_store(url)
    store.migrate()
    engine = store._database.engine
    _METADATA.create_all(engine)
    context = multiprocessing.get_context("forkserver")
    # Loaded once, so that a new process costs a fork.
    context.set_forkserver_preload(["ebbtide.app.stores", "ebbtide.jobs.runner"])
    started_at = time.monotonic()

    def start(number: int) -> Any:
        process = context.Process(
            target=race, args=(url, num_slots, seed * 1000 + number, str(log)), daemon=True
        )
        process.start()
        return process

    processes = [start(number) for number in range(num_processes)]
    frozen: dict[int, float] = {}
    num_started = num_processes
    tally: Counter[str] = Counter()
    while any(process.is_alive() for process in processes):
        time.sleep(rng.uniform(0.02, 0.15))
        now = time.monotonic()
        for pid in [pid for pid, until in frozen.items() if until <= now]:
            del frozen[pid]
            os.kill(pid, signal.SIGCONT)
        tally["looks"] += 1
        tally["mixed"] += _is_mixed(engine)
        at = _victim(store, processes, rng)
        victim = processes[at]
        if not victim.is_alive() or victim.pid in frozen:
            continue
        if tally["kills"] < num_kills and rng.random() < 0.5:
            victim.kill()
            victim.join()
            tally["kills"] += 1
            processes[at] = start(num_started)
            num_started += 1
        elif tally["freezes"] < num_kills and rng.random() < 0.5:
            os.kill(victim.pid, signal.SIGSTOP)
            frozen[victim.pid] = now + rng.uniform(*FROZEN_S)
            tally["freezes"] += 1
    took_s = time.monotonic() - started_at
    figures = _figures(store, num_slots) | {
        "kills": tally["kills"],
        "freezes": tally["freezes"],
        "states_looked_at": tally["looks"],
        "states_mixed": tally["mixed"],
        "failed_processes": sum(process.exitcode != 0 for process in processes),
        "writes_refused": log.read_text(encoding="utf-8").count("took its place"),
        "took_s": round(took_s, 1),
    }
    store.close()
    return {"seed": seed, "processes": num_processes, "slots": num_slots} | figures


def _victim(store: StateStore, processes: list[Any], rng: random.Random) -> int:
    """Most often the process that has a run in hand: to harm the others proves little."""
    pids = [process.pid for process in processes]
    for run in store.runs.running():
        pid = int(run.runner.rpartition(":")[2])
        if pid in pids and rng.random() < 0.8:
            return pids.index(pid)
    return rng.randrange(len(processes))


def is_broken(figures: dict[str, Any]) -> bool:
    """Whether the race broke a promise."""
    return (
        figures["slots_with_one_result"] != figures["slots"]
        or figures["results_written"] != figures["slots"]
        or figures["results_of_another_run"] > 0
        or figures["states_mixed"] > 0
        or figures["failed_processes"] > 0
    )


def _is_mixed(engine: sa.Engine) -> bool:
    """Whether a reader sees rows of more than one slot, or not all of them."""
    with engine.connect() as connection:
        slots = list(connection.scalars(sa.select(RACE_STATE.c.slot)))
    return bool(slots) and (len(set(slots)) != 1 or len(slots) != STATE_ROWS)


def _figures(store: StateStore, num_slots: int) -> dict[str, int]:
    with store._database.engine.connect() as connection:
        written = connection.execute(sa.select(RACE_LOG)).all()
    runs = store.runs.list_newest(limit=10**6)
    results = {
        (run.slot - FIRST) // EVERY: run.run_id
        for run in runs
        if run.slot is not None and run.status is RunStatus.COMPLETED
    }
    per_slot = Counter(row.slot for row in written)
    return {
        "slots_with_one_result": sum(per_slot[number] == 1 for number in range(num_slots)),
        "results_written": len(written),
        "results_of_another_run": sum(results.get(row.slot) != row.run_id for row in written),
        "runs_abandoned": sum(run.status is RunStatus.ABANDONED for run in runs),
    }


def main() -> int:
    """Run one race; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--slots", type=int, default=200)
    parser.add_argument("--kills", type=int, default=60, help="and as many freezes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    figures = race_on(given.engine, given.processes, given.slots, given.kills, given.seed)
    print(json.dumps(figures))
    return int(is_broken(figures))


def race_on(
    engine: str, num_processes: int, num_slots: int, num_kills: int, seed: int
) -> dict[str, Any]:
    """One race on a state store of its own, gone afterwards."""
    work = Path(tempfile.mkdtemp(prefix="ebbtide-race-"))
    sizes = {"num_processes": num_processes, "num_slots": num_slots, "num_kills": num_kills}
    try:
        if engine == "sqlite":
            url = f"sqlite:///{work / 'state.db'}"
            return run_race(url, **sizes, seed=seed, log=work / "log")
        with throwaway_postgres(work / "pg") as url:
            return run_race(url, **sizes, seed=seed, log=work / "log")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
