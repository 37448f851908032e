"""Sends an application's events to Ebbtide in the background, without ever getting in its way."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from ebbtide.client.encode import EncodedEvent, encode_event
from ebbtide.client.errors import (
    DeliveryFailed,
    EmitterClosed,
    EmitterSettingsError,
    InvalidEvent,
    QueueFull,
)
from ebbtide.client.event_queue import EventQueue, Put
from ebbtide.client.quiet_log import QuietLog
from ebbtide.client.result import DROPPED, EventResult
from ebbtide.client.secret import Secret
from ebbtide.client.stats import Counters, EmitterStats
from ebbtide.client.typed_methods import TypedMethods

if TYPE_CHECKING:
    from ebbtide.client.delivery import Delivery

DEFAULT_URL = "http://127.0.0.1:8321"
API_KEY_VARIABLE = "EBBTIDE_API_KEY"
BATCH_BYTES = 1_000_000  # a fifth of what the server takes in one request
QUEUE_BYTES = 64 * 2**20  # bounds memory when single events are large

logger = logging.getLogger("ebbtide.client")


def utc_now() -> datetime:
    """The present moment: an event without a timestamp happened when it was emitted."""
    return datetime.now(UTC)


class Emitter(TypedMethods):
    """Queues events and sends them in batches from one background thread.

    Make one per process and keep it. No call here raises into the application or waits for
    the network, unless it was asked to (``raise_errors``, ``on_full="block"``, ``flush``,
    ``close``). Every event has an id before its first attempt, so a repeated attempt stores
    nothing twice. What waits in the queue lives in memory only: it is sent at a normal exit of
    the interpreter, and lost when the process is killed.

    Example:
        >>> from ebbtide import Emitter
        >>> emitter = Emitter(api_key="...", tenant_id="acme")      # doctest: +SKIP
        >>> emitter.export_generated(incident_id="inc_7", format="pdf")  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        tenant_id: str | UUID | None = None,
        source: str | None = None,
        *,
        batch_size: int = 100,
        flush_interval_s: float = 1.0,
        max_queue: int = 10_000,
        on_full: Literal["drop", "block"] = "drop",
        block_s: float = 0.1,
        timeout_s: float = 10.0,
        max_retries: int = 20,
        exit_timeout_s: float = 5.0,
        gzip_min_bytes: int = 1024,
        proxy: str | None = None,
        ca_file: str | None = None,
        raise_errors: bool = False,
        on_result: Callable[[EventResult], None] | None = None,
        on_drop: Callable[[dict[str, Any], str], None] | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Set up an emitter; nothing is sent and no thread runs before the first event.

        Args:
            url: address of the server.
            api_key: a key with the scope ``ingest``; None reads ``EBBTIDE_API_KEY``.
            tenant_id: for events that name no tenant of their own.
            source: says which program sent the events; None leaves it to the server.
            batch_size: events in one request at most.
            flush_interval_s: how long an event may wait for others to travel with.
            max_queue: events in memory at most (their text never takes more than 64 MiB).
            on_full: what happens to a new event when the queue is full: ``drop`` counts and
                forgets it, ``block`` first waits up to ``block_s`` seconds for room.
            timeout_s: for one request, answer included.
            max_retries: repeats of one request after a failure that may pass (no connection,
                408, 429, 5xx). The pauses grow from 0.2 s to 60 s: 20 make about 10 minutes.
            exit_timeout_s: how long the end of the program waits for the rest to be sent.
            gzip_min_bytes: request bodies from this size on are compressed.
            proxy: ``http://host:port`` to go through; proxies of the environment are ignored.
            ca_file: a file of certificates to trust beside those of the system.
            raise_errors: raise instead of counting and logging: unusable settings here,
                an event that is not taken from ``emit``, lost events from ``flush``.
            on_result: called in the background with the server's result for each event.
            on_drop: called with an event's fields and the reason when it is given up; keep
                them and give them to ``emit_many`` later, their ids make that safe.
            clock: the present moment, UTC-aware.
            sleep: replaces the pause between two attempts (for tests); the default can be
                cut short by ``close``.

        Raises:
            EmitterSettingsError: only with ``raise_errors``. Without it an emitter that
                cannot work says so in the log once, and drops and counts every event.
        """
        self._tenant_id = tenant_id
        self._source = source
        self._block_s = block_s if on_full == "block" else 0.0
        self._exit_timeout_s = exit_timeout_s
        self._raise_errors = raise_errors
        self._on_result = on_result
        self._on_drop = on_drop
        self._clock = clock
        self._sleep = sleep
        self._log = QuietLog(logger)
        if api_key is None:
            api_key = os.environ.get(API_KEY_VARIABLE) or None
        self._api_key = None if api_key is None else Secret(api_key)
        self._address = "unusable"
        self._settings_error: EmitterSettingsError | None = None

        def new_queue() -> EventQueue:
            return EventQueue(
                max_events=max_queue,
                max_bytes=QUEUE_BYTES,
                batch_size=batch_size,
                batch_bytes=BATCH_BYTES,
                flush_interval_s=flush_interval_s,
            )

        self._new_queue = new_queue
        self._start_empty()
        try:
            _check_settings(
                batch_size=batch_size,
                flush_interval_s=flush_interval_s,
                max_queue=max_queue,
                on_full=on_full,
                block_s=block_s,
                timeout_s=timeout_s,
                max_retries=max_retries,
                exit_timeout_s=exit_timeout_s,
            )
            # Imported with the first emitter and not with the module: HTTP and TLS cost more
            # than all the rest, and an application may import us without emitting.
            from ebbtide.client.delivery import Delivery
            from ebbtide.client.transport import Transport

            transport = Transport(
                url,
                self._api_key,
                proxy=proxy,
                ca_file=ca_file,
                gzip_min_bytes=gzip_min_bytes,
            )
            self._address = transport.address
            self._delivery: Delivery | None = Delivery(
                transport, timeout_s=timeout_s, max_retries=max_retries, on_retry=self._note_retry
            )
        except EmitterSettingsError as error:
            if raise_errors:
                raise
            self._delivery = None
            self._settings_error = error
            logger.error("ebbtide: no event will be sent: %s", error)
        _live.add(self)

    def _start_empty(self) -> None:
        """The state of a fresh process: nothing queued, nothing counted, no thread."""
        self._queue = self._new_queue()
        self._counters = Counters()
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.RLock()
        self._sending = threading.RLock()  # the delivery serves one thread at a time

    # ------------------------------------------------------------------ taking events

    def emit(
        self,
        event_type: str,
        tenant_id: str | UUID | None = None,
        *,
        timestamp: datetime | str | None = None,
        event_id: str | UUID | None = None,
        user_id: str | UUID | None = None,
        session_id: str | UUID | None = None,
        entity_type: str | None = None,
        entity_id: str | UUID | None = None,
        severity: int | None = None,
        latency_ms: int | None = None,
        cost_usd: Decimal | float | int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Queue one event.

        Whether it is valid is decided by the server: a wrong one is quarantined there, with a
        reason, and nothing is lost.

        Args:
            event_type: such as ``EXPORT_GENERATED``.
            tenant_id: the customer it belongs to; None takes the emitter's.
            timestamp: when it happened, with a time zone; None means now.
            event_id: give one when you may emit the same fact twice; None makes a UUIDv7.
            severity: 1 to 5.
            latency_ms: whole milliseconds.
            cost_usd: a Decimal keeps its digits all the way into the store.
            metadata: JSON-like values; Decimal, datetime and UUID are understood too.

        Returns:
            The event's id, or None when it was not taken (see ``stats``).

        Raises:
            InvalidEvent, QueueFull, EmitterClosed, EmitterSettingsError: only with
                ``raise_errors``.
        """
        return self._accept(
            {
                "event_type": event_type,
                "tenant_id": tenant_id,
                "timestamp": timestamp,
                "event_id": event_id,
                "user_id": user_id,
                "session_id": session_id,
                "entity_type": entity_type,
                "entity_id": entity_id,
                "severity": severity,
                "latency_ms": latency_ms,
                "cost_usd": cost_usd,
                "metadata": metadata,
            }
        )

    def emit_many(self, events: Iterable[Mapping[str, Any]]) -> list[str | None]:
        """Queue several events, each a mapping with the names of ``emit`` (and ``source``).

        Returns:
            One id per event in the same order; None for an event that was not taken.
        """
        return [self._accept(event) for event in events]

    def _accept(self, fields: Mapping[str, Any]) -> str | None:
        self._counters.add("emitted")
        try:
            event = encode_event(
                fields, clock=self._clock, tenant_id=self._tenant_id, source=self._source
            )
        except Exception as error:
            # Whatever a mapping, a number or a time zone of the application raises while we
            # read it: telling our caller's caller is not worth an outage of theirs.
            self._counters.add("invalid")
            why = str(error) if isinstance(error, InvalidEvent) else type(error).__name__
            if self._raise_errors:
                raise InvalidEvent(why) from error
            self._log.warning("invalid", f"an event was not taken: {why}")
            return None
        if self._settings_error is not None:
            self._lose([event], "unusable settings")
            if self._raise_errors:
                raise self._settings_error
            return None
        # The sender must never wait for itself.
        block_s = 0.0 if threading.current_thread() is self._thread else self._block_s
        put = self._queue.put(event, block_s)
        if put is Put.TAKEN:
            self._ensure_thread()
            return event.event_id
        reason = "the queue is full" if put is Put.FULL else "the emitter is closed"
        self._lose([event], reason)
        if self._raise_errors:
            raise QueueFull(reason) if put is Put.FULL else EmitterClosed(reason)
        return None

    # ------------------------------------------------------------------ sending

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._thread_lock:
            if self._thread is not None and self._thread.is_alive():
                return
            thread = threading.Thread(target=self._send_all, name="ebbtide-emitter", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # No more threads, or the interpreter is ending. The event stays queued: the
                # next emit tries again, and close sends what is left from its own thread.
                self._log.warning("thread", "the sending thread could not be started")
                return
            self._thread = thread

    def _send_all(self) -> None:
        """Send batch after batch until the queue is closed and empty."""
        delivery = self._delivery
        assert delivery is not None
        with self._sending:
            while (batch := self._queue.take_batch()) is not None:
                try:
                    results = delivery.deliver(batch, self)
                except Exception as error:
                    # A fault of ours must cost one batch, not the thread and all that follow.
                    problem = delivery.last_error = f"fault in the client: {type(error).__name__}"
                    results = [EventResult(event.event_id, DROPPED, problem) for event in batch]
                self._settle(batch, results)
            delivery.close()

    def time_left_s(self) -> float | None:
        """Seconds left for sending; None while the emitter is open."""
        return self._queue.time_left_s()

    def pause(self, seconds: float, *, asked_by_server: bool) -> bool:
        """Wait before a repeated request; used by the delivery."""
        if self._sleep is None:
            return self._queue.pause(seconds, asked_by_server=asked_by_server)
        self._sleep(seconds)
        return self._queue.pause(0.0, asked_by_server=asked_by_server)

    def _note_retry(self, problem: str) -> None:
        self._log.warning("retry", f"events wait, will try again: {problem}")

    def _settle(self, batch: list[EncodedEvent], results: list[EventResult]) -> None:
        if not self._queue.claim(lambda: self._count(results)):
            return  # close ran out of time and has counted this batch as dropped
        answered = [result for result in results if result.result != DROPPED]
        self._warn_of(answered)
        for result in answered:
            self._call(self._on_result, result)
        lost: dict[str, list[EncodedEvent]] = {}
        for event, result in zip(batch, results, strict=True):
            if result.result == DROPPED:
                lost.setdefault(result.reason or "", []).append(event)
        for reason, events in lost.items():
            self._report_loss(events, reason)
        self._queue.settle(len(batch))

    def _count(self, results: list[EventResult]) -> None:
        for result in results:
            self._counters.add(result.result)

    def _warn_of(self, answered: list[EventResult]) -> None:
        for word in ("conflict", "quarantined", "refused"):
            reasons = [r.reason or "no reason given" for r in answered if r.result == word]
            if reasons:
                listed = ", ".join(f"{n} x {why}" for why, n in Counter(reasons).items())
                logger.warning("events %s: %s", word, listed)

    def _lose(self, events: list[EncodedEvent], reason: str) -> None:
        self._counters.add("dropped", len(events))
        self._report_loss(events, reason)

    def _report_loss(self, events: list[EncodedEvent], reason: str) -> None:
        self._log.warning(f"drop {reason}", f"events dropped: {len(events)} x {reason}")
        if self._on_drop is not None:
            import json

            for event in events:
                self._call(self._on_drop, json.loads(event.body), reason)

    def _call(self, callback: Callable[..., None] | None, *arguments: Any) -> None:
        if callback is None:
            return
        try:
            callback(*arguments)
        except Exception as error:
            # The application's own fault, in our thread: it must not stop the sending.
            self._log.warning("callback", f"a callback raised {type(error).__name__}")

    # ------------------------------------------------------------------ ending

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Send everything emitted before this call now, and wait for the answers.

        Returns:
            True when the server answered for each of those events; False when the time ran
            out, some were dropped, or it was called from a callback.

        Raises:
            DeliveryFailed: only with ``raise_errors``, when events were dropped meanwhile.
        """
        if self._settings_error is not None or threading.current_thread() is self._thread:
            return False
        dropped_before = self.stats.dropped
        is_settled = self._queue.wait_settled(timeout_s)
        num_dropped = self.stats.dropped - dropped_before
        if num_dropped and self._raise_errors:
            delivery = self._delivery
            raise DeliveryFailed(
                f"events dropped: {num_dropped} x {self.stats.last_error}",
                status=None if delivery is None else delivery.last_status,
            )
        return is_settled and not num_dropped

    def close(self, timeout_s: float | None = None) -> bool:
        """Send what is queued and stop; a second call does nothing more.

        Args:
            timeout_s: how long it may take; None takes ``exit_timeout_s``. What is unsent
                then is dropped, counted and reported; a batch on its way may still arrive.

        Returns:
            True when no event was dropped meanwhile.
        """
        dropped_before = self.stats.dropped
        self._finish_close(time.monotonic() + self._begin_close(timeout_s))
        return self.stats.dropped == dropped_before

    def _begin_close(self, timeout_s: float | None = None) -> float:
        timeout_s = self._exit_timeout_s if timeout_s is None else timeout_s
        self._queue.close(timeout_s)
        return timeout_s

    def _finish_close(self, deadline: float) -> None:
        thread = self._thread
        if thread is not None and thread.is_alive():
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        elif self._delivery is not None:
            self._send_all()  # no thread was started, or none could be: empty the queue here
        if thread is threading.current_thread():
            return  # called from a callback: this thread sends the rest when it is back
        left = self._queue.abandon()
        if left:
            self._lose(left, "closed before the server answered")

    def __enter__(self) -> Emitter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ looking at it

    @property
    def stats(self) -> EmitterStats:
        """What became of the events so far."""
        delivery = self._delivery
        last_error = delivery.last_error if delivery is not None else str(self._settings_error)
        return self._counters.snapshot(
            retries=0 if delivery is None else delivery.retries,
            last_error=last_error,
        )

    def __repr__(self) -> str:
        num_queued = self.stats.queued
        return f"Emitter(url={self._address!r}, api_key={self._api_key}, queued={num_queued})"

    # ------------------------------------------------------------------ processes

    def _after_fork_in_child(self) -> None:
        # The parent's thread does not exist here, its locks may be held for ever, and its
        # queued events are its own to send: start like a fresh process.
        was_closed = self._queue.is_closed
        self._start_empty()
        if self._delivery is not None:
            self._delivery.renew()
        self._log = QuietLog(logger)
        if was_closed:
            self._queue.close(0.0)


_live: weakref.WeakSet[Emitter] = weakref.WeakSet()


def _close_all() -> None:
    """At the end of the program, send what is queued; all emitters share the waiting time."""
    emitters = list(_live)
    deadlines = [time.monotonic() + emitter._begin_close() for emitter in emitters]
    for emitter, deadline in zip(emitters, deadlines, strict=True):
        emitter._finish_close(deadline)


def _renew_all_after_fork() -> None:
    for emitter in list(_live):
        emitter._after_fork_in_child()


def _check_settings(on_full: str, **numbers: float) -> None:
    if on_full not in ("drop", "block"):
        raise EmitterSettingsError('on_full must be "drop" or "block"')
    for name, number in numbers.items():
        least = 1 if name in ("batch_size", "max_queue") else 0
        if isinstance(number, bool) or not isinstance(number, int | float) or number < least:
            raise EmitterSettingsError(f"{name} must be a number of at least {least}")
    if numbers["timeout_s"] == 0:
        raise EmitterSettingsError("timeout_s must be more than 0")


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew_all_after_fork)
