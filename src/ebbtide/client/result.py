"""What became of one event, in the server's words or in the client's own."""

from __future__ import annotations

from typing import NamedTuple

#: The words of the server; ``refused`` means the key may not write for that tenant.
SERVER_RESULTS = ("stored", "duplicate", "conflict", "quarantined", "refused")

#: The client's own word: the server never said what became of the event.
DROPPED = "dropped"


class EventResult(NamedTuple):
    """One event's fate. ``reason`` is None when there is nothing to explain."""

    event_id: str | None
    result: str
    reason: str | None = None
