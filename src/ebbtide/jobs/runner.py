"""Runs one job at a time: begins it, watches over it, and ends it in one transaction.

Who may run is settled in the state store, and whether a runner still lives is judged without any
clock of the wall: each running run moves its beat on, and every other process measures by its own
monotonic clock how long a beat has stood still. So neither a jump of the clock nor clocks that
differ can end a healthy run. A runner that was stopped for too long finds itself replaced, and its
write refused.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import structlog

from ebbtide.domain.errors import (
    AlreadyRunning,
    EbbtideError,
    NotFound,
    RunEnded,
    StaleRun,
    StorageFull,
    StoreUnavailable,
    Unprocessable,
)
from ebbtide.domain.job_run import AlertKind, JobRun, RunEnd, RunStatus
from ebbtide.domain.time import format_instant
from ebbtide.jobs.job import JobOutcome, RunContext, ScheduledJob, Write
from ebbtide.store.state.runs import VANISHED, Runs, RunStart

log = structlog.get_logger(__name__)

SCHEDULE = "schedule"
DEADLINE = "deadline"
STOPPED = "stopped"
FAULT = "internal-error"
HANGING_MAX = 3  # threads that outlived their deadline, by job; each keeps what it holds
SETTLE_TRIES = 3

_Alerts = list[tuple[AlertKind, str]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a run shows that it lives, and when one that does not is given up."""

    beat_every_s: float = 2.0
    lease_s: float = 15.0  # some missed beats and a slow disk are no death
    stop_grace_s: float = 5.0  # what a body gets to notice that the process stops
    settle_pause_s: float = 1.0


@dataclass(slots=True)
class _Sighting:
    """Where a run of another process was seen last, by our monotonic clock."""

    beat: int
    since: float
    has_moved: bool = False


class _Work:
    """One body under way in a thread of its own, and the word that it is to end."""

    def __init__(self, run: JobRun, job: ScheduledJob, until: float) -> None:
        self.outcome: JobOutcome | None = None
        self.error: BaseException | None = None
        self.changed = threading.Event()
        self.is_done = False
        self._end: str | None = None
        self._until = until
        self._body = job.body
        self._context = RunContext(run.job, run.run_id, run.as_of, run.slot, run.covers, self.check)
        # A daemon: a body that hangs must not hold up the end of the process.
        self.thread = threading.Thread(
            target=self._run, name=f"ebbtide-job-{run.run_id}", daemon=True
        )

    @property
    def end_reason(self) -> str | None:
        """Why the run may not go on; None while it may."""
        if self._end is None and monotonic() >= self._until:
            self._end = DEADLINE
        return self._end

    def end(self, reason: str) -> None:
        """Tell the body, and whoever waits for it, that the run is over."""
        self._end = self._end or reason
        self.changed.set()

    def check(self) -> None:
        """See :attr:`RunContext.check`."""
        if self.end_reason is not None:
            raise RunEnded(f"the run may not go on: {self.end_reason}")

    def _run(self) -> None:
        try:
            self.outcome = self._body.run(self._context)
        except BaseException as error:  # noqa: BLE001 - whatever it was, the run is settled with it
            self.error = error
        finally:
            self.is_done = True
            self.changed.set()


