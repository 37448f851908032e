"""Writes one event as compact JSON: numbers exact, moments with an offset, nothing guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from math import isfinite
from numbers import Integral, Real
from typing import Any, NamedTuple
from uuid import UUID

from ebbtide.client.errors import InvalidEvent
from ebbtide.client.uuid7 import uuid7

COST_CHARS_MAX = 40  # the longest amount that the server reads as text
DEPTH_MAX = 100  # deeper is a cycle or a mistake, and would end in a RecursionError

_FIELDS = (
    "event_id",
    "timestamp",
    "tenant_id",
    "user_id",
    "session_id",
    "event_type",
    "entity_type",
    "entity_id",
    "severity",
    "latency_ms",
    "cost_usd",
    "source",
    "metadata",
)


class EncodedEvent(NamedTuple):
    """An event ready to send. It is text already, so the caller may change its objects."""

    event_id: str
    body: bytes


def encode_event(
    fields: Mapping[str, Any],
    *,
    clock: Callable[[], datetime],
    tenant_id: str | UUID | None = None,
    source: str | None = None,
) -> EncodedEvent:
    """Write an event down, with an id and a time of its own when it brings none.

    The id is made here and not by the server, so that every retry carries the same one.
    Only what JSON cannot say is refused; whether the event is valid is the server's to judge.

    Args:
        fields: the fields of an event by name; None means absent. Other names are sent as
            they are (the server quarantines what it does not know, and loses nothing).
        clock: gives the present moment, UTC-aware.
        tenant_id: used when the event names none.
        source: used when the event names none.

    Raises:
        InvalidEvent: a naive time, NaN, or a value that has no JSON form; the message names
            the field and never the value.
    """
    known = dict(fields)
    if known.get("timestamp") is None:
        known["timestamp"] = clock()
    if known.get("tenant_id") is None:
        known["tenant_id"] = tenant_id
    if known.get("source") is None:
        known["source"] = source
    event_id = known.get("event_id")
    if event_id is None:
        event_id = uuid7(clock())
    if not isinstance(event_id, str | UUID):
        raise InvalidEvent("event_id must be text or a UUID")
    known["event_id"] = event_id = str(event_id)

    known["cost_usd"] = _exact(known.get("cost_usd"))

    ordered = {name: known.pop(name, None) for name in _FIELDS} | known
    body = _write({k: v for k, v in ordered.items() if v is not None}, "", 0)
    # Half a surrogate pair is no UTF-8, and Python's escape for it happens to be JSON's. The
    # server says what it thinks of such text; here it must not cost the event.
    return EncodedEvent(event_id, body.encode("utf-8", "backslashreplace"))


def _exact(cost: Any) -> Any:
    """An amount with more digits than a double holds, as text, which the server takes exactly.

    JSON readers commonly make doubles of numbers. Texts longer than the server reads stay
    numbers: it rounds those, as it would have had to round the text.
    """
    if isinstance(cost, Decimal) and cost.is_finite() and len(str(cost)) <= COST_CHARS_MAX:
        return cost if Decimal(repr(float(cost))) == cost else str(cost)
    return cost


def _write(value: Any, path: str, depth: int) -> str:
    """JSON text of one value; ``path`` names it in messages."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, Enum):
        return _write(value.value, path, depth + 1)
    if isinstance(value, int):
        return _write_integer(value, path)
    if isinstance(value, float):
        return _write_float(value, path)
    if depth > DEPTH_MAX:
        raise InvalidEvent(f"{_shorten(path)} is nested more than {DEPTH_MAX} levels deep")
    if isinstance(value, Mapping):
        return _write_object(value, path, depth)
    if isinstance(value, list | tuple):
        items = (_write(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value))
        return "[" + ",".join(items) + "]"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise InvalidEvent(f"{_shorten(path)} is not a finite number")
        return str(value)  # the digits as given: a float between here and the store would round
    if isinstance(value, datetime):
        return _write_moment(value, path)
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    if isinstance(value, UUID):
        return f'"{value}"'
    # Numbers of other libraries register here, so that none of them has to be imported.
    if isinstance(value, Integral):
        return _write_integer(int(value), path)
    if isinstance(value, Real):
        return _write_float(float(value), path)
    raise InvalidEvent(f"{_shorten(path)} is a {type(value).__name__}, which has no JSON form")


def _write_object(value: Mapping[Any, Any], path: str, depth: int) -> str:
    parts = []
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidEvent(f"{_shorten(path or 'event')} has a key that is not text")
        inner = f"{path}.{key}" if path else key
        parts.append(f"{encode_basestring(key)}:{_write(item, inner, depth + 1)}")
    return "{" + ",".join(parts) + "}"


def _write_integer(value: int, path: str) -> str:
    try:
        return int.__repr__(value)  # a subclass may print itself otherwise
    except ValueError as error:  # Python refuses to write more than some thousand digits
        raise InvalidEvent(f"{_shorten(path)} has too many digits") from error


def _write_float(value: float, path: str) -> str:
    if not isfinite(value):
        raise InvalidEvent(f"{_shorten(path)} is not a finite number")
    return float.__repr__(value)


def _write_moment(value: datetime, path: str) -> str:
    if value.utcoffset() is None:
        raise InvalidEvent(
            f"{_shorten(path)} names no time zone; use datetime.now(UTC) or add tzinfo"
        )
    try:
        return f'"{value.astimezone(UTC).isoformat()[:-6]}Z"'
    except OverflowError as error:
        raise InvalidEvent(f"{_shorten(path)} does not exist in UTC") from error


def _shorten(path: str) -> str:
    return path if len(path) <= 100 else path[:97] + "..."
