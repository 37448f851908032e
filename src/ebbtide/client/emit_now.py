"""Sends events at once and waits for the server's word on each; for scripts and the CLI."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ebbtide.client.delivery import Delivery
from ebbtide.client.emitter import BATCH_BYTES, utc_now
from ebbtide.client.encode import EncodedEvent, encode_event
from ebbtide.client.errors import DeliveryFailed, InvalidEvent
from ebbtide.client.result import DROPPED, EventResult
from ebbtide.client.secret import Secret
from ebbtide.client.transport import Transport


def emit_now(
    url: str,
    api_key: str | None,
    events: Sequence[Mapping[str, Any]],
    *,
    tenant_id: str | UUID | None = None,
    source: str | None = None,
    batch_size: int = 100,
    timeout_s: float = 10.0,
    max_retries: int = 3,
    proxy: str | None = None,
    ca_file: str | None = None,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> list[EventResult]:
    """Send events and return what became of each.

    Args:
        url: address of the server.
        api_key: a key with the scope ``ingest``; None sends none.
        events: fields by name, as in the server's JSON. An event without ``event_id`` or
            ``timestamp`` gets a UUIDv7 and the present moment before the first attempt.
        tenant_id, source: for events that name none.
        batch_size: events in one request at most.
        timeout_s: for one request.
        max_retries: repeats of one request, with the same ids.

    Returns:
        One result per event in the same order; empty when there were no events.

    Raises:
        InvalidEvent: an event cannot be written as JSON; nothing was sent.
        EmitterSettingsError: the address or the key cannot be used; nothing was sent.
        DeliveryFailed: a request failed for good. Later events were not tried; ``results``
            says what became of each.
    """
    encoded = []
    for number, fields in enumerate(events, start=1):
        try:
            encoded.append(encode_event(fields, clock=clock, tenant_id=tenant_id, source=source))
        except InvalidEvent as error:
            raise InvalidEvent(f"event {number}: {error}") from error
    secret = None if api_key is None else Secret(api_key)
    transport = Transport(url, secret, proxy=proxy, ca_file=ca_file)
    delivery = Delivery(
        transport,
        timeout_s=timeout_s,
        max_retries=max_retries,
        on_retry=lambda problem: None,
        jitter=jitter,
    )
    patience = _Unhurried(sleep)
    results: list[EventResult] = []
    try:
        for batch in _batches(encoded, batch_size):
            results += delivery.deliver(batch, patience)
            if any(result.result == DROPPED for result in results[-len(batch) :]):
                problem = delivery.last_error or "no answer"
                untried = encoded[len(results) :]
                results += [EventResult(e.event_id, DROPPED, "not tried") for e in untried]
                raise DeliveryFailed(problem, results=results, status=delivery.last_status)
    finally:
        transport.close()
    return results


class _Unhurried:
    """Waits out every pause; only the number of retries ends the attempts."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep

    def time_left_s(self) -> float | None:
        return None

    def pause(self, seconds: float, *, asked_by_server: bool) -> bool:
        self._sleep(seconds)
        return True


def _batches(events: Sequence[EncodedEvent], batch_size: int) -> Iterator[list[EncodedEvent]]:
    """Cut a list by number and by bytes, keeping its order."""
    batch: list[EncodedEvent] = []
    size = 0
    for event in events:
        if batch and (len(batch) >= batch_size or size + len(event.body) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event.body)
    if batch:
        yield batch
