"""Answers about whole calendar weeks and days, kept until something is stored in one of them.

What happened in a past week hardly ever changes, so a question about months is put together from
the weeks and days that are in memory; only the pieces of days at its two ends are asked of the
store. The store tells what came late, and what that touches is asked anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

from ebbtide.domain.time import EPOCH, MICROSECOND
from ebbtide.store.events.base import EventStore

WEEK, DAY = timedelta(days=7), timedelta(days=1)
KEPT = 100  # pieces of one kind of answer: a year and more of weeks, and the days at their ends
#: A day alone costs half of what several days together do, so few of them are read for keeping by
#: one question, and the others in one piece; the next questions find more.
NEW_DAYS_MAX = 1

_FIRST_MONDAY = EPOCH - 3 * DAY  # 1 January 1970 was a Thursday

T = TypeVar("T")
Key = tuple[datetime, timedelta]  #: the first moment of a week or day, and how long it is


class Late(NamedTuple):
    """What was stored since the last look: its type, and its first and last days."""

    event_type: str
    first: datetime
    last: datetime


#: Whether something that was stored changes what stands under a key.
Touches = Callable[[Key, Late], bool]


def monday_of(moment: datetime) -> datetime:
    """00:00 UTC of the Monday on or before a moment, which is the first moment of its week."""
    return _floor(moment, WEEK)


def end_of(monday: datetime) -> datetime:
    """The last moment of a week: windows end with a moment that is part of them."""
    return monday + WEEK - MICROSECOND


def _floor(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - _FIRST_MONDAY) % length


class Watch:
    """Sees what is stored late and what is erased, and has what is kept of it dropped.

    Its lock is held while kept pieces are read, so that no change is missed between the look and
    the reading; pieces that are not kept are read without it.
    """

    def __init__(self, events: EventStore, erasures: Callable[[], Hashable]) -> None:
        """Begin to watch.

        Args:
            erasures: what was erased so far; it is written there after the events are gone.
        """
        self.lock = threading.Lock()
        self._events = events
        self._erasures = erasures
        self._erased: Hashable = None
        self._seen = 0
        self._kept: list[tuple[OrderedDict[Key, Any], Touches]] = []

    def keep(self, touches: Touches) -> OrderedDict[Key, Any]:
        """A new shelf, of which everything is dropped that a change touches."""
        shelf: OrderedDict[Key, Any] = OrderedDict()
        self._kept.append((shelf, touches))
        return shelf

    def look(self) -> None:
        """Drop what is not what is stored any more. Call it with the lock, before reading."""
        erased = self._erasures()
        # What is stored after this look is told by the next one.
        changes, self._seen = self._events.changes(self._seen)
        late = {
            Late(one.event_type, _floor(one.first_at, DAY), _floor(one.last_at, DAY))
            for one in changes
        }
        for shelf, touches in self._kept:
            if erased != self._erased:
                shelf.clear()
            for key in list(shelf):
                if any(touches(key, one) for one in late):
                    del shelf[key]
        self._erased = erased


class Weeks(Generic[T]):
    """One kind of answer, by stretches of time that lie side by side. From any thread."""

    def __init__(
        self, watch: Watch, load: Callable[[datetime | None, datetime, datetime | None], T]
    ) -> None:
        """Begin with nothing kept.

        Args:
            load: asks the store for the stretch ``(start, end]`` as it is known at the third
                moment; None: everything counts.
        """
        self._watch = watch
        self._load = load
        self._shelf: OrderedDict[Key, T] = watch.keep(_is_inside)

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
            known_at: when given, nothing that is kept can be used, and the piece is one.
            look: False when the same question has had the watch look already.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        if start >= end:
            return []
        if known_at is not None:
            return [self._load(start, end, known_at)]
        pieces = list(pieces_of(start + MICROSECOND, end + MICROSECOND))
        with self._watch.lock:
            if look:
                self._watch.look()
            kept = self._kept_of([key for _, _, key in pieces if key is not None])
        found: list[T] = []
        for is_kept, run in groupby(pieces, lambda piece: piece[2] in kept):
            if is_kept:
                found.extend(kept[key] for _, _, key in run if key is not None)
            else:  # side by side, what is not kept is one question
                stretch = list(run)
                first, last = stretch[0][0], stretch[-1][1]
                found.append(self._load(first - MICROSECOND, last - MICROSECOND, None))
        return found

    def _kept_of(self, keys: Iterable[Key]) -> dict[Key, T]:
        kept = {}
        num_new = 0
        for key in keys:
            is_new_day = key not in self._shelf and key[1] == DAY
            num_new += is_new_day
            if not is_new_day or num_new <= NEW_DAYS_MAX:
                kept[key] = self.read(key)
        return kept

    def read(self, key: Key) -> T:
        """One week or day; call it with the lock of the watch, after its look."""
        if key not in self._shelf:
            first, length = key
            last = first + length - MICROSECOND
            self._shelf[key] = self._load(first - MICROSECOND, last, None)
            if len(self._shelf) > KEPT:
                self._shelf.popitem(last=False)
        self._shelf.move_to_end(key)
        return self._shelf[key]


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


def _is_inside(key: Key, late: Late) -> bool:
    begin, length = key
    return late.first < begin + length and late.last >= begin
