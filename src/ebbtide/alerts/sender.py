"""Empties the outbox: each channel in a thread of its own, so that none waits for another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from ebbtide.alerts.retries import ATTEMPTS_MAX, next_pause
from ebbtide.alerts.transport import Transport
from ebbtide.domain.alert import Delivery
from ebbtide.domain.errors import EbbtideError
from ebbtide.store.state.outbox import Attempt, Ending, Outbox

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
REST_S = 30.0  # after the store could not be asked
STOP_S = 2.0  # an attempt that takes longer is made again by the next process
LEASE = timedelta(minutes=2)  # much longer than an attempt may take


class Sender:
    """Makes attempts as they fall due, as long as the server lives."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        clock: Callable[[], datetime],
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Make it ready; it does nothing by itself before :meth:`start`.

        Args:
            clock: one that all processes on the state store share.
        """
        self.transport = transport
        self._outbox = outbox
        self._clock = clock
        self._look_every_s = look_every_s
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Thread] = {}  # by channel
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ebbtide-sender", daemon=True)

    def now(self) -> datetime:
        """The moment by the clock that the outbox goes by."""
        return self._clock()

    def start(self) -> None:
        """Begin to look into the outbox every now and then."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; attempts under way get a moment to end."""
        self._stopping.set()
        with self._lock:
            threads = list(self._busy.values())
        for thread in threads:
            thread.join(STOP_S)
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def tick(self) -> list[threading.Thread]:
        """Begin with every channel that has something due and is not busy.

        Returns:
            The threads at work, and those begun now that have come to their end already.

        Raises:
            StoreUnavailable: the outbox cannot be looked into.
        """
        begun = []
        for channel_id in self._outbox.due_channels(self._clock()):
            with self._lock:
                if self._stopping.is_set() or channel_id in self._busy:
                    continue
                thread = threading.Thread(
                    target=self._empty,
                    args=(channel_id,),
                    name=f"ebbtide-channel-{channel_id}",
                    daemon=True,  # a receiver that hangs must not hold up the end of the process
                )
                self._busy[channel_id] = thread
            thread.start()
            begun.append(thread)
        with self._lock:
            return begun + [thread for thread in self._busy.values() if thread not in begun]

    def try_now(self, delivery_id: str) -> Delivery:
        """Make an attempt at one delivery and wait for its end, unless one is under way.

        Returns:
            The delivery as it stands then.
        """
        attempt = self._outbox.begin(self._clock(), LEASE, ATTEMPTS_MAX, delivery_id=delivery_id)
        if attempt is not None:
            self._make(attempt)
        return self._outbox.get(delivery_id)

    def _empty(self, channel_id: str) -> None:
        try:
            while not self._stopping.is_set():
                attempt = self._outbox.begin(
                    self._clock(), LEASE, ATTEMPTS_MAX, channel_id=channel_id
                )
                if attempt is None:
                    return
                self._make(attempt)
        except EbbtideError as error:
            # What is not written down is tried again, under the same id.
            log.error("alerts.outbox_failed", code=error.code, detail=str(error))
        finally:
            with self._lock:
                del self._busy[channel_id]

    def _make(self, attempt: Attempt) -> None:
        delivery = attempt.delivery
        result = self.transport.deliver(attempt.channel, delivery, self._clock())
        now, next_at = self._clock(), None
        if result.reason is not None and not result.is_final:
            pause = next_pause(delivery.delivery_id, delivery.num_attempts, result.retry_after_s)
            next_at = None if pause is None else now + pause
        self._outbox.end(attempt, Ending(now, result.reason, next_at, disables=result.is_gone))
        if result.reason is not None:
            log.warning(
                "alerts.not_delivered",
                delivery_id=delivery.delivery_id,
                channel=attempt.channel.name,
                reason=result.reason,
                attempt=delivery.num_attempts,
                is_given_up=next_at is None,
            )

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            wait_s = self._look_every_s
            try:
                self.tick()
            except EbbtideError as error:
                log.error("alerts.cannot_look", code=error.code, detail=str(error))
                wait_s = REST_S
