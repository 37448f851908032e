"""Fresh state stores on SQLite and on a real PostgreSQL that a wheel brings along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from ebbtide.store.state.base import StateStore
from ebbtide.store.state.postgres import PostgresStateStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from ebbtide.store.state.tables import METADATA

if TYPE_CHECKING:  # processes that a test starts import this file, and know this folder alone
    from postgres_server import PostgresServer


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
def postgres_database(postgresql: PostgresServer) -> Callable[[], str]:
    """A function that makes an empty database and returns its URL."""
    return lambda: postgresql.new_database("TEMPLATE template0")


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
        path = tmp_path / "data" / "state.db"
        from ready_files import lay_state_file  # known to pytest, not to processes of a test

        lay_state_file(path)
        return Place("sqlite", str(path))
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
