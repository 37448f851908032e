"""Runs every job at its slots as long as the server lives: in one thread, and some apart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime

import structlog

from ebbtide.domain.errors import AlreadyRunning, EbbtideError
from ebbtide.domain.job_run import RESULTS, RunStatus
from ebbtide.jobs.runner import Runner
from ebbtide.jobs.slots import newest_due

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
REST_S = 10.0  # after the store could not be asked
STOP_S = 10.0
#: The job that no other one may delay: it tells people that something is wrong.
APART = ("send-alerts",)
_LEAVES_SOMETHING = (RunStatus.COMPLETED, RunStatus.PARTIAL)


class Scheduler:
    """Looks every second which job is due, and runs what is, one after another.

    Jobs that must not wait for others have a second thread: one that hangs delays no alert.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        look_every_s: float = LOOK_EVERY_S,
        after_runs: Callable[[], None] = lambda: None,
        apart: Collection[str] = APART,
    ) -> None:
        """Make it ready; it does nothing before :meth:`start`.

        Args:
            after_runs: called when runs have left new results, for what is better done before
                somebody asks.
            apart: names of the jobs that no other job may delay.
        """
        self._runner = runner
        self._after_runs = after_runs
        self._look_every_s = look_every_s
        self._settled: dict[str, datetime] = {}  # newest slots known to have their result
        self._stopping = threading.Event()
        lanes = (
            [name for name in runner.jobs if name not in apart],
            [name for name in runner.jobs if name in apart],
        )
        self._threads = [
            threading.Thread(
                target=self._run, args=(names,), name=f"ebbtide-scheduler-{number}", daemon=True
            )
            for number, names in enumerate(lanes)
            if names
        ]
        self._looking_ahead = threading.Lock()

    def start(self) -> None:
        """Begin to run slots."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End what runs and begin nothing more; returns when the threads are done."""
        self._stopping.set()
        self._runner.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(STOP_S)

    def tick(self, names: Collection[str] | None = None) -> None:
        """Run every slot that is due now.

        Args:
            names: of these jobs only; None for all.

        Raises:
            StoreUnavailable: the state store cannot be asked.
        """
        self._runner.release_dead()
        has_results = False
        for name, job in self._runner.jobs.items():
            if names is not None and name not in names:
                continue
            # Anew for each: the job before this one may have taken long.
            slot = newest_due(self._runner.now(), job.schedule.every)
            if self._stopping.is_set() or self._settled.get(name) == slot:
                continue
            try:
                run = self._runner.run_slot(name, slot)
            except AlreadyRunning:
                continue  # the slot stays due, and has its turn when that run is over
            if run is None or run.status in RESULTS:
                self._settled[name] = slot
            has_results |= run is not None and run.status in _LEAVES_SOMETHING
        if has_results and not self._stopping.is_set():
            with self._looking_ahead:
                self._after_runs()

    def _run(self, names: Collection[str]) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            wait_s = self._look_every_s
            try:
                self.tick(names)
            except EbbtideError as error:
                log.error("scheduler.cannot_look", code=error.code, detail=str(error))
                wait_s = REST_S
            # A fault here would end all schedules silently; this way it is told every time.
            except Exception as error:
                log.error("scheduler.fault", exc_info=error)
                wait_s = REST_S
