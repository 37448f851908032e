"""The event store on PostgreSQL: exactly-once by primary key, safe with several writers.

One statement stores a batch: it inserts what is new, adds exactly that to the roll-up, and says
which rows were known already. So a commit costs one round trip and one flush of the log, and
there is no moment at which events and roll-up differ. Measured against COPY into a staging table,
the arrays of this statement cost the server about the same per row, and no second table.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa

from ebbtide.domain.errors import MigrationError, QueryError, StoreUnavailable
from ebbtide.domain.event import COST_DECIMALS, Outcome
from ebbtide.store.events import migrations
from ebbtide.store.events.base import (
    CONTENT_COLUMNS,
    EVENT_COLUMNS,
    EVENT_SCHEMA,
    Change,
    Durability,
    EventStore,
    Outcomes,
    bind,
    same_content,
    split_statements,
)
from ebbtide.store.events.postgres_arrays import encode, type_name
from ebbtide.store.events.postgres_connection import (
    READERS_MAX,
    Binary,
    Connection,
    Readers,
    check_url,
    connect,
    meaning,
)

# Processes that start at once migrate one after the other; any constant number will do.
_MIGRATION_LOCK = 0x6562_6274_6964_6501
# Held, shared, by every append from before it takes its number until its commit is visible.
_CHANGES_LOCK = 0x6562_6274_6964_6502
# How long to wait for appends that are under way. They wait behind us meanwhile.
_CHANGES_WAIT_MS = 1_000
_PARAMETERS_MAX = 65_535  # what the wire protocol can count
# An erasure starts over when the tenant's roll-up changed under it; the gap is milliseconds long.
_ERASE_TRIES = 10
# A row may be erased between being refused as known and being looked up: it is then new again.
_SETTLE_TRIES = 5
_ERASED_MEANWHILE = "cannot store events: they are erased while they are stored"

_COLUMNS = ", ".join(EVENT_COLUMNS)
_ARRAYS = ", ".join(f"${i}::{type_name(f.type)}[]" for i, f in enumerate(EVENT_SCHEMA, start=1))
_UUID_AT = EVENT_COLUMNS.index("event_uuid") + 1
_TENANT_AT = EVENT_COLUMNS.index("tenant_id") + 1

# The ticket comes first: it is waited for with nothing else in hand, so not in a ring either.
_STORE = f"""
WITH ticket AS MATERIALIZED (
    SELECT nextval('event_changes') AS change_seq
    FROM (SELECT pg_advisory_xact_lock_shared({_CHANGES_LOCK}) OFFSET 0) AS lock
), new AS (
    INSERT INTO events ({_COLUMNS})
    SELECT sent.* FROM ticket, unnest({_ARRAYS}) AS sent
    ON CONFLICT (tenant_id, event_uuid) DO NOTHING
    RETURNING tenant_id, event_uuid, event_type, timestamp, received_at, cost_usd, latency_ms
), rolled AS (
    INSERT INTO event_rollup AS r
    SELECT tenant_id,
           date_trunc('hour', timestamp - interval '1 microsecond', 'UTC') + interval '1 hour',
           event_type,
           count(*), count(cost_usd), sum(cost_usd), count(latency_ms), sum(latency_ms),
           min(timestamp), max(timestamp), max(received_at),
           (SELECT change_seq FROM ticket)
    FROM new
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3  -- one order for every writer, or two would wait for each other
    ON CONFLICT (tenant_id, hour_end, event_type) DO UPDATE SET
        num = r.num + excluded.num,
        num_cost = r.num_cost + excluded.num_cost,
        cost_usd = coalesce(r.cost_usd + excluded.cost_usd, r.cost_usd, excluded.cost_usd),
        num_latency = r.num_latency + excluded.num_latency,
        latency_ms = coalesce(r.latency_ms + excluded.latency_ms, r.latency_ms,
                              excluded.latency_ms),
        first_at = least(r.first_at, excluded.first_at),
        last_at = greatest(r.last_at, excluded.last_at),
        last_received_at = greatest(r.last_received_at, excluded.last_received_at),
        change_seq = greatest(r.change_seq, excluded.change_seq)
)
SELECT sent.position - 1
FROM unnest(${_UUID_AT}::uuid[], ${_TENANT_AT}::text[])
     WITH ORDINALITY AS sent (event_uuid, tenant_id, position)
WHERE (SELECT count(*) FROM new) < cardinality(${_UUID_AT}::uuid[])
  AND NOT EXISTS (SELECT FROM new WHERE new.tenant_id = sent.tenant_id
                                    AND new.event_uuid = sent.event_uuid)
