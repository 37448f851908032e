"""The state store in PostgreSQL, for installations that already run one."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ebbtide.domain.errors import EbbtideError, SettingsError, StorageFull, StoreUnavailable
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Database

# A server that is gone must be noticed: without these the kernel waits for minutes.
_NETWORK = {"connect_timeout": "5", "tcp_user_timeout": "10000", "client_encoding": "utf8"}
_LOCK_TIMEOUT = "10s"

_SESSION = (
    ("TimeZone", "UTC"),
    ("synchronous_commit", "on"),
    ("lock_timeout", _LOCK_TIMEOUT),
    ("default_transaction_isolation", "read committed"),
)

# SQLSTATE classes and codes that speak of the server's condition, not of our statement.
_UNAVAILABLE_CLASSES = ("08", "53", "57", "58")
_UNAVAILABLE_CODES = ("25006", "40001", "40P01", "55P03", "3D000", "28000", "28P01")
_DISK_FULL = "53100"


class PostgresDatabase(Database):
    """One database of a PostgreSQL server, reached through psycopg."""

    name = "postgresql"
    insert = staticmethod(postgresql.insert)
    driver_error = psycopg.Error

    def __init__(self, url: str) -> None:
        address = sa.make_url(url).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(
            address.set(query={**_NETWORK, **address.query}),
            pool_pre_ping=True,  # after a restart of the server the next call works at once
        )
        sa.event.listen(engine, "connect", _on_connect)
        super().__init__(engine)

    def translate(self, cause: BaseException) -> EbbtideError | None:
        """Errors of the server and of the line to it, by SQLSTATE."""
        if not isinstance(cause, psycopg.Error):
            return None
        state = cause.sqlstate
        if state == _DISK_FULL:
            return StorageFull("no space is left for the state store on the PostgreSQL server")
        if state is None:  # never reached the server, or lost it
            is_line = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
            return self._unavailable(cause) if is_line else None
        if state.startswith(_UNAVAILABLE_CLASSES) or state in _UNAVAILABLE_CODES:
            return self._unavailable(cause)
        return None

    def take_turn(self, connection: sa.Connection, matter: str) -> None:
        """Hold an advisory lock until the transaction ends."""
        key = zlib.crc32(f"ebbtide state {matter}".encode())
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def now(self, connection: sa.Connection) -> datetime:
        """The server's clock."""
        at: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return at.astimezone(UTC)

    def forget_traces(self) -> None:
        """Nothing to do: the server's own vacuum and log recycling see to it."""

    def _unavailable(self, cause: psycopg.Error) -> StoreUnavailable:
        where = self.engine.url.render_as_string(hide_password=True).split("?")[0]
        return StoreUnavailable(f"the state store {where} cannot be used: {cause}")


class PostgresStateStore(StateStore):
    """The state store in a PostgreSQL database.

    Args:
        url: ``postgresql://user:password@host:port/database``, options as libpq has them.
    """

    def __init__(self, url: str) -> None:
        try:
            database = PostgresDatabase(url)
        except sa.exc.ArgumentError as error:
            # The text of the error would repeat the URL with its password.
            raise SettingsError("EBBTIDE_STATE_URL is no PostgreSQL address") from error
        super().__init__(database)


def _on_connect(connection: psycopg.Connection[Any], _record: Any) -> None:
    connection.autocommit = True  # settings made inside a transaction would end with it
    for name, value in _SESSION:
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    row = connection.execute("SELECT current_setting('synchronous_commit')").fetchone()
    connection.autocommit = False
    if row != ("on",):
        raise StoreUnavailable("PostgreSQL refuses synchronous_commit=on for the state store")
