"""Where the marks of a chart stand: places only, no numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

WIDTH, HEIGHT = 600, 40  # of one row, in the units of its picture


@dataclass(frozen=True, slots=True)
class Bar:
    """One day."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment at which something was changed on purpose."""

    x: float
    label: str


def bars(days: Sequence[dict[str, Any]]) -> list[Bar]:
    """A bar for each day, as high as its share of the row's highest day."""
    if not days:
        return []
    step = WIDTH / len(days)
    most = max(day["num"] for day in days) or 1
    return [
        Bar(
            x=round(number * step + step * 0.12, 2),
            # Any event at all is seen: one beside a thousand would be a bar without height.
            y=round(HEIGHT - _height(day["num"], most), 2),
            width=round(step * 0.76, 2),
            height=_height(day["num"], most),
            label=f"{day['date']}: {day['num']:,}",
        )
        for number, day in enumerate(days)
    ]


def _height(num: int, most: int) -> float:
    return 0.0 if num == 0 else round(max(2.0, num / most * (HEIGHT - 2)), 2)


def marks(days: Sequence[dict[str, Any]], changes: Sequence[dict[str, Any]]) -> list[Mark]:
    """A mark for each change within the days."""
    places = {day["date"]: number for number, day in enumerate(days)}
    step = WIDTH / max(1, len(days))
    return [
        Mark(round((places[on] + 0.5) * step, 2), f"{on}: {change['what']}")
        for change in changes
        if (on := change["at"][:10]) in places
    ]


def weeks(days: Sequence[dict[str, Any]]) -> list[tuple[float, str]]:
    """Where each Monday stands, in percent of the width, and its date."""
    found = []
    for number, day in enumerate(days):
        on = date.fromisoformat(day["date"])
        if on.weekday() == 0:
            found.append((round((number + 0.5) / len(days) * 600, 2), f"{on.day} {on:%b}"))
    return found


@dataclass(frozen=True, slots=True)
class Lying:
    """A bar that lies to one side of nothing; places in percent of the width."""

    x: float
    width: float
    zero: float
    is_below: bool


def lying(values: Sequence[float | None]) -> list[Lying | None]:
    """A bar for each amount, on one scale; None where it is not known."""
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    length = (high - low) or 1.0
    zero = round(-low / length * 100, 2)

    def bar(value: float) -> Lying:
        width = round(max(0.4, abs(value) / length * 100), 2)
        return Lying(round(zero - width, 2) if value < 0 else zero, width, zero, value < 0)

    return [None if value is None else bar(value) for value in values]


HORIZON_DAYS = 90  # of the band of days: what lies farther away calls for nothing yet


@dataclass(frozen=True, slots=True)
class Band:
    """When a limit is reached, on an axis of so many days; places in percent of the width."""

    x: float
    width: float
    middle: float | None  # None: no day is expected, or it lies beyond the axis
    is_cut: bool  # it goes on beyond the axis


def band(low: float | None, middle: float | None, high: float | None) -> Band | None:
    """The band from the early end to the late one; None when it lies beyond the axis."""
    if low is None or low > HORIZON_DAYS:
        return None
    begins = low / HORIZON_DAYS * 100
    ends = 100.0 if high is None else min(100.0, high / HORIZON_DAYS * 100)
    is_seen = middle is not None and middle <= HORIZON_DAYS
    return Band(
        round(begins, 2),
        round(max(1.0, ends - begins), 2),
        round(middle / HORIZON_DAYS * 100, 2) if middle is not None and is_seen else None,
        high is None or high > HORIZON_DAYS,
    )