"""
_FIND = f"""
SELECT sent.position - 1, {", ".join(f"e.{column}" for column in CONTENT_COLUMNS)}
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS sent (event_uuid, tenant_id, position)
JOIN events e ON e.tenant_id = sent.tenant_id AND e.event_uuid = sent.event_uuid
"""

_CHANGED = """
SELECT tenant_id, event_type, min(first_at), max(last_at)
FROM event_rollup WHERE change_seq > $1 GROUP BY 1, 2 ORDER BY 1, 2
"""

# A query begins with SELECT or WITH; before it may stand comments and parentheses.
_IS_SELECT = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:select|with)\b", re.I | re.S)

_ARROW_TYPES: dict[int, pa.DataType] = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    700: pa.float32(),
    701: pa.float64(),
    1184: pa.timestamp("us", tz="UTC"),
}
_NUMERIC = 1700


class PostgresEventStore(EventStore):
    """Events in one PostgreSQL database, which other Ebbtide processes may write, too."""

    engine = "postgres"

    def __init__(self, url: str, *, readers_max: int = READERS_MAX) -> None:
        """Remember where the database is; nothing is contacted before it is needed.

        Args:
            url: ``postgresql://user:password@host:5432/database``, or any libpq form of it.
            readers_max: connections for reading; a writing one comes on top.

        Raises:
            SettingsError: the URL cannot be read.
        """
        check_url(url)
        self._url = url
        self._readers = Readers(url, readers_max)
        self._writer: Connection | None = None
        self._lock = threading.RLock()
        self._closed = False
        self.durability = _durability({})

    # -- opening, migrating, closing -------------------------------------------------------

    def _writing(self) -> Connection:
        """The connection for writing, opened anew when the last one was lost."""
        if self._closed:
            raise StoreUnavailable("the event store is closed")
        if self._writer is not None and self._writer.closed:
            self._writer = None
        if self._writer is None:
            con = connect(self._url, "writer", {})
            try:
                rows = con.execute(
                    "SELECT name, setting FROM pg_settings WHERE name IN"
                    " ('fsync', 'full_page_writes', 'synchronous_commit')"
                ).fetchall()
                server: dict[str, str] = dict(rows)
                # Any other value waits at least for our own disk, so the operator's stays.
                if server["synchronous_commit"] == "off":
                    con.execute("SET synchronous_commit = on")
            except BaseException:
                con.close()
                raise
            self.durability = _durability(server)
            self._writer = con
        return self._writer

    def migrate(self) -> list[int]:
        with self._lock:
            try:
                con = self._writing()
                _check_server(con)
                con.execute("SELECT pg_advisory_lock($1)", [_MIGRATION_LOCK])
                try:
                    return _migrate(con)
                finally:
                    if not con.closed:
                        con.execute("SELECT pg_advisory_unlock($1)", [_MIGRATION_LOCK])
            except psycopg.Error as error:
                raise meaning(error, "cannot migrate") from error

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
            self._readers.close()

    # -- writing ---------------------------------------------------------------------------

    def append(self, batch: pa.RecordBatch) -> Outcomes:
        outcomes = np.full(batch.num_rows, Outcome.STORED, np.uint8)
        firsts, repeats = _in_key_order(batch)
        with self._lock:
            try:
                con = self._writing()
                self._store(con, batch.take(pa.array(firsts)), firsts, outcomes)
                if len(repeats):
                    rows = batch.take(pa.array(repeats))
                    if len(self._compare(con, rows, repeats, outcomes)):
                        raise StoreUnavailable(_ERASED_MEANWHILE)
            except psycopg.Error as error:
                # When the connection broke, the batch may be stored: a retry finds duplicates.
                raise meaning(error, "cannot store events") from error
        return outcomes

    def _store(
        self, con: Connection, rows: pa.RecordBatch, at: npt.NDArray[np.int64], outcomes: Outcomes
    ) -> None:
        """Store rows of different identity; ``at`` is where each stands in ``outcomes``."""
        for _ in range(_SETTLE_TRIES):
            arrays = [Binary(encode(column)) for column in rows.columns]
            known = con.execute(_STORE, arrays, prepare=True, binary=True).fetchall()
            if not known:
                return
            positions = np.array([row[0] for row in known])
            rows, at = rows.take(pa.array(positions)), at[positions]
            gone = self._compare(con, rows, at, outcomes)
            if not len(gone):
                return
            rows, at = rows.take(pa.array(gone)), at[gone]
        raise StoreUnavailable(_ERASED_MEANWHILE)

    def _compare(
        self, con: Connection, rows: pa.RecordBatch, at: npt.NDArray[np.int64], outcomes: Outcomes
    ) -> npt.NDArray[np.int64]:
        """Judge rows against the stored ones; returns the places of rows no longer stored."""
        arrays = [Binary(encode(rows.column(name))) for name in ("event_uuid", "tenant_id")]
        stored = {
            row[0]: dict(zip(CONTENT_COLUMNS, row[1:], strict=True))
            for row in con.execute(_FIND, arrays, binary=True)
        }
        for place, row in enumerate(rows.to_pylist()):
            if place in stored:
                same = same_content(stored[place], row)
                outcomes[at[place]] = Outcome.DUPLICATE if same else Outcome.CONFLICT
        return np.array([p for p in range(rows.num_rows) if p not in stored], np.int64)

    def erase_tenant(self, tenant_id: str) -> int:
        with self._lock:
            for _ in range(_ERASE_TRIES):
                try:
                    return _erase(self._writing(), tenant_id)
                except psycopg.errors.SerializationFailure:
                    continue  # another process added events of this tenant meanwhile
                except psycopg.Error as error:
                    raise meaning(error, "cannot erase") from error
        raise StoreUnavailable("cannot erase: events of this tenant keep coming in")

    def storage_bytes(self) -> int | None:
        ((size,),) = self.query(
            "SELECT pg_total_relation_size('events') + pg_total_relation_size('event_rollup')"
        )
        return int(size)

    # -- reading ---------------------------------------------------------------------------

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        oids, _, rows = self._read(sql, params)
        numerics = [i for i, oid in enumerate(oids) if oid == _NUMERIC]
        whole = [i for i in numerics if _is_whole(row[i] for row in rows)]
        if not whole:
            return rows
        out = []
        for row in rows:
            values = list(row)
            for i in whole:
                if values[i] is not None:
                    values[i] = int(values[i])
            out.append(tuple(values))
        return out

    def query_arrow(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        oids, names, rows = self._read(sql, params)
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        arrays = [_arrow(oid, values) for oid, values in zip(oids, columns, strict=True)]
        return pa.Table.from_arrays(arrays, names=names)

    def _read(
        self, sql: str, params: Mapping[str, Any] | None
    ) -> tuple[list[int], list[str], list[tuple[Any, ...]]]:
        """Type numbers, names and rows of an answer."""
        text, values = _bound(sql, params or {})

        def work(con: Connection) -> tuple[list[int], list[str], list[tuple[Any, ...]]]:
            # Binary answers need the protocol in which one text is one statement.
            cursor = con.execute(text, values, binary=True)
            columns = cursor.description or []
            return [c.type_code for c in columns], [c.name for c in columns], cursor.fetchall()

        try:
            return self._readers.run(work)
        except psycopg.Error as error:
            raise meaning(error, "query failed", reading=True) from error
        except UnicodeEncodeError as error:
            raise QueryError("a text given to the query is not valid Unicode") from error

    def changes(self, since: int) -> tuple[list[Change], int]:
        """See the port. Numbers are not given in the order of commits, so a number is settled
        only when no append is under way; while that cannot be had, ``since`` stays, and what is
        new is reported again the next time.
        """

        def work(con: Connection) -> tuple[list[Change], int]:
            settled = _settled(con)
            start = since
            if settled is None:
                settled = since
            elif settled < since:
                start = 0  # asked with the number of another database, or from before a restore
            rows = con.execute(_CHANGED, [start], binary=True).fetchall()
            return [Change(*row) for row in rows], settled

        try:
            return self._readers.run(work)
        except psycopg.Error as error:
            raise meaning(error, "query failed", reading=True) from error

    def ping(self) -> None:
        self.query("SELECT 1")


def _settled(con: Connection) -> int | None:
    """The newest number below which no append is under way; None when they do not pause."""
    try:
        with con.transaction():
            con.execute("SELECT set_config('lock_timeout', $1, true)", [str(_CHANGES_WAIT_MS)])
            con.execute("SELECT pg_advisory_xact_lock($1)", [_CHANGES_LOCK])
            # A sequence is read as it is now, whatever the transaction may see of tables.
            rows = con.execute("SELECT last_value FROM event_changes").fetchall()
    except psycopg.errors.LockNotAvailable:
        return None
    return int(rows[0][0])


def _durability(server: Mapping[str, str]) -> Durability:
    """What an acknowledgement means, by the server's own settings (empty: the usual ones)."""
    risky = [f"{name}=off" for name in ("fsync", "full_page_writes") if server.get(name) == "off"]
    if risky:
        note = f"the server runs with {' and '.join(risky)}: a power cut can lose events"
        return Durability(survives_process_kill=True, survives_power_cut=False, note=note)
    note = "every commit is flushed to the server's write-ahead log before append returns"
    if server.get("synchronous_commit") == "off":
        note += " (synchronous_commit=off on the server is overruled for our session)"
    return Durability(survives_process_kill=True, survives_power_cut=True, note=note)


