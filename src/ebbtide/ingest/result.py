"""What became of one record of a request."""

from __future__ import annotations

from typing import NamedTuple

from ebbtide.domain.event import Outcome


class Result(NamedTuple):
    """The answer for one record; ``event_id`` is None when none could be read."""

    event_id: str | None
    outcome: Outcome
    reason: str | None
