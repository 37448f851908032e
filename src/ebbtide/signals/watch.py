"""Keeps answers about stretches of time, and drops those in which something was stored or erased.

What is read while a change comes in is used once and not kept: before a reading begins a mark
is put in the place of its answer, and a change takes the mark away as it would the answer. So
nobody waits for the readings of others.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from ebbtide.domain.time import ceil_hour
from ebbtide.store.events.base import Change, EventStore
from ebbtide.store.state.base import StateStore

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Late(NamedTuple):
    """What was stored since the last look: its type, and its first and last moments."""

    event_type: str
    first: datetime
    last: datetime

    def is_within(self, start: datetime, end: datetime) -> bool:
        """Whether some of it may lie in ``(start, end]``."""
        return self.first <= end and self.last > start


class Shelf(Generic[K, T]):
    """Answers of one kind by their keys, the least used dropped first. From any thread."""

    def __init__(self, lock: threading.Lock, touches: Callable[[K, Late], bool], size: int) -> None:
        self._lock = lock
        self._touches = touches
        self._size = size
        self._kept: OrderedDict[K, T] = OrderedDict()
        self._marks: dict[K, object] = {}

    def get(self, key: K, load: Callable[[], T]) -> T:
        """What is kept, or what is read now; call it after the watch has looked."""
        return self.get_all([key], lambda _: {key: load()})[key]

    def get_all(self, keys: Iterable[K], load: Callable[[list[K]], Mapping[K, T]]) -> dict[K, T]:
        """The same of several, of which ``load`` reads all that are not kept at once."""
        mark = object()
        found: dict[K, T] = {}
        missing = []
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key]
                else:
                    missing.append(key)
                    self._marks[key] = mark
        if not missing:
            return found
        read: Mapping[K, T] = {}
        try:
            read = load(missing)
        finally:
            with self._lock:
                for key in missing:
                    if self._marks.get(key) is mark:
                        del self._marks[key]
                        if key in read:
                            self._kept[key] = read[key]
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
        return found | dict(read)

    def peek(self, key: K) -> T | None:
        """What is kept; None when nothing is."""
        with self._lock:
            return self._kept.get(key)

    def keys(self) -> list[K]:
        """Of what is kept, the least used first."""
        with self._lock:
            return list(self._kept)

    def __contains__(self, key: K) -> bool:
        with self._lock:
            return key in self._kept

    def drop(self, late: Collection[Late], *, everything: bool) -> None:
        """Drop what a change touches; called with the lock."""
        if not (late or everything):
            return
        gone: dict[Any, Any]
        for gone in (self._kept, self._marks):
            if everything:
                gone.clear()
            for key in list(gone):
                if any(self._touches(key, one) for one in late):
                    del gone[key]


class Watch:
    """Sees what is stored late and what is erased, and has what is kept of it dropped."""

    def __init__(self, events: EventStore, erasures: Callable[[], Hashable]) -> None:
        """Begin to watch.

        Args:
            erasures: what was erased so far; it is written there after the events are gone.
        """
        self._lock = threading.Lock()
        self._events = events
        self._erasures = erasures
        self._erased: Hashable = None
        self._seen: int | None = None
        self._shelves: list[Shelf[Any, Any]] = []

    def keep(self, touches: Callable[[K, Late], bool], size: int) -> Shelf[K, Any]:
        """A new shelf, of which everything is dropped that a change touches."""
        shelf: Shelf[K, Any] = Shelf(self._lock, touches, size)
        self._shelves.append(shelf)
        return shelf

    def look(self) -> None:
        """Drop what is not what is stored any more; call it before reading.

        Raises:
            StoreUnavailable: a store cannot answer.
        """
        with self._lock:
            erased = self._erasures()
            if self._seen is None:  # nothing is kept yet, so all that was stored is no news
                self._erased, self._seen = erased, self._events.newest_change()
                return
            # What is stored after this look is told by the next one.
            changes, seen = self._events.changes(self._seen)
            # A number that was never given, as after a restore: what is gone is not reported.
            is_anew = erased != self._erased or seen < self._seen
            late = list(_together(changes))
            for shelf in self._shelves:
                shelf.drop(late, everything=is_anew)
            self._erased, self._seen = erased, seen


def _together(changes: Iterable[Change]) -> Iterable[Late]:
    """One for all tenants with changes of a type between the same hours: mostly of this one."""
    spans: dict[tuple[str, datetime, datetime], tuple[datetime, datetime]] = {}
    for _, event_type, first, last in changes:
        key = event_type, ceil_hour(first), ceil_hour(last)
        known = spans.get(key)
        spans[key] = (first, last) if known is None else (min(first, known[0]), max(last, known[1]))
    return (Late(event_type, *span) for (event_type, *_), span in spans.items())


def watch_over(events: EventStore, state: StateStore) -> Watch:
    """A watch over both stores."""

    def erasures() -> Hashable:
        return frozenset(state.tenants.erasures().items())

    return Watch(events, erasures)
