"""How full a PostgreSQL is: bytes of its database and connections in use."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from ebbtide.domain.errors import SettingsError, StoreUnavailable

TIMEOUT_S = 5

_QUERY = """
SELECT pg_database_size(current_database()),
       (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
       current_setting('max_connections')::int
       - current_setting('superuser_reserved_connections')::int
"""


@dataclass(frozen=True, slots=True)
class PostgresUsage:
    """What a server said. ``connections`` are those of all databases, our own left out."""

    size_bytes: int
    connections: int
    connections_max: int


def read_postgres_usage(url: str) -> PostgresUsage:
    """Connect, ask, hang up.

    Raises:
        SettingsError: the URL cannot be read.
        StoreUnavailable: no answer within a few seconds; the message holds no password.
    """
    try:
        with psycopg.connect(
            url,
            connect_timeout=TIMEOUT_S,
            options=f"-c statement_timeout={TIMEOUT_S * 1000}",
            application_name="ebbtide-probe",
        ) as connection:
            row = connection.execute(_QUERY).fetchone()
    except psycopg.ProgrammingError as error:
        if isinstance(error, psycopg.errors.DatabaseError) and error.sqlstate:
            raise StoreUnavailable(_first_line(error)) from error
        raise SettingsError("the URL of the PostgreSQL probe cannot be read") from None
    except psycopg.Error as error:
        raise StoreUnavailable(_first_line(error)) from error
    assert row is not None
    return PostgresUsage(*row)


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or ["no answer"])[0]
