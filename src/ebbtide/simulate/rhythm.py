"""The clock of the sample company: when in the day and week people and programs are busy."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from ebbtide.domain.time import EPOCH
from ebbtide.simulate.draws import Draws, Weighted

# All moments in this room are whole microseconds since 1970, which add and compare exactly.
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

_hour_weights = (2, 1, 1, 1, 1, 2, 4, 7, 11, 14, 15, 14, 12, 13, 15, 14, 12, 9, 7, 5, 4, 4, 3, 2)
_office_weights = (0, 0, 0, 0, 0, 0, 0, 1, 6, 11, 13, 12, 7, 9, 13, 12, 9, 5, 2, 1, 0, 0, 0, 0)

#: Local hour of a proxied call: busiest in the day, never quite still.
CALL_HOUR = Weighted(dict(enumerate(_hour_weights)))
#: Local hour at which someone opens the console.
OFFICE_HOUR = Weighted(dict(enumerate(_office_weights)))

#: Share of a full working day, Monday to Sunday.
CALL_WEEK = (1.0, 1.05, 1.05, 1.0, 0.95, 0.4, 0.35)
OFFICE_WEEK = (1.0, 1.05, 1.05, 1.0, 0.9, 0.2, 0.15)


def to_us(moment: datetime) -> int:
    """Whole microseconds since 1970 of a moment with a time zone."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def floor_day(moment_us: int) -> int:
    """The last 00:00 UTC at or before a moment."""
    return moment_us - moment_us % DAY_US


def weekday(moment_us: int) -> int:
    """Day of the week in UTC, 0 for Monday."""
    return (moment_us // DAY_US + 3) % 7  # 1970-01-01 was a Thursday


def moment_within(draws: Draws, day_us: int, hours: Weighted[int], zone_hours: int) -> int:
    """A moment of a UTC day, spread over local hours of a place so many hours east of UTC."""
    hour = (hours.at(draws.unit()) - zone_hours) % 24
    return day_us + hour * HOUR_US + int(draws.unit() * HOUR_US)


_MINUTE_TEXT = tuple(f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60))


@lru_cache(maxsize=64)
def _day_text(day: int) -> str:
    return (EPOCH + timedelta(days=day)).strftime("%Y-%m-%dT")


def instant_text(moment_us: int) -> str:
    """ISO 8601 in UTC with six decimals always, so that text order is time order.

    Example:
        >>> instant_text(1_700_000_000_000_005)
        '2023-11-14T22:13:20.000005Z'
    """
    day, of_day = divmod(moment_us, DAY_US)
    minute, of_minute = divmod(of_day, MINUTE_US)
    return "%s%s%02d.%06dZ" % (  # noqa: UP031 - once an event: half the time of an f-string
        _day_text(day),
        _MINUTE_TEXT[minute],
        of_minute // SECOND_US,
        of_minute % SECOND_US,
    )


def event_id(moment_us: int, random_bits: int) -> str:
    """A UUID of version 7: milliseconds first, then 74 random bits.

    Example:
        >>> event_id(1_700_000_000_000_005, 1)
        '018bcfe5-6800-7000-8000-000000000001'
    """
    ms = moment_us // 1000
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - once an event, as above
        ms >> 16,
        ms & 0xFFFF,
        random_bits >> 62,
        0x8000 | random_bits >> 48 & 0x3FFF,
        random_bits & 0xFFFFFFFFFFFF,
    )
