"""A customer's last 30 days by event type, and one word for how each type goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Facts

LENGTH = 30 * DAY
RECENT = 7 * DAY
GAP = 14 * DAY  # as long without one: stopped
SHORTEST_BASE = 7 * DAY  # with less to compare with there is no word
RARE_MAX = 4  # events in 30 days: about one a week, too few for a rate
RISING_ABOVE = Fraction(5, 4)
STABLE_FROM = Fraction(4, 5)
DECLINING_FROM = Fraction(1, 2)
_TICK = timedelta(microseconds=1)

#: Shown for every customer, also where nothing happened: what is missing tells the most.
ALWAYS = ("API_CALL_RECEIVED", "INCIDENT_CREATED", *INVESTIGATION_TYPES)
#: One line for the three types of investigation together; it comes before them.
INVESTIGATIONS = "investigations"
_VIEWED = INVESTIGATION_TYPES[0]


class Trend(StrEnum):
    """How a type of event goes; the bounds are in this module and in the how-to."""

    RISING = "rising"
    STABLE = "stable"
    DECLINING = "declining"
    DROPPING = "dropping"
    RARE = "rare"
    STOPPED = "stopped"


class Count(NamedTuple):
    """Events of one type within one hour that ends on a full hour, or a part of one."""

    event_type: str
    last_at: datetime
    num: int


@dataclass(frozen=True, slots=True)
class Line:
    """One type, or several taken together, over 30 days.

    ``days`` are UTC days in order; the first and the last are parts of a day. ``trend`` is None
    with its ``reason`` when there is no word for it. ``last_at`` has no window.
    """

    name: str
    event_types: tuple[str, ...]
    days: tuple[tuple[date, int], ...]
    num_7d: int
    num_30d: int
    trend: Trend | None
    reason: str | None
    last_at: datetime | None


def timeline(counts: Iterable[Count], facts: Facts, as_of: datetime) -> list[Line]:
    """A line for each type that matters, then for each other one that happened, busiest first.

    Args:
        counts: of one tenant within ``(as_of - 30 d, as_of]``; none straddles ``as_of - 7 d``.
        facts: of the same tenant at the same moment.
    """
    found: dict[str, list[Count]] = {}
    for one in counts:
        found.setdefault(one.event_type, []).append(one)
    types = (*ALWAYS, *sorted(found.keys() - set(ALWAYS)))
    lines = [_line(name, (name,), found.get(name, []), facts, as_of) for name in types]
    together = [one for name in INVESTIGATION_TYPES for one in found.get(name, [])]
    summed = _line(INVESTIGATIONS, INVESTIGATION_TYPES, together, facts, as_of)
    first, rest = lines[: len(ALWAYS)], lines[len(ALWAYS) :]
    first.insert(ALWAYS.index(_VIEWED), summed)
    return first + sorted(rest, key=lambda line: (-line.num_30d, line.name))


def _line(
    name: str, types: tuple[str, ...], counts: list[Count], facts: Facts, as_of: datetime
) -> Line:
    days: dict[date, int] = {}
    first, last = _day(as_of - LENGTH + _TICK), _day(as_of)
    while first <= last:
        days[first] = 0
        first += DAY
    for one in counts:
        days[_day(one.last_at)] += one.num
    num_30d = sum(one.num for one in counts)
    num_7d = sum(one.num for one in counts if one.last_at > as_of - RECENT)
    last_at = facts.last_at(*types)
    age = as_of - facts.first_event_at
    trend, reason = trend_of(num_7d, num_30d, last_at, age, as_of)
    return Line(name, types, tuple(days.items()), num_7d, num_30d, trend, reason, last_at)


def _day(moment: datetime) -> date:
    """The UTC day of a moment; midnight belongs to the day that ends with it."""
    return (moment - _TICK).date()


def trend_of(
    num_7d: int, num_30d: int, last_at: datetime | None, age: timedelta, as_of: datetime
) -> tuple[Trend | None, str | None]:
    """One word for how a type goes, or the reason why there is none.

    The last 7 days are compared with the weekly rate of the days before them, up to 23. In this
    order: never seen, no word (``no_activity``); none for 14 days, ``stopped``; less than 7 days
    to compare with, no word (``insufficient_data``); at most 4 in 30 days, ``rare``; more than
    1.25 of the rate ``rising``, from 0.8 ``stable``, from 0.5 ``declining``, below ``dropping``.

    Args:
        num_7d, num_30d: events in the windows.
        last_at: the newest one, without a window.
        age: since the tenant's first event of any type.
    """
    if last_at is None:
        return None, "no_activity"
    if last_at <= as_of - GAP:
        return Trend.STOPPED, None
    base = min(LENGTH - RECENT, age - RECENT)
    if base < SHORTEST_BASE:
        return None, "insufficient_data"
    if num_30d <= RARE_MAX:
        return Trend.RARE, None
    num_before = num_30d - num_7d
    if num_before == 0:
        return Trend.RISING, None
    ratio = Fraction(num_7d * (base // _TICK), num_before * (RECENT // _TICK))
    if ratio > RISING_ABOVE:
        return Trend.RISING, None
    if ratio >= STABLE_FROM:
        return Trend.STABLE, None
    return (Trend.DECLINING if ratio >= DECLINING_FROM else Trend.DROPPING), None
