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
COUNT_TIMEOUT = "1s"  # a table may be locked, or full of rows that are gone
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
    is_immediate: bool  # a unique one checks each row at once; False: it is deferrable


@dataclass(frozen=True, slots=True)
class NumberedColumn:
    """A column whose value comes from a sequence.

    Attributes:
        value: SQL for it that asks no sequence; ``number`` counts the rows from 1.
        sequences: what would have been asked, as PostgreSQL spells their names.
    """

    name: str
    value: str
    sequences: tuple[str, ...]


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
        tuple(Index(tuple(names), *rest) for names, *rest in indexes),
    )


def count_up_to(connection: Connection, name: str, most: int) -> int | None:
    """How many rows a table has, at most so many; None: it would take too long to see."""
    counted = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS few").format(
        identifier(name), sql.Literal(most)
    )
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = '{COUNT_TIMEOUT}'")
            row = connection.execute(counted).fetchone()
    except psycopg.errors.QueryCanceled:
        return None
    assert row is not None
    return int(row[0])


def numbered_columns(connection: Connection, name: str) -> tuple[NumberedColumn, ...]:
    """The columns of a table that sequences fill, for whoever must leave these as they are.

    No rollback gives back what a sequence said. So a value is computed from what it said last, as
    far as we may look, and else from the end of its range. A column whose sequence we may not ask
    is left out: to write it is refused.
    """
    quoted = identifier(name).as_string(connection)
    found = []
    for column, is_identity, default in connection.execute(_NUMBERED, {"name": quoted}).fetchall():
        spelled = []
        value = default
        for asked in _NEXTVAL.finditer(default):
            sequence = asked[1].replace("''", "'")
            row = connection.execute(_SEQUENCE, {"name": sequence}).fetchone()
            if row is not None and (is_identity or row[1]):
                spelled.append(row[0])
                value = value.replace(asked[0], row[2])
        if spelled:
            found.append(NumberedColumn(column, value, tuple(spelled)))
    return tuple(found)


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
SELECT array_agg(COALESCE(a.attname::text, '') ORDER BY k.place), i.indnkeyatts, i.indisunique,
       i.indimmediate
FROM pg_index AS i
CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0
WHERE i.indrelid = %(oid)s AND i.indisvalid AND i.indpred IS NULL
GROUP BY i.indexrelid, i.indnkeyatts, i.indisunique, i.indimmediate
ORDER BY i.indexrelid
"""

# An identity column has no default; what it does is written as one.
_NUMBERED = """
SELECT name, is_identity, value FROM (
    SELECT a.attnum, a.attname::text AS name, a.attidentity <> '' AS is_identity, CASE
        WHEN a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid)
        ELSE format('nextval(%%L::regclass)', pg_get_serial_sequence(%(name)s, a.attname))
    END AS value
    FROM pg_attribute AS a
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = to_regclass(%(name)s) AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = ''
) AS columns
WHERE value LIKE '%%nextval(%%' ORDER BY attnum
"""

_NEXTVAL = re.compile(r"nextval\(\(?'((?:[^']|'')+)'::(?:text\)::)?regclass\)")

_SEQUENCE = """
SELECT class.oid::regclass::text, has_sequence_privilege(class.oid, 'USAGE, UPDATE'), CASE
    WHEN has_sequence_privilege(class.oid, 'USAGE, SELECT') THEN format(
        '(COALESCE((SELECT last_value FROM pg_sequences WHERE schemaname = %%L'
        ' AND sequencename = %%L), %%s) + %%s * number)',
        space.nspname, class.relname, sequence.seqstart - sequence.seqincrement,
        sequence.seqincrement)
    ELSE format('(%%s - number)', sequence.seqmax)
END
FROM pg_class AS class
JOIN pg_namespace AS space ON space.oid = class.relnamespace
JOIN pg_sequence AS sequence ON sequence.seqrelid = class.oid
WHERE class.oid = to_regclass(%(name)s)
"""
