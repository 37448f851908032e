"""What a door hands on for each record it read: its fields, or why there are none."""

from __future__ import annotations

from typing import Any, NamedTuple


class Incoming(NamedTuple):
    """One record of a request, before anybody judged whether it is an event.

    ``fields`` is our canonical JSON object for the validator, None when there is none and
    ``reason`` says why. ``raw`` is what quarantine keeps; empty when it is just ``fields``
    written as JSON.
    """

    fields: dict[str, Any] | None
    raw: bytes
    reason: str | None
