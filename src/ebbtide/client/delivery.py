"""Brings one batch to the server: the same ids on every attempt, halves of what is too large."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from ebbtide.client.encode import EncodedEvent
from ebbtide.client.result import DROPPED, SERVER_RESULTS, EventResult
from ebbtide.client.transport import Answer, Transport, TransportError

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 60.0
RETRY_AFTER_MAX_S = 300.0  # a server that asks for more is asked again after five minutes
REASON_CHARS_MAX = 200  # reasons come from outside and end up in logs


class Patience(Protocol):
    """How long the caller can wait; asked before each attempt and each pause."""

    def time_left_s(self) -> float | None:
        """Seconds for further attempts; None means no limit."""

    def pause(self, seconds: float, *, asked_by_server: bool) -> bool:
        """Wait before the next attempt; False means: do not try again."""


class Delivery:
    """Sends batches one after another and settles each event exactly once.

    Used by one thread at a time. ``retries`` counts repeated attempts, ``last_error`` is the
    newest failure in words without payload or key, ``last_status`` its HTTP status.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout_s: float,
        max_retries: int,
        on_retry: Callable[[str], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Set the limits.

        Args:
            timeout_s: for one attempt.
            max_retries: attempts after the first one, for each batch.
            on_retry: told before each pause why there is one.
            jitter: a number in [0, 1) that spreads the clients of a recovering server.
        """
        self._transport = transport
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        self._on_retry = on_retry
        self._jitter = jitter
        self.retries = 0
        self.last_error: str | None = None
        self.last_status: int | None = None

    def deliver(self, events: Sequence[EncodedEvent], patience: Patience) -> list[EventResult]:
        """Send a batch until the server has spoken for each event, or give up.

        Args:
            events: at least one.

        Returns:
            One result per event in the same order: the server's word, or ``dropped`` with
            the reason. An event dropped after a lost connection may still have been stored.
        """
        listed = b",".join(event.body for event in events)
        payload = self._transport.prepare(b'{"events":[' + listed + b"]}")
        attempt = 0
        while True:
            time_left_s = patience.time_left_s()
            if time_left_s is None:
                time_left_s = self._timeout_s
            if time_left_s <= 0:
                return _drop(events, "no time left to send")
            pause_s: float | None = None
            try:
                answer = self._transport.post(payload, min(self._timeout_s, time_left_s))
            except TransportError as error:
                problem = self._fail(str(error), None)
            else:
                results = self._read_results(answer, events) if answer.status == 200 else None
                if results is not None:
                    return results
                if answer.status == 413 and len(events) > 1:
                    middle = len(events) // 2
                    return self.deliver(events[:middle], patience) + self.deliver(
                        events[middle:], patience
                    )
                problem = self._fail(self._describe(answer), answer.status)
                if not _is_worth_a_retry(answer.status):
                    return _drop(events, problem)
                pause_s = answer.retry_after_s
            if attempt >= self._max_retries:
                return _drop(events, problem)
            self._on_retry(problem)
            asked = pause_s is not None
            if not patience.pause(self._next_pause_s(attempt, pause_s), asked_by_server=asked):
                return _drop(events, problem)
            attempt += 1
            self.retries += 1

    def renew(self) -> None:
        """Start like new, for a forked child: the connection it inherited is its parent's."""
        self._transport.close()  # closes this process's copy only, and writes nothing on it
        self.retries = 0
        self.last_error = None
        self.last_status = None

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _fail(self, problem: str, status: int | None) -> str:
        self.last_error, self.last_status = problem, status
        return problem

    def _next_pause_s(self, attempt: int, asked_s: float | None) -> float:
        # The exponent is capped before the power, so that many retries cannot overflow it.
        full_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, 20))
        own_s = full_s / 2 + full_s / 2 * self._jitter()
        if asked_s is None:
            return own_s
        # Never before the server wants it; the jitter keeps clients from coming back as one.
        return min(asked_s, RETRY_AFTER_MAX_S) + min(own_s, 1.0)

    def _read_results(
        self, answer: Answer, events: Sequence[EncodedEvent]
    ) -> list[EventResult] | None:
        """The server's results in request order; None when the body is something else."""
        try:
            listed = json.loads(answer.body)["results"]
            pairs = [(one["result"], one.get("reason")) for one in listed]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if len(pairs) != len(events) or any(word not in SERVER_RESULTS for word, _ in pairs):
            return None
        return [
            EventResult(event.event_id, word, None if reason is None else self._clean(str(reason)))
            for event, (word, reason) in zip(events, pairs, strict=True)
        ]

    def _describe(self, answer: Answer) -> str:
        """A refusal in words, with the server's own stable code when it gave one."""
        if answer.status == 200:
            return "HTTP 200, but the answer is not a list of results; is this an Ebbtide server?"
        if 300 <= answer.status <= 399:
            return f"HTTP {answer.status}: redirects are not followed; set url to the final address"
        try:
            body = json.loads(answer.body)
            code = body.get("code") or body.get("title")
        except (ValueError, AttributeError, RecursionError):
            code = None
        return f"HTTP {answer.status}" + (
            f" ({self._clean(code)})" if isinstance(code, str) else ""
        )

    def _clean(self, text: str) -> str:
        """A text from outside: without the key, on one line, and short, fit for a log."""
        text = self._transport.redact(text)  # before cutting, which could leave half of it
        shown = "".join(c if c.isprintable() else "?" for c in text[:REASON_CHARS_MAX])
        return shown if len(text) <= REASON_CHARS_MAX else shown + "..."


def _is_worth_a_retry(status: int) -> bool:
    # A 200 comes here only when its body was not a list of results: nothing is known then,
    # and the same ids make asking again harmless.
    return status in (200, 408, 429) or 500 <= status <= 599


def _drop(events: Sequence[EncodedEvent], reason: str) -> list[EventResult]:
    return [EventResult(event.event_id, DROPPED, reason) for event in events]
