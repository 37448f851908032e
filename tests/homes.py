"""Where the database of one test lives, on any engine, and how to open a store on it."""

from __future__ import annotations

from collections.abc import Callable

from ebbtide.store.events.base import EventStore


class Home:
    """Where the database of one test lives, and how to open a store on it."""

    def __init__(self, engine: str, open_store: Callable[[], EventStore], url: str) -> None:
        self.engine = engine
        self.url = url
        self._open_store = open_store
        self._opened: list[EventStore] = []

    def open(self) -> EventStore:
        """A new store object on this database, not migrated yet; closed at the test's end."""
        store = self._open_store()
        self._opened.append(store)
        return store

    def reopen(self, store: EventStore) -> EventStore:
        """Close a store and open its database anew, as a restarted program does."""
        store.close()
        self._opened.remove(store)
        again = self.open()
        again.migrate()
        return again

    def close(self) -> None:
        """Close what the test left open."""
        while self._opened:
            self._opened.pop().close()
