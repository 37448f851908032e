"""Counts what became of every event handed to an emitter."""

from __future__ import annotations

import threading
from typing import NamedTuple


class EmitterStats(NamedTuple):
    """Counts since the emitter was made (in a forked child: since the fork).

    They add up at any moment: ``emitted = invalid + queued + sent + dropped`` and
    ``sent = stored + duplicate + conflict + quarantined + refused``.
    """

    emitted: int  #: calls to emit, and events given to emit_many
    invalid: int  #: not taken, because the event has no JSON form (a naive time, NaN)
    queued: int  #: waiting or on their way now
    sent: int  #: the server answered for them
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    refused: int  #: by the server: the key may not write for that tenant
    dropped: int  #: no answer: the queue was full, retries ran out, or the request was refused
    retries: int  #: repeated requests
    last_error: str | None  #: newest failure in words, without payload and key


class Counters:
    """The numbers behind the stats, changed from several threads."""

    NAMES = (
        "emitted",
        "invalid",
        "stored",
        "duplicate",
        "conflict",
        "quarantined",
        "refused",
        "dropped",
    )

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may emit while its thread counts
        self._numbers = dict.fromkeys(self.NAMES, 0)

    def add(self, name: str, number: int = 1) -> None:
        """Count ``number`` more under ``name``."""
        with self._lock:
            self._numbers[name] += number

    def snapshot(self, *, retries: int, last_error: str | None) -> EmitterStats:
        """All numbers of one moment."""
        with self._lock:
            n = dict(self._numbers)
        sent = sum(n[w] for w in ("stored", "duplicate", "conflict", "quarantined", "refused"))
        return EmitterStats(
            **n,
            queued=n["emitted"] - n["invalid"] - sent - n["dropped"],
            sent=sent,
            retries=retries,
            last_error=last_error,
        )
