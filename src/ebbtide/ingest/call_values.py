"""Values of a reported call, taken as they should be or left unknown; never a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.time import EPOCH, parse_instant
from ebbtide.ingest.validate import exact_cost

COUNT_MAX = 2**31 - 1
_NANOSECONDS = 10**9
_END_S = 253_402_300_000  # the end of the year 9999


class UnreadCall(NamedTuple):
    """A report that is no call; it waits in quarantine, without what was said in it."""

    reason: str
    raw: bytes
    tenant_id: str | None = None


class CallFault(Exception):
    """A report cannot be a call; the text is the reason that quarantine shows."""


def text_of(value: Any, max_chars: int = ID_MAX_CHARS) -> str | None:
    """A text that is not empty and can be stored; whole numbers become their digits."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    return value if len(value) <= max_chars else None


def count_of(value: Any) -> int | None:
    """A number of something, also as text or as 12.0."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 12:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= COUNT_MAX else None


def cost_of(value: Any) -> Decimal | None:
    """An amount of money, exact."""
    cost = exact_cost(value)
    return cost if cost is not None and cost >= 0 else None


def instant_of(value: Any) -> datetime | None:
    """A moment: ISO 8601 with its offset, or seconds since 1970."""
    if isinstance(value, str):
        try:
            return _in_range(parse_instant(value))
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        # Of a float the microseconds are all that is exact.
        return instant_of_ns(round(value * 10**6) * 1000)
    return None


def instant_of_ns(value: int) -> datetime | None:
    """A moment in nanoseconds since 1970; what is below a microsecond is cut off."""
    seconds, rest = divmod(value, _NANOSECONDS)
    if not 0 < seconds < _END_S:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def object_of(value: Any) -> dict[str, Any] | None:
    """An object, also as JSON text."""
    value = json_of(value)
    return value if isinstance(value, dict) else None


def json_of(value: Any) -> Any:
    """A value, or what it holds when it is JSON text of an object or a list."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def without_content(report: Mapping[str, Any], *names: str) -> bytes:
    """A report as quarantine may keep it: without what was said, which nobody agreed to keep."""
    try:
        return msgspec.json.encode(
            {name: value for name, value in report.items() if name not in names}
        )
    except (TypeError, ValueError, RecursionError):
        return b"{}"


def _in_range(moment: datetime) -> datetime | None:
    return moment if moment >= EPOCH else None
