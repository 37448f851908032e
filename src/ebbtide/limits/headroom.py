"""Rate limits of LLM providers, as their answers tell them: ``x-ratelimit-*`` in the metadata."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ebbtide.domain.resource import RESOURCE_MAX_CHARS, Origin, ResourceSample
from ebbtide.store.events.base import EventStore

#: Header names of either form, such as ``x-ratelimit-remaining-tokens``.
_FORMS = (
    re.compile(r"x-ratelimit-(?P<word>limit|remaining)-(?P<what>[a-z-]{1,30})"),
    re.compile(r"anthropic-ratelimit-(?P<what>[a-z-]{1,30})-(?P<word>limit|remaining)"),
)
#: Where producers put the headers of an answer: beside the other metadata, or in an object.
_PLACES = ("headers", "response_headers", "ratelimit")

_SQL = """
SELECT timestamp, model, metadata FROM events
WHERE event_type = 'LLM_CALL_MADE' AND timestamp > :since AND timestamp <= :as_of
  AND metadata LIKE :pattern
"""


def read_headroom(events: EventStore, since: datetime, as_of: datetime) -> list[ResourceSample]:
    """The fullest moment of each rate limit in ``(since, as_of]``, by model and kind.

    Raises:
        StoreUnavailable: the event store does not answer.
    """
    fullest: dict[str, ResourceSample] = {}
    for at, model, text in events.query(_SQL, _within(since, as_of)):
        metadata = json.loads(text)
        for what, (limit, remaining) in rate_limits(metadata).items():
            name = f"llm_{what.replace('-', '_')}/{model or 'unknown'}"[:RESOURCE_MAX_CHARS]
            used = max(0.0, limit - remaining)
            sample = ResourceSample(name, at, used, limit, what, Origin.EVENT)
            known = fullest.get(name)
            if known is None or used / limit > (known.saturation or 0.0):
                fullest[name] = sample
    return [fullest[name] for name in sorted(fullest)]


def _within(since: datetime, as_of: datetime) -> dict[str, Any]:
    return {"since": since, "as_of": as_of, "pattern": "%ratelimit%"}


def rate_limits(metadata: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Limit and what remains of it, by kind (requests, tokens); empty when nothing is said."""
    found: dict[str, dict[str, float]] = {}
    for name, value in _headers(metadata):
        for form in _FORMS:
            match = form.fullmatch(name)
            number = _number(value) if match else None
            if match and number is not None:
                found.setdefault(match["what"], {})[match["word"]] = number
    return {
        what: (one["limit"], one["remaining"])
        for what, one in found.items()
        if one.get("limit", 0) > 0 and "remaining" in one
    }


def _headers(metadata: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for place in (metadata, *(metadata.get(name) for name in _PLACES)):
        if isinstance(place, Mapping):
            yield from ((name.lower().replace("_", "-"), value) for name, value in place.items())


def _number(value: Any) -> float | None:
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) and number >= 0 else None