def _check_server(con: Connection) -> None:
    encoding = con.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise MigrationError(f"postgres: the database has encoding {encoding}; it must be UTF8")


def _migrate(con: Connection) -> list[int]:
    con.execute(
        "CREATE TABLE IF NOT EXISTS ebbtide_schema (number integer PRIMARY KEY,"
        " name text NOT NULL, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    stored = con.execute("SELECT number, checksum FROM ebbtide_schema").fetchall()
    steps = migrations.pending("postgres", {number: checksum for number, checksum in stored})
    for step in steps:
        try:
            with con.transaction():
                for statement in split_statements(step.sql):
                    con.execute(statement)
                con.execute(
                    "INSERT INTO ebbtide_schema (number, name, checksum) VALUES ($1, $2, $3)",
                    [step.number, step.name, step.checksum],
                )
        except psycopg.Error as error:
            if con.closed:
                raise
            raise MigrationError(f"postgres: {step.name} failed: {error}") from error
    return [step.number for step in steps]


def _erase(con: Connection, tenant_id: str) -> int:
    """Delete a tenant's rows as one snapshot shows them.

    The roll-up goes first: its rows are locked at once, so a writer of the same hours waits and
    then starts them from zero, while its events, unseen by this snapshot, stay.
    """
    with con.transaction():
        con.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        con.execute("DELETE FROM event_rollup WHERE tenant_id = $1", [tenant_id])
        return con.execute("DELETE FROM events WHERE tenant_id = $1", [tenant_id]).rowcount


def _in_key_order(
    batch: pa.RecordBatch,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows by their identity: the first row of each, and the rows that repeat one.

    Every writer inserts in this order, so two of them cannot wait for each other in a ring.
    """
    raw = batch.column("event_uuid")
    halves = np.frombuffer(raw.buffers()[1], ">u8").reshape(-1, 2)
    halves = halves[raw.offset : raw.offset + len(raw)].astype(np.uint64)
    coded = batch.column("tenant_id").dictionary_encode()
    names = coded.dictionary.to_pylist()
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    tenant = rank[coded.indices.to_numpy(zero_copy_only=False)]
    order = np.lexsort((halves[:, 1], halves[:, 0], tenant))  # stable: the first one stays first
    repeats = np.zeros(len(order), np.bool_)
    before, after = order[:-1], order[1:]
    repeats[1:] = (tenant[before] == tenant[after]) & (halves[before] == halves[after]).all(axis=1)
    return order[~repeats], order[repeats]


def _bound(sql: str, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The query with numbered parameters, each with its type, and their values in that order."""
    if _IS_SELECT.match(sql) is None:
        raise QueryError("a query is one SELECT")
    numbers: dict[str, int] = {}

    def placeholder(name: str, value: Any) -> str:
        if value is None:
            return "NULL"  # takes the type of what it meets
        number = numbers.setdefault(name, len(numbers) + 1)
        return f"${number}{_cast(value)}"

    text, flat = bind(sql, params, placeholder)
    if len(numbers) > _PARAMETERS_MAX:
        raise QueryError(f"{len(numbers)} values are more than one query takes")
    return text, [flat[name] for name in numbers]


def _cast(value: Any) -> str:
    """What fixes a parameter's type. A text has none: it may meet a text or a UUID."""
    if isinstance(value, bool):
        return "::boolean"
    if isinstance(value, int):
        return "::bigint" if -(2**63) <= value < 2**63 else "::numeric"
    if isinstance(value, datetime):
        return "::timestamptz"
    if isinstance(value, Decimal):
        return "::numeric"
    return "::float8" if isinstance(value, float) else ""


def _is_whole(values: Iterable[Decimal | None]) -> bool:
    """Whether a numeric column is a sum of integers: no value has digits after the point.

    PostgreSQL sums bigints to the same type as decimals, but keeps the ten digits of a cost even
    when it is zero. So a conditional sum of cost must leave its other branch null, not a bare 0.
    """
    return all(value is None or value.as_tuple().exponent == 0 for value in values)


def _arrow(oid: int, values: Sequence[Any]) -> pa.Array:
    if oid != _NUMERIC:
        return pa.array(values, _ARROW_TYPES.get(oid, pa.string()))
    known = [value for value in values if value is not None]
    if known and _is_whole(known):
        try:
            return pa.array([None if v is None else int(v) for v in values], pa.int64())
        except (OverflowError, pa.ArrowInvalid):
            raise QueryError("a sum of integers does not fit into 64 bits") from None
    digits = max((-int(v.as_tuple().exponent) for v in known), default=COST_DECIMALS)
    return pa.array(values, pa.decimal128(38, digits))
