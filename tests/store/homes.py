"""Where the database of one test lives, on any engine, and how to open a store on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

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


class PostgresServer:
    """A running PostgreSQL and its databases."""

    def __init__(self, server: Any, folder: Path) -> None:
        self._server = server
        #: A folder that the server's user can reach.
        self.folder = folder

    def url(self, database: str) -> str:
        """How to connect to one database."""
        url: str = self._server.get_uri(database)
        return url

    def execute(self, sql: str) -> None:
        """Run one statement outside of any test database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as con:
            con.execute(sql)

    @contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """The URL of a new database that is dropped at the end.

        Args:
            options: what follows the name in ``CREATE DATABASE``.
        """
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} {options}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")
