"""The learners' PostgreSQL: how to connect, and what tables it has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from ebbtide.domain.errors import SettingsError, StoreUnavailable
from ebbtide.learners.settings import LearnerSettings, libpq_url

#: For rooms that hand a connection on, and have no business with the driver.
Connection: TypeAlias = psycopg.Connection[Any]

CONNECT_TIMEOUT_S = 15
_PORTS = re.compile(r"[0-9,]*")
MOMENT_TYPES = frozenset({"timestamptz", "timestamp", "date"})
NUMBER_TYPES = frozenset({"numeric", "float8", "float4", "int8", "int4", "int2"})
_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}


@dataclass(frozen=True, slots=True)
class Index:
    """An index without a condition."""

    columns: tuple[str, ...]  # its key, then what it carries along; an expression is ""
    num_keys: int
    is_unique: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view as the catalog of PostgreSQL describes it."""

    name: str
    kind: str
    columns: dict[str, str]  # type by name
    is_readable: bool
    is_writable: bool
    num_rows: int | None  # as last estimated; None: never, or a view
    indexes: tuple[Index, ...]


def connect(settings: LearnerSettings) -> Connection:
    """Open the database of the settings.

    Raises:
        SettingsError: DATABASE_URL is missing or no address.
        StoreUnavailable: nobody answers there, or refuses us.
    """
    url = libpq_url(settings)
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its text repeats the address with the password
        raise SettingsError("DATABASE_URL cannot be read as an address") from None
    # A password with an @ or a / in it ends in the wrong part, which an error would repeat.
    if "@" in str(parts.get("host", "")) or _PORTS.fullmatch(str(parts.get("port", ""))) is None:
        raise SettingsError(
            "DATABASE_URL cannot be read as an address: in a password, @ is written %40 and / %2F"
        )
    try:
        return psycopg.connect(
            url, connect_timeout=CONNECT_TIMEOUT_S, application_name="ebbtide detect-inactivity"
        )
    except psycopg.Error as error:
        raise StoreUnavailable(f"cannot connect to DATABASE_URL: {first_line(error)}") from error


def first_line(error: psycopg.Error) -> str:
    """What PostgreSQL says, without the statement."""
    text = error.diag.message_primary or str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__


def identifier(table: str) -> sql.Identifier:
    """The name of a table, with its schema if it has one, safe in any statement."""
    return sql.Identifier(*table.split("."))


def look_at(connection: Connection, name: str) -> Table | None:
    """A table by the name that statements would use; None: there is none.

    A schema that may not be entered is taken for one that may not be read.
    """
    quoted = identifier(name).as_string(connection)
    try:
        with connection.transaction():
            row = connection.execute(_TABLE, {"name": quoted}).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return Table(name, "table", {}, False, False, None, ())
    if row is None:
        return None
    oid, kind, num_rows, is_readable, is_writable = row
    columns = connection.execute(_COLUMNS, {"oid": oid}).fetchall()
    indexes = connection.execute(_INDEXES, {"oid": oid}).fetchall()
    return Table(
        name,
        _KINDS.get(kind, kind),
        dict(columns),
        is_readable,
        is_writable,
        int(num_rows) if num_rows >= 0 and kind != "v" else None,
        tuple(Index(tuple(names), num_keys, unique) for names, num_keys, unique in indexes),
    )


def covering_index(table: Table, columns: Iterable[str]) -> tuple[str, ...] | None:
    """The columns of an index that holds all of these, so that rows need not be read."""
    wanted = set(columns)
    return next((one.columns for one in table.indexes if wanted <= set(one.columns)), None)


_TABLE = """
SELECT c.oid, c.relkind::text, c.reltuples, has_table_privilege(c.oid, 'SELECT'),
       has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
FROM pg_class AS c WHERE c.oid = to_regclass(%(name)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_COLUMNS = """
SELECT a.attname::text, t.typname::text
FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

_INDEXES = """
SELECT array_agg(COALESCE(a.attname::text, '') ORDER BY k.place), i.indnkeyatts, i.indisunique
FROM pg_index AS i
CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
WHERE i.indrelid = %(oid)s AND i.indisvalid AND i.indpred IS NULL
GROUP BY i.indexrelid, i.indnkeyatts, i.indisunique
ORDER BY i.indexrelid
"""
