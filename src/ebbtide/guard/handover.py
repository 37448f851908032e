"""Hands what the proxy saw to the event log and the recordings, without holding an answer for it.

The answer of a model leaves before its events are on disk. They wait in a bounded queue: when it
is full no further call is begun, so that no call is made that nobody would know of. While a store
is away the queue keeps them; only the end of the process, if it is killed, loses what waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from threading import Condition, Thread
from time import monotonic, sleep
from typing import Any

import structlog

from ebbtide.domain.call import ReportedCall
from ebbtide.domain.errors import EbbtideError, StoreUnavailable
from ebbtide.domain.policy import Verdict
from ebbtide.guard.events import Fields, events_of
from ebbtide.guard.recording import Recorder

WAITING_MAX = 2_000  # calls; each may hold its input and output
BATCH_MAX = 50  # in one go; checking more would hold the interpreter for too long
AGAIN_S = 1.0
GATHER_S = 0.1  # calls that end close together are stored in one commit, away from the answers
_PAUSE_S = 0.0003

log = structlog.get_logger(__name__)

#: Stores events; the future is done when they are durable.
Submit = Callable[[Sequence[Fields], datetime], Future[Any]]


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that is over, and what was said of it."""

    reported: ReportedCall
    verdicts: tuple[Verdict, ...]
    was_made: bool


class Handover:
    """One thread that stores what is finished, in its order."""

    def __init__(self, submit: Submit, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        self._submit = submit
        self._recorder = recorder
        self._clock = clock
        self._waiting: deque[Finished] = deque()
        self._ready = Condition()
        self._is_closing = False
        self._is_busy = False
        self._num_asking = 0
        self._thread: Thread | None = None

    @property
    def has_room(self) -> bool:
        """Whether another call may be begun."""
        return len(self._waiting) < WAITING_MAX

    def put(self, finished: Finished) -> None:
        """Take over a call; returns at once."""
        with self._ready:
            self._waiting.append(finished)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="ebbtide-handover", daemon=True)
                self._thread.start()
            self._ready.notify_all()

    def wait_until_stored(self, timeout_s: float) -> bool:
        """Whether all that was put so far is stored, at the latest after some time."""
        with self._ready:
            self._num_asking += 1
            self._ready.notify_all()
            try:
                return self._ready.wait_for(
                    lambda: not self._waiting and not self._is_busy, timeout_s
                )
            finally:
                self._num_asking -= 1

    def close(self, timeout_s: float = 10.0) -> None:
        """Store what waits, then stop."""
        with self._ready:
            self._is_closing = True
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self._waiting:
            log.error("guard.calls_lost", num=len(self._waiting))

    def _is_urgent(self) -> bool:
        return self._is_closing or self._num_asking > 0 or len(self._waiting) >= BATCH_MAX

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return
                # A commit for each call would take the processor from the calls beside it.
                self._ready.wait_for(self._is_urgent, GATHER_S)
                num = min(len(self._waiting), BATCH_MAX)
                batch = [self._waiting[at] for at in range(num)]
                self._is_busy = True
            is_done = self._store(batch)
            with self._ready:
                if is_done:
                    for _ in batch:
                        self._waiting.popleft()
                self._is_busy = False
                self._ready.notify_all()
                if not is_done:
                    if self._is_closing:
                        return
                    until = monotonic() + AGAIN_S
                    self._ready.wait_for(lambda: self._is_closing, until - monotonic())

    def _store(self, batch: Sequence[Finished]) -> bool:
        """Store events and recordings of calls; a repeat stores nothing twice."""
        try:
            records = []
            for one in batch:
                records += events_of(one.reported, one.verdicts, was_made=one.was_made)
                sleep(_PAUSE_S)  # calls under way must not wait for this thread's interpreter
            self._submit(records, self._clock()).result()
            self._recorder.keep(
                (one.reported.call, [verdict.policy_id for verdict in one.verdicts])
                for one in batch
            )
        except StoreUnavailable as error:
            log.warning("guard.store_unavailable", code=error.code, num=len(batch))
            return False
        except EbbtideError as error:
            # Not something that another attempt would change; the calls after it must not wait.
            log.error("guard.not_stored", code=error.code, detail=str(error), num=len(batch))
        return True