class Runner:
    """Runs the jobs of one process."""

    def __init__(
        self,
        runs: Runs,
        jobs: Mapping[str, ScheduledJob],
        clock: Callable[[], datetime],
        *,
        pace: Pace | None = None,
    ) -> None:
        """Bring together what runs need.

        Args:
            clock: the moment that slots and ``as_of`` go by; one that all processes share.
        """
        self._runs = runs
        self.jobs = jobs
        self._clock = clock
        self._pace = pace or Pace()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._lock = threading.Lock()
        self._own: dict[int, _Work] = {}
        self._hanging: dict[str, list[threading.Thread]] = {}
        self._seen: dict[int, _Sighting] = {}
        self._is_stopping = False

    def now(self) -> datetime:
        """The moment that slots go by."""
        return self._clock()

    def run_slot(self, name: str, slot: datetime) -> JobRun | None:
        """Run the slot of a job.

        Returns:
            The run as it ended; None when the slot has its result already.

        Raises:
            AlreadyRunning: a run of the job is under way.
            StoreUnavailable: the state store cannot be asked, or the end not written down.
        """
        job = self._job(name)
        run = self._runs.begin(
            RunStart(name, slot, self._clock(), SCHEDULE, self._name, slot, job.schedule.every)
        )
        return None if run is None else self._execute(run, job)

    def run_now(self, name: str, asked_by: str, as_of: datetime | None = None) -> JobRun:
        """Run a job by hand, beside its slots.

        Args:
            as_of: the moment to compute for; None: the present one.

        Returns:
            The run as it ended.

        Raises:
            NotFound: there is no such job.
            Unprocessable: ``as_of`` lies in the future.
            AlreadyRunning: a run of the job is under way. When its runner may be dead, this is
                found out first, which takes as long as a lease.
            StoreUnavailable: as in :meth:`run_slot`.
        """
        job = self._job(name)
        while True:
            now = self._clock()
            if as_of is not None and as_of > now:
                raise Unprocessable(f"as_of lies in the future; it is {format_instant(now)}")
            try:
                run = self._runs.begin(RunStart(name, as_of or now, now, asked_by, self._name))
            except AlreadyRunning as error:
                if self._is_alive(error.run_id):
                    raise
                threading.Event().wait(self._pace.beat_every_s / 4)
                continue
            assert run is not None  # only slots can be settled
            return self._execute(run, job)

    def release_dead(self) -> None:
        """Free the slots of runners that vanished; call it every now and then."""
        message = "its runner vanished; nothing was written, and the slot is tried again"
        for run, seen in self._look():
            if monotonic() - seen.since < self._pace.lease_s:
                continue
            is_released = self._runs.abandon(
                run.run_id,
                self._clock(),
                message,
                VANISHED,
                seen_beat=seen.beat,
                alerts=[(AlertKind.ABANDONED, message)],
            )
            if is_released:
                self._tell_alert(run, AlertKind.ABANDONED, message)

    def stop(self) -> None:
        """End every run of this process; their slots are free at once."""
        with self._lock:
            self._is_stopping = True
            works = list(self._own.values())
        for work in works:
            work.end(STOPPED)

    def _job(self, name: str) -> ScheduledJob:
        if name not in self.jobs:
            raise NotFound(f"there is no job {name!r}; there are {', '.join(self.jobs)}")
        return self.jobs[name]

    # -- one run -------------------------------------------------------------------------------

    def _execute(self, run: JobRun, job: ScheduledJob) -> JobRun:
        log.info(
            f"Starting {run.job} job...",
            job=run.job,
            run_id=run.run_id,
            as_of=format_instant(run.as_of),
            slot=run.slot and format_instant(run.slot),
            covers=run.covers,
            asked_by=run.asked_by,
        )
        mistimed = self._mistimed(run, job)
        refusal = self._refusal(run, job)
        if refusal is not None:
            return self._fail(run, mistimed, *refusal)
        work = _Work(run, job, monotonic() + job.schedule.deadline.total_seconds())
        with self._lock:
            self._own[run.run_id] = work
            if self._is_stopping:
                work.end(STOPPED)
        try:
            work.thread.start()
            self._supervise(run, work)
            return self._finish(run, job, work, mistimed)
        finally:
            with self._lock:
                del self._own[run.run_id]
                if work.thread.is_alive():
                    self._hanging.setdefault(run.job, []).append(work.thread)

    def _refusal(self, run: JobRun, job: ScheduledJob) -> tuple[str, str] | None:
        """Why a run is not even tried: an error code and a sentence; None when it is."""
        num_tried = run.attempt - 1
        if num_tried >= job.schedule.attempts:
            return VANISHED, f"the runner vanished {num_tried} times during this slot"
        with self._lock:
            hanging = [one for one in self._hanging.get(run.job, []) if one.is_alive()]
            self._hanging[run.job] = hanging
        if len(hanging) >= HANGING_MAX:
            return (
                DEADLINE,
                f"{len(hanging)} earlier runs still hang in this process; it needs a restart",
            )
        return None

    def _supervise(self, run: JobRun, work: _Work) -> None:
        """Return when the body is done or the run may not go on."""
        while not work.is_done and work.end_reason is None:
            if work.changed.wait(self._pace.beat_every_s):
                work.changed.clear()
                continue
            try:
                if not self._runs.beat(run.run_id):
                    work.end(StaleRun.code)
            except StoreUnavailable as error:
                # Others may take the run for dead now; the end will show whether they did.
                log.warning("job.beat_failed", run_id=run.run_id, detail=str(error))
        if work.end_reason == STOPPED and not work.is_done:
            work.thread.join(self._pace.stop_grace_s)

    def _finish(self, run: JobRun, job: ScheduledJob, work: _Work, mistimed: _Alerts) -> JobRun:
        error = work.error
        if work.end_reason == DEADLINE:
            limit_s = job.schedule.deadline.total_seconds()
            message = f"it took longer than {limit_s:g} s and was ended"
            return self._fail(run, mistimed, DEADLINE, message)
        if work.outcome is not None:
            return self._succeed(run, job, work.outcome, mistimed)
        if work.end_reason == STOPPED:
            return self._give_up(run)
        if work.end_reason is not None:
            return self._overtaken(run)
        if isinstance(error, EbbtideError):
            return self._fail(run, mistimed, error.code, _shown(error))
        log.error("job.fault", job=run.job, run_id=run.run_id, exc_info=error)
        message = f"{type(error).__name__} in the job; the log has the story"
        return self._fail(run, mistimed, FAULT, message)

    def _succeed(
        self, run: JobRun, job: ScheduledJob, outcome: JobOutcome, mistimed: _Alerts
    ) -> JobRun:
        message = outcome.message or job.schedule.message
        alerts = list(mistimed)
        if outcome.failed_tenants:
            num = len(outcome.failed_tenants)
            message += f", without {num} tenant{'s' if num > 1 else ''}"
            alerts.append((AlertKind.PARTIAL, message))
        try:
            end = RunEnd(
                outcome.status,
                self._clock(),
                message,
                counts=outcome.counts,
                failed_tenants=outcome.failed_tenants,
            )
            return self._settle(run, end, alerts, outcome.write)
        except StaleRun:
            return self._overtaken(run)
        except EbbtideError as error:
            said = f"the results were not written: {_shown(error)}"
            return self._fail(run, mistimed, error.code, said)
        # The write is the job's own code; whatever it raises, the run must have an end.
        except Exception as error:
            log.error("job.fault", job=run.job, run_id=run.run_id, exc_info=error)
            kind = type(error).__name__
            return self._fail(run, mistimed, FAULT, f"{kind} while writing the results")

    def _fail(self, run: JobRun, mistimed: _Alerts, error: str, message: str) -> JobRun:
        alerts = [*mistimed, (AlertKind.FAILED, message)]
        try:
            end = RunEnd(RunStatus.FAILED, self._clock(), message, error)
            return self._settle(run, end, alerts)
        except StaleRun:
            return self._overtaken(run)
        except StoreUnavailable:
            # Where nothing can be written down, the log and the caller must hear it. The slot is
            # tried again when the beat has stood still for long enough.
            self._tell_alert(run, AlertKind.FAILED, message)
            self._tell_end(run, RunStatus.FAILED, message)
            raise

    def _settle(
        self,
        run: JobRun,
        end: RunEnd,
        alerts: _Alerts,
        write: Write | None = None,
    ) -> JobRun:
        """Write the end of a run, trying again when the store is away for a moment."""
        for tries_left in reversed(range(SETTLE_TRIES)):
            try:
                ended = self._runs.settle(run.run_id, end, alerts=alerts, write=write)
                break
            except StorageFull:
                raise
            except StoreUnavailable:
                if not tries_left:
                    raise
                threading.Event().wait(self._pace.settle_pause_s)
        for kind, message in alerts:
            self._tell_alert(run, kind, message)
        self._tell_end(run, end.status, end.message)
        return ended

    def _give_up(self, run: JobRun) -> JobRun:
        message = "the process was stopped; nothing was written, and the slot is tried again"
        self._runs.abandon(run.run_id, self._clock(), message, STOPPED)
        log.info(f"STOPPED: {message}", job=run.job, run_id=run.run_id)
        return self._runs.get(run.run_id)

    def _overtaken(self, run: JobRun) -> JobRun:
        message = "another runner took its place; nothing was written"
        self._tell_end(run, RunStatus.ABANDONED, message)
        return self._runs.get(run.run_id)

    def _mistimed(self, run: JobRun, job: ScheduledJob) -> _Alerts:
        """Alerts about the moment of a run: it began late, or the clock went back."""
        if run.slot is None:
            return []
        slots = (one.slot for one in self._runs.list_newest(job=run.job, before=run.run_id))
        before = next((slot for slot in slots if slot is not None), None)
        if before is None:
            return []  # the first run ever was not missed by anybody
        if run.slot < before:
            # What a wrong clock computed for the future counts as newer than all that follows.
            newer = format_instant(before)
            return [(AlertKind.CLOCK, f"the clock went back: there are results for {newer}")]
        late_s = (run.started_at - run.slot).total_seconds()
        if late_s <= job.schedule.max_delay.total_seconds():
            return []
        return [(AlertKind.LATE, f"it began {late_s:.0f} s late and covers {run.covers} slots")]

    def _tell_alert(self, run: JobRun, kind: AlertKind, message: str) -> None:
        log.error("job.alert", kind=kind.value, job=run.job, run_id=run.run_id, detail=message)

    def _tell_end(self, run: JobRun, status: RunStatus, message: str) -> None:
        is_good = status is RunStatus.COMPLETED
        tell = log.info if is_good else log.error
        word = "SUCCESS" if is_good else "FAILED"
        tell(f"{word}: status={status}, message={message}", job=run.job, run_id=run.run_id)

    # -- runs of others ------------------------------------------------------------------------

    def _look(self) -> list[tuple[JobRun, _Sighting]]:
        """Note where the runs of other runners are now."""
        now = monotonic()
        with self._lock:
            own = set(self._own)
        others = [run for run in self._runs.running() if run.run_id not in own]
        with self._lock:
            found = [
                (run, self._sighting(self._seen.get(run.run_id), run.beat, now)) for run in others
            ]
            self._seen = {run.run_id: sighting for run, sighting in found}
        return found

    def _sighting(self, before: _Sighting | None, beat: int, now: float) -> _Sighting:
        if before is not None and before.beat == beat:
            return before
        return _Sighting(beat, now, has_moved=before is not None)

    def _is_alive(self, run_id: int) -> bool:
        """Whether a run shows life: it is ours, or was just seen to move on."""
        self.release_dead()
        with self._lock:
            if run_id in self._own:
                return True
            seen = self._seen.get(run_id)
        if seen is None:
            return False  # it has ended, or was given up this moment
        return seen.has_moved and monotonic() - seen.since < 3 * self._pace.beat_every_s


def _shown(error: EbbtideError) -> str:
    """An error as the run log may show it."""
    # What a store says may hold paths and hosts; the program's log has it.
    if isinstance(error, StoreUnavailable):
        log.error("job.store_unavailable", detail=str(error))
        return "a store could not answer; the log has the story"
    return str(error)
