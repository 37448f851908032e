"""Moments and windows: UTC, microseconds, half-open on the left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 moment with an offset; digits below a microsecond are cut off.

    Args:
        text: such as ``2026-03-12T08:00:00Z`` or ``2026-03-12T09:00:00.123456789+01:00``.

    Returns:
        The moment in UTC.

    Raises:
        ValueError: the text is no date and time, names no offset, or lies outside of the years
            1 to 9999 in UTC.

    Example:
        >>> parse_instant("2026-03-12T09:00:00+01:00").isoformat()
        '2026-03-12T08:00:00+00:00'
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time names no offset (add Z for UTC)")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time lies outside of the calendar") from error


def floor_hour(moment: datetime) -> datetime:
    """The last full hour at or before a moment."""
    return moment.replace(minute=0, second=0, microsecond=0)


def ceil_hour(moment: datetime) -> datetime:
    """The first full hour at or after a moment."""
    floor = floor_hour(moment)
    return floor if floor == moment else floor + HOUR


def format_instant(moment: datetime) -> str:
    """ISO 8601 in UTC with ``Z`` and microseconds only when there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A half-open stretch of time ``(start, as_of]``, both UTC-aware.

    An event exactly at ``as_of`` is inside, one exactly at ``start`` is not.
    """

    start: datetime
    as_of: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.as_of.tzinfo is None:
            raise ValueError("a window needs moments with a time zone")
        if self.start > self.as_of:
            raise ValueError("a window starts before it ends")

    @classmethod
    def last(cls, length: timedelta, as_of: datetime) -> TimeWindow:
        """The window of this length that ends at ``as_of``."""
        return cls(as_of - length, as_of)

    @property
    def full_hours(self) -> tuple[datetime, datetime] | None:
        """The part ``(a, b]`` of the window made of whole hours; None when there is none."""
        first, last = ceil_hour(self.start), floor_hour(self.as_of)
        return (first, last) if first < last else None
