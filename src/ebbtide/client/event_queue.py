"""The bounded queue between the application's threads and the one thread that sends."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum

from ebbtide.client.encode import EncodedEvent


class Put(Enum):
    """What became of an attempt to queue an event."""

    TAKEN = "taken"
    FULL = "full"
    CLOSED = "closed"


class EventQueue:
    """First in, first out; bounded by number and by bytes; closes at a deadline.

    ``taken`` and ``settled`` only grow, and events settle in order, so "everything before
    now" is a number to wait for. The lock is re-entrant: a signal handler or a finaliser that
    emits while its own thread is inside must not stop the application for good.
    """

    def __init__(
        self,
        *,
        max_events: int,
        max_bytes: int,
        batch_size: int,
        batch_bytes: int,
        flush_interval_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the bounds.

        Args:
            max_events: events waiting or being sent.
            max_bytes: of JSON text waiting or being sent.
            batch_size: events sent together at most.
            batch_bytes: JSON text sent together at most; a larger event travels alone.
            flush_interval_s: the longest that an event waits for company.
            monotonic: seconds that never run backwards.
        """
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._batch_size = batch_size
        self._batch_bytes = batch_bytes
        self._flush_interval_s = flush_interval_s
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, EncodedEvent]] = deque()
        self._waiting_bytes = 0
        self._in_flight: list[EncodedEvent] = []
        self._in_flight_bytes = 0
        self._taken = 0
        self._settled = 0
        self._wanted_now = 0  # events up to this number do not wait for company
        self._close_deadline: float | None = None
        self._is_abandoned = False

    def put(self, event: EncodedEvent, block_s: float = 0.0) -> Put:
        """Queue an event, waiting up to ``block_s`` seconds for room."""
        size = len(event.body)
        with self._changed:
            if block_s > 0 and not self._has_room(size):
                self._changed.wait_for(
                    lambda: self._close_deadline is not None or self._has_room(size), block_s
                )
            if self._close_deadline is not None:
                return Put.CLOSED
            if not self._has_room(size):
                return Put.FULL
            self._waiting.append((self._monotonic(), event))
            self._waiting_bytes += size
            self._taken += 1
            # The sender sleeps until the first event, then until a batch is due. Waking it for
            # each event between would cost the application a thread switch per call.
            if len(self._waiting) == 1 or self._is_batch_full():
                self._changed.notify_all()
        return Put.TAKEN

    def take_batch(self) -> list[EncodedEvent] | None:
        """Wait for the next batch; None when the queue is closed and empty."""
        with self._changed:
            while not self._is_abandoned:
                if self._waiting:
                    wait_s = self._due_in_s()
                    if wait_s <= 0:
                        return self._pop_batch()
                    self._changed.wait(wait_s)
                elif self._close_deadline is not None:
                    return None
                else:
                    self._changed.wait()
            return None

    def claim(self, count: Callable[[], None]) -> bool:
        """The batch taken last is answered for: ``count`` it, unless it was given up meanwhile.

        Returns:
            False when :meth:`abandon` has handed the batch back already; its results are void.
        """
        with self._changed:
            if self._is_abandoned:
                return False
            count()
            self._in_flight, self._in_flight_bytes = [], 0
            self._changed.notify_all()
            return True

    def settle(self, num: int) -> None:
        """Nothing more will be done for this many events; whoever waits for them may go on."""
        with self._changed:
            self._settled += num
            self._changed.notify_all()

    def wait_settled(self, timeout_s: float) -> bool:
        """Have everything queued so far sent now; False when ``timeout_s`` was too short."""
        with self._changed:
            target = self._taken
            self._wanted_now = max(self._wanted_now, target)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled >= target, timeout_s)

    def close(self, timeout_s: float) -> None:
        """Take no more events; what is queued may be sent for ``timeout_s`` seconds more."""
        with self._changed:
            deadline = self._monotonic() + timeout_s
            if self._close_deadline is None or deadline < self._close_deadline:
                self._close_deadline = deadline
            self._changed.notify_all()

    def abandon(self) -> list[EncodedEvent]:
        """Give up on everything unsettled and hand it back, oldest first."""
        with self._changed:
            self._is_abandoned = True
            left = self._in_flight + [event for _, event in self._waiting]
            self._settled += len(left)
            self._in_flight, self._in_flight_bytes = [], 0
            self._waiting.clear()
            self._waiting_bytes = 0
            self._changed.notify_all()
            return left

    @property
    def is_closed(self) -> bool:
        """Whether events are no longer taken. Takes no lock, so a forked child may ask."""
        return self._close_deadline is not None

    def time_left_s(self) -> float | None:
        """Seconds until the closing deadline; None while the queue is open."""
        with self._changed:
            if self._is_abandoned:
                return 0.0
            if self._close_deadline is None:
                return None
            return self._close_deadline - self._monotonic()

    def pause(self, seconds: float, *, asked_by_server: bool) -> bool:
        """Wait between two attempts; False when there will be no time for another.

        Closing ends a pause of our own at once, for one last attempt without delay. A pause
        that the server asked for is kept.
        """
        with self._changed:
            until = self._monotonic() + seconds
            was_open = self._close_deadline is None
            while True:
                now = self._monotonic()
                if self._is_abandoned:
                    return False
                if self._close_deadline is not None:
                    if was_open and not asked_by_server:
                        return now < self._close_deadline
                    if until > self._close_deadline:
                        return False
                if now >= until:
                    return True
                self._changed.wait(until - now)

    def _has_room(self, size: int) -> bool:
        num = len(self._waiting) + len(self._in_flight)
        held_bytes = self._waiting_bytes + self._in_flight_bytes
        # An empty queue takes any event, so that none is too large for ever.
        return num == 0 or (num < self._max_events and held_bytes + size <= self._max_bytes)

    def _is_batch_full(self) -> bool:
        return len(self._waiting) >= self._batch_size or self._waiting_bytes >= self._batch_bytes

    def _due_in_s(self) -> float:
        is_wanted = self._wanted_now > self._taken - len(self._waiting)
        if is_wanted or self._close_deadline is not None or self._is_batch_full():
            return 0.0
        return self._waiting[0][0] + self._flush_interval_s - self._monotonic()

    def _pop_batch(self) -> list[EncodedEvent]:
        batch: list[EncodedEvent] = []
        size = 0
        while self._waiting and len(batch) < self._batch_size:
            event = self._waiting[0][1]
            if batch and size + len(event.body) > self._batch_bytes:
                break
            self._waiting.popleft()
            batch.append(event)
            size += len(event.body)
        self._waiting_bytes -= size
        self._in_flight, self._in_flight_bytes = batch, size
        return list(batch)
