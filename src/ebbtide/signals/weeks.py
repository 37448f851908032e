"""Answers about whole calendar weeks and days, kept until something is stored in one of them.

What happened in a past week hardly ever changes, so a question about months is put together from
the weeks and days that are in memory; only the pieces of days at its two ends are asked of the
store. The store tells what came late, and what that touches is asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Generic, TypeVar

from ebbtide.domain.time import EPOCH, MICROSECOND, ceil_hour, floor_hour
from ebbtide.signals.watch import Late, Shelf, Watch

WEEK, DAY = timedelta(days=7), timedelta(days=1)
KEPT = 100  # pieces of one kind of answer: a year and more of weeks, and the days at their ends
ENDS_KEPT = 12  # stretches of full hours that are no whole days
#: A day alone costs half of what several days together do, so few of them are read for keeping by
#: one question, and the others in one piece; the next questions find more.
NEW_DAYS_MAX = 1

_FIRST_MONDAY = EPOCH - 3 * DAY  # 1 January 1970 was a Thursday

T = TypeVar("T")
Key = tuple[datetime, timedelta]  #: the first moment of a week or day, and how long it is


def monday_of(moment: datetime) -> datetime:
    """00:00 UTC of the Monday on or before a moment, which is the first moment of its week."""
    return _floor(moment, WEEK)


def end_of(monday: datetime) -> datetime:
    """The last moment of a week: windows end with a moment that is part of them."""
    return monday + WEEK - MICROSECOND


def _floor(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - _FIRST_MONDAY) % length


class Weeks(Generic[T]):
    """One kind of answer, by stretches of time that lie side by side. From any thread."""

    def __init__(
        self,
        watch: Watch,
        load: Callable[[datetime | None, datetime, datetime | None], T],
        newest: Callable[[T], datetime | None],
    ) -> None:
        """Begin with nothing kept.

        Args:
            load: asks the store for the stretch ``(start, end]`` as it is known at the third
                moment; None: everything counts.
            newest: the newest arrival in an answer; None when it holds nothing.
        """
        self._watch = watch
        self._load = load
        self._newest = newest
        self._shelf: Shelf[Key, T] = watch.keep(_is_inside, KEPT)
        self._ends: Shelf[tuple[datetime, datetime], T] = watch.keep(
            lambda stretch, late: late.is_within(*stretch), ENDS_KEPT
        )

    def over(
        self,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        look: bool = True,
    ) -> list[T]:
        """The answers for ``(start, end]`` in pieces, oldest first; none when it is empty.

        Args:
            known_at: when given, only those pieces that are kept can be used of which all had
                come by then.
            look: False when the same question has had the watch look already.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        if start >= end:
            return []
        pieces = list(pieces_of(start + MICROSECOND, end + MICROSECOND))
        if look:
            self._watch.look()
        kept = self._kept_of([key for _, _, key in pieces if key is not None])
        found: list[T] = []
        for is_kept, run in groupby(pieces, lambda piece: piece[2] in kept):
            stretch = list(run)
            if is_kept:
                found.extend(
                    self._as_known(kept[key], *_span(key), known_at)
                    for _, _, key in stretch
                    if key is not None
                )
            else:  # side by side, what is not kept is one question
                span = stretch[0][0] - MICROSECOND, stretch[-1][1] - MICROSECOND
                found.extend(self._end(*span, start, end, known_at))
        return found

    def _end(
        self,
        first: datetime,
        last: datetime,
        start: datetime,
        end: datetime,
        known_at: datetime | None,
    ) -> Iterator[T]:
        """What is no whole day: the parts of hours at the ends of the window, and what is between.

        Between full hours it stays the same until the hour is over.
        """
        from_, until = first, last
        if first == start:
            from_ = min(last, ceil_hour(first))
        if last == end:
            until = max(from_, floor_hour(last))
        if first < from_:
            yield self._load(first, from_, known_at)
        if from_ < until:
            kept = self._ends.get((from_, until), lambda: self._load(from_, until, None))
            yield self._as_known(kept, from_, until, known_at)
        if until < last:
            yield self._load(until, last, known_at)

    def _kept_of(self, keys: Iterable[Key]) -> dict[Key, T]:
        kept = {}
        num_new = 0
        for key in keys:
            is_new_day = key not in self._shelf and key[1] == DAY
            num_new += is_new_day
            if not is_new_day or num_new <= NEW_DAYS_MAX:
                kept[key] = self.read(key)
        return kept

    def read(self, key: Key, known_at: datetime | None = None) -> T:
        """One week or day; call it after the look of the watch."""
        start, end = _span(key)
        kept = self._shelf.get(key, lambda: self._load(start, end, None))
        return self._as_known(kept, start, end, known_at)

    def _as_known(self, kept: T, start: datetime, end: datetime, known_at: datetime | None) -> T:
        """What is kept, when it had all come by then; otherwise what is read anew."""
        if known_at is not None:
            newest = self._newest(kept)
            if newest is not None and newest > known_at:
                return self._load(start, end, known_at)
        return kept


def pieces_of(first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime, Key | None]]:
    """Cut ``[first, last)`` into whole weeks, whole days, and what is left.

    Returns:
        ``(first, last, key)`` of pieces side by side; the key of what is left is None.
    """
    while first < last:
        for length in (WEEK, DAY):
            if first == _floor(first, length) and first + length <= last:
                yield first, first + length, (first, length)
                break
        else:
            length = _floor(first, DAY) + DAY - first
            yield first, min(last, first + length), None
        first += length


def _span(key: Key) -> tuple[datetime, datetime]:
    """``(start, end]`` of a week or day, which hold their first moment."""
    first, length = key
    return first - MICROSECOND, first + length - MICROSECOND


def _is_inside(key: Key, late: Late) -> bool:
    return late.is_within(*_span(key))
