"""The event store on ClickHouse: a server over HTTP, or the same engine in process (chDB).

ClickHouse has neither unique keys nor transactions over tables. Exactly-once is held by one
writer at a time with a :class:`KeyIndex` of all stored identities; the roll-up is a projection
inside the events' own parts, so it cannot be out of step.
"""

from __future__ import annotations

import errno
import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid4

import clickhouse_connect
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError
from clickhouse_connect.driver.httputil import get_pool_manager

from ebbtide.domain.errors import (
    EbbtideError,
    MigrationError,
    QueryError,
    SettingsError,
    StorageFull,
    StoreUnavailable,
)
from ebbtide.domain.event import Outcome
from ebbtide.store.events import migrations
from ebbtide.store.events.base import (
    EVENT_COLUMNS,
    Change,
    Durability,
    EventStore,
    Outcomes,
    bind,
    split_statements,
)
from ebbtide.store.events.identities import keys_of, repeats_in, settle, uuid_texts
from ebbtide.store.events.key_index import KeyIndex, Keys

CONNECT_TIMEOUT_S = 2
QUERY_TIMEOUT_S = 30
# An erasure, or a roll-up built anew, rewrites parts; no other statement takes long.
REWRITE_TIMEOUT_S = 3600
UNLINK_WAIT_S = 15  # the engine cleans up every 1 to 5 s
# Lookups of stored rows: a request's form field holds 128 KiB, and a UUID takes 39 characters.
LOOKUP_ROWS = 2_000
# The number of an insert: that of its writer, then its own. Writers follow one another.
CHANGE_BITS = 32
STORED_COLUMNS = (*EVENT_COLUMNS, "change_seq")
# Keys read in one piece when the index is filled: about 40 MB of answer.
LOAD_ROWS = 1_000_000

# Pinned on every statement, whatever the server's profile says.
_SETTINGS: dict[str, Any] = {
    "async_insert": 0,  # the answer to an insert comes after its parts are on disk
    "wait_for_async_insert": 1,  # the same, where a server insists on asynchronous inserts
    "insert_deduplicate": 0,  # a block-hash memory would swallow rows that were erased and re-sent
    "max_insert_threads": 1,  # one part per partition and insert
    "max_partitions_per_insert_block": 0,  # an import may span all years; a refusal would lose it
    "input_format_null_as_default": 0,
    "session_timezone": "UTC",
    # Standard SQL where ClickHouse has its own ideas:
    "aggregate_functions_null_for_empty": 1,  # MIN over nothing is NULL, not 1970
    "join_use_nulls": 1,
    "prefer_column_name_to_alias": 1,  # SUM(cost_usd) AS cost_usd must not hide the column
    # The format of answers:
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_arrow_compression_method": "none",
    # One query sees one state of the table, however often it names it; a count taken from the
    # table's own counter would be of another moment.
    "enable_shared_storage_snapshot_in_query": 1,
    "optimize_trivial_count_query": 0,
    "max_query_size": 4 * 1024 * 1024,
}

# Numbers of ClickHouse's error list. A refused read is our fault but for these.
_FULL = frozenset((243,))  # NOT_ENOUGH_SPACE
_BUSY = frozenset(
    # unknown database, timeouts, too many queries, network, aborted, memory, read-only table,
    # too many parts, connection, status unknown, cancelled, no thread, authentication, keeper
    (81, 159, 160, 202, 209, 210, 236, 241, 242, 252, 279, 319, 394, 439, 516, 519, 999)
)
# Unreadable text, cut short, checksum, no file (two kinds), wrong size, corrupted, not to be
# decompressed, no such codec.
_TORN = frozenset((27, 33, 40, 107, 226, 228, 246, 271, 432))
_FENCED = 395  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO, raised by our own condition

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.S)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_FIRST_INSTANT = datetime(1900, 1, 1)  # what DateTime64 can hold; no event lies outside
_LAST_INSTANT = datetime(2299, 12, 31, 23, 59, 59, 999999)


class ClickHouseEventStore(EventStore):
    """Events in one database of a ClickHouse server or of a chDB folder."""

    durability = Durability(
        survives_process_kill=True,
        survives_power_cut=True,
        note=(
            "the rows of every new and merged part, its folder and the folder above are fsynced"
            " before append returns; the roll-up inside the part is not, and is checked and"
            " rebuilt from the rows at the next start. A batch over several months is stored"
            " month by month: after a crash some of an unacknowledged batch may be there, and"
            " its retry is recognised. One server; no replication"
        ),
    )

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_s: int = CONNECT_TIMEOUT_S,
        query_timeout_s: int = QUERY_TIMEOUT_S,
        memory_limit_mb: int = 1024,
        threads: int = 2,
    ) -> None:
        """Remember where the store is; nothing is contacted before it is needed.

        Args:
            url: ``clickhouse://user:password@host:8123/database`` (``?secure=1`` for TLS) or
                ``chdb:///folder?database=name``. The database is created by :meth:`migrate`;
                its name defaults to ``ebbtide``.
            connect_timeout_s: for one connection attempt.
            query_timeout_s: for one statement.
            memory_limit_mb: what one statement may hold in memory (chDB only; a server has
                its own limits).
            threads: for one statement (chDB only).

        Raises:
            SettingsError: the URL is not one of the two forms.
        """
        self._where = _Where(url)
        self.engine = self._where.engine
        self._query_timeout_s = query_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._settings = dict(_SETTINGS)
        if self._where.folder is not None:
            self._settings |= {
                "max_threads": threads,
                "max_memory_usage": memory_limit_mb * 1024 * 1024,
            }
        self._lock = threading.RLock()  # one append or erasure at a time
        self._pool_lock = threading.Lock()
        self._writing: Client | None = None
        self._idle: list[Client] = []
        self._closed = False
        self._index: KeyIndex | None = None
        self._writer: str | None = None
        self._doubtful = False
        self._structure = ""
        self._change_seq = 0
        self._settled_seq = 0  # of the newest insert that ended; none before it is under way

    # -- connections -----------------------------------------------------------------------

    def _connect(self, *, readonly: bool, timeout_s: int) -> Client:
        where = self._where
        settings = dict(self._settings)
        if readonly:
            settings["max_execution_time"] = timeout_s
            settings["readonly"] = 2  # reads and settings of reads, nothing else
        try:
            if where.folder is not None:
                Path(where.folder).mkdir(parents=True, exist_ok=True)
                client = clickhouse_connect.get_client(
                    interface="chdb", path=where.folder, settings=settings
                )
            else:
                client = clickhouse_connect.get_client(
                    interface="https" if where.secure else "http",
                    host=where.host,
                    port=where.port,
                    username=where.user,
                    password=where.password,
                    connect_timeout=self._connect_timeout_s,
                    send_receive_timeout=timeout_s,
                    autogenerate_session_id=False,  # a session would forbid concurrent reads
                    query_retries=0,
                    compress=False,
                    settings=settings,
                    pool_mgr=get_pool_manager(),  # its own, so no proxy of the environment
                )
        except Error as error:
            first_line = str(error).splitlines()[0]
            raise StoreUnavailable(f"cannot open {where}: {first_line}") from error
        # Named after the handshake: the first migration runs before the database exists.
        client.database = where.database
        return client

    def _write_client(self) -> Client:
        if self._closed:
            raise StoreUnavailable("the event store is closed")
        if self._writing is None:
            self._writing = self._connect(readonly=False, timeout_s=self._query_timeout_s)
        return self._writing

    @contextmanager
    def _patient(self) -> Iterator[Client]:
        """A client for one statement that rewrites parts."""
        client = self._connect(readonly=False, timeout_s=REWRITE_TIMEOUT_S)
        try:
            yield client
        finally:
            _close(client)

    @contextmanager
    def _reading(self) -> Iterator[Client]:
        """A client for one read; as many exist as reads ran at once."""
        with self._pool_lock:
            if self._closed:
                raise StoreUnavailable("the event store is closed")
            idle = self._idle.pop() if self._idle else None
        client = idle or self._connect(readonly=True, timeout_s=self._query_timeout_s)
        try:
            yield client
        finally:
            with self._pool_lock:
                kept = not self._closed
                if kept:
                    self._idle.append(client)
            if not kept:
                _close(client)

    def close(self) -> None:
        with self._lock:
            with self._pool_lock:
                self._closed = True
                idle, self._idle = self._idle, []
            for client in idle:
                _close(client)
            if self._writing is not None:
                _close(self._writing)
                self._writing = None

    def ping(self) -> None:
        self.query("SELECT 1")

    # -- migrating -------------------------------------------------------------------------

    def migrate(self) -> list[int]:
        with self._lock, _faults("cannot migrate"):
            client = self._write_client()
            client.command(
                f"CREATE DATABASE IF NOT EXISTS {self._where.database}", use_database=False
            )
            client.command(
                "CREATE TABLE IF NOT EXISTS ebbtide_schema (number UInt32, name String,"
                " checksum String) ENGINE = MergeTree ORDER BY number"
                " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
            )
            stored = _fetch(client, "SELECT number, checksum FROM ebbtide_schema")
            applied = dict(_rows(stored))
            steps = migrations.pending("clickhouse", applied)
            for step in steps:
                try:
                    for statement in split_statements(step.sql):
                        client.command(statement)
                    client.command(
                        "INSERT INTO ebbtide_schema SELECT {number:UInt32}, {name:String},"
                        " {checksum:String}",
                        {"number": step.number, "name": step.name, "checksum": step.checksum},
                    )
                except Error as error:
                    fault = _translate(error, f"{step.name} failed")
                    if isinstance(fault, StoreUnavailable):
                        raise fault from error
                    raise MigrationError(f"clickhouse: {step.name} failed: {error}") from error
            self._claim(client)
            self._check_rollup(client)
            self._load(client)
            return [step.number for step in steps]

    def _check_rollup(self, client: Client) -> None:
        """Build the roll-up anew where a power cut tore it.

        The engine fsyncs a part's rows but not the projection inside it. A torn projection is
        noticed by its sizes and checksums; until it is rebuilt, the rows answer in its place.
        """
        where = {"database": self._where.database}
        try:
            # Every byte of it, without adding anything up: half a second for 10 M events.
            client.command(
                f"SELECT * FROM mergeTreeProjection({self._where.database}, events, rollup)"
                " FORMAT Null"
            )
            torn = _scalar(
                client,
                "SELECT count() FROM system.projection_parts WHERE active AND is_broken"
                " AND database = {database:String} AND table = 'events'",
                where,
            )
        except Error as error:
            if error.code not in _TORN:
                raise
            torn = 1
        if torn:
            with self._patient() as patient:
                for step in ("CLEAR", "MATERIALIZE"):
                    patient.command(
                        f"ALTER TABLE events {step} PROJECTION rollup SETTINGS mutations_sync = 2"
                    )

    # -- the one writer --------------------------------------------------------------------

    def _claim(self, client: Client) -> None:
        """Become the writer: from here on, inserts of every earlier claim are refused.

        The greatest name in ``ebbtide_writer`` may append. Inserts that began under an earlier
        name are waited for, so that what they stored is seen by whoever reads next.
        """
        newest = self._newest_writer(client)
        if self._writer is not None and newest != self._writer:
            raise _fenced()
        number = int(newest.split("-")[0]) + 1 if newest else 1
        writer = f"{number:012d}-{uuid4().hex}"
        client.command(
            "INSERT INTO ebbtide_writer (writer) SELECT {writer:String}", {"writer": writer}
        )
        if self._newest_writer(client) != writer:
            raise _fenced()
        deadline = time.monotonic() + self._query_timeout_s
        running = (
            "SELECT count() FROM system.processes WHERE query_kind = 'Insert'"
            " AND current_database = {database:String}"
        )
        while _scalar(client, running, {"database": self._where.database}):
            if time.monotonic() > deadline:
                raise StoreUnavailable("an earlier insert is still running")
            time.sleep(0.05)
        structure = _fetch(
            client,
            "SELECT name, type FROM system.columns WHERE database = {database:String}"
            " AND table = 'events' ORDER BY position",
            {"database": self._where.database},
        )
        self._structure = ", ".join(f"{name} {kind}" for name, kind in _rows(structure))
        self._writer = writer
        self._change_seq = self._settled_seq = number << CHANGE_BITS
        self._doubtful = False

    def _newest_writer(self, client: Client) -> str:
        newest = _scalar(client, "SELECT max(writer) FROM ebbtide_writer")
        return str(newest) if newest else ""

    def _load(self, client: Client) -> None:
        """Fill the key index from the table, one stretch of the sort order after the other."""
        index = KeyIndex()
        index.load(self._stored_keys(client))
        self._index = index

    def _stored_keys(self, client: Client) -> Iterator[Keys]:
        groups = _fetch(
            client,
            "SELECT event_type, tenant_id, sum(num) FROM event_rollup"
            " GROUP BY event_type, tenant_id ORDER BY event_type, tenant_id",
        )
        for event_type, first, last in _stretches(_rows(groups)):
            table = _fetch(
                client,
                "SELECT toUUID(event_uuid), tenant_id FROM events"
                " WHERE event_type = {event_type:String}"
                " AND tenant_id >= {first:String} AND tenant_id <= {last:String}",
                {"event_type": event_type, "first": first, "last": last},
            )
            for batch in table.to_batches():
                if batch.num_rows:
                    yield keys_of(batch.column(0), batch.column(1))

    # -- writing ---------------------------------------------------------------------------

    def append(self, batch: pa.RecordBatch) -> Outcomes:
        with self._lock, _faults("cannot store events", writing=True):
            client = self._write_client()
            if self._index is None:
                raise StoreUnavailable("the event store was not migrated")
            if self._doubtful:
                self._claim(client)
            outcomes = np.full(batch.num_rows, Outcome.STORED, np.uint8)
            keys = keys_of(batch.column("event_uuid"), batch.column("tenant_id"))
            suspects = self._index.suspects(keys) | repeats_in(keys)
            if suspects.any():
                settle(
                    batch,
                    np.flatnonzero(suspects),
                    outcomes,
                    partial(self._stored, client),
                )
            new = outcomes == Outcome.STORED
            if new.any():
                if not new.all():
                    batch, keys = batch.filter(pa.array(new)), keys[new]
                # Known from before the insert: whatever becomes of it, a retry is looked up.
                self._index.add(keys)
                self._change_seq += 1
                self._insert(client, batch)
                self._settled_seq = self._change_seq
            return outcomes

    def _insert(self, client: Client, batch: pa.RecordBatch) -> None:
        numbers = pa.repeat(pa.scalar(self._change_seq, pa.int64()), batch.num_rows)
        stored = batch.set_column(0, "event_uuid", uuid_texts(batch.column(0)))
        body = _arrow_stream(stored.append_column("change_seq", numbers))
        if self._where.folder is not None:
            # One process owns the folder and one call runs at a time: looking first is enough.
            if self._newest_writer(client) != self._writer:
                raise _fenced()
            client.raw_insert("events", STORED_COLUMNS, body, fmt="ArrowStream")
            return
        # The condition is judged by the server when the insert starts, so one that comes late,
        # after its writer was replaced, stores nothing.
        self._doubtful = True
        structure = self._structure.replace("\\", "\\\\").replace("'", "\\'")
        try:
            client.command(
                f"INSERT INTO events ({', '.join(STORED_COLUMNS)}) SELECT * FROM input("
                f"'{structure}') WHERE throwIf((SELECT max(writer) FROM ebbtide_writer)"
                " != {writer:String}) = 0 FORMAT ArrowStream",
                {"writer": self._writer},
                data=body,
            )
        except Error as error:
            if error.code == _FENCED:
                raise _fenced() from error
            if error.code is not None:
                self._doubtful = False  # the server answered: nothing is on its way any more
            raise
        self._doubtful = False

    def _stored(
        self, client: Client, suspects: list[dict[str, Any]]
    ) -> dict[tuple[str, bytes], dict[str, Any]]:
        """The stored rows of these identities.

        A retry carries the timestamp of the first try, so neighbours in time are looked up
        together, within their own times; what is not found there is sought everywhere.
        """
        ordered = sorted(suspects, key=lambda row: row["timestamp"])
        found: dict[tuple[str, bytes], dict[str, Any]] = {}
        for bounded in (True, False):
            left = [r for r in ordered if (r["tenant_id"], r["event_uuid"]) not in found]
            if not bounded:
                left = [r for r, known in zip(left, self._known(left), strict=True) if known]
            for start in range(0, len(left), LOOKUP_ROWS):
                found |= self._find(client, left[start : start + LOOKUP_ROWS], bounded=bounded)
        return found

    def _known(self, rows: list[dict[str, Any]]) -> npt.NDArray[np.bool_]:
        """Which rows the index knows; a mere repeat inside a batch is not stored anywhere."""
        assert self._index is not None
        uuids = b"".join(row["event_uuid"] for row in rows)
        return self._index.suspects(KeyIndex.keys(uuids, [row["tenant_id"] for row in rows]))

    def _find(
        self, client: Client, rows: list[dict[str, Any]], *, bounded: bool
    ) -> dict[tuple[str, bytes], dict[str, Any]]:
        sql = (
            f"SELECT {', '.join(EVENT_COLUMNS)} FROM events"
            " WHERE tenant_id IN {tenants:Array(String)} AND event_uuid IN {uuids:Array(String)}"
        )
        params: dict[str, Any] = {
            "tenants": sorted({row["tenant_id"] for row in rows}),
            "uuids": [str(UUID(bytes=row["event_uuid"])) for row in rows],
        }
        if bounded:
            sql += " AND timestamp >= {first:DateTime64(6, 'UTC')}"
            sql += " AND timestamp <= {last:DateTime64(6, 'UTC')}"
            params["first"] = _instant_text(rows[0]["timestamp"])
            params["last"] = _instant_text(rows[-1]["timestamp"])
        found = {}
        for row in _fetch(client, sql, params).to_pylist():
            row["event_uuid"] = UUID(row["event_uuid"]).bytes
            found[(row["tenant_id"], row["event_uuid"])] = row
        return found

    def erase_tenant(self, tenant_id: str) -> int:
        """Delete a tenant's events and roll-up for good; returns how many events went.

        Every part that holds the tenant is rewritten without it, projection included, and the
        old files are unlinked before this returns, unless a running query still reads them.
        """
        with self._lock, _faults("cannot erase", writing=True):
            client = self._write_client()
            if self._doubtful:
                self._claim(client)
            who = {"tenant": tenant_id}
            count = _scalar(
                client, "SELECT count() FROM events WHERE tenant_id = {tenant:String}", who
            )
            if count:
                # The engine keeps the text of its latest changes on disk, so the text holds a
                # digest and not the name that is to be forgotten.
                digest = hashlib.sha256(tenant_id.encode()).hexdigest()
                with self._patient() as patient:
                    patient.command(
                        "ALTER TABLE events DELETE WHERE lower(hex(SHA256(tenant_id)))"
                        " = {digest:String} SETTINGS mutations_sync = 2",
                        {"digest": digest},
                    )
                self._await_unlinking(client)
            return int(count)

    def _await_unlinking(self, client: Client) -> None:
        """Wait for the engine's own cleaning, which the table's settings make frequent."""
        old = (
            "SELECT count() FROM system.parts WHERE NOT active AND table = 'events'"
            " AND database = {database:String}"
        )
        deadline = time.monotonic() + UNLINK_WAIT_S
        while _scalar(client, old, {"database": self._where.database}):
            if time.monotonic() > deadline:
                return  # a query still reads them; the engine unlinks them when it ends
            time.sleep(0.1)

    # -- reading ---------------------------------------------------------------------------

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return _rows(self._read(sql, params))

    def query_arrow(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        return _portable(self._read(sql, params))

    def _read(self, sql: str, params: Mapping[str, Any] | None) -> pa.Table:
        if not _is_one_select(sql):
            raise QueryError("a query is one SELECT")
        text, values = bind(sql, params or {}, _placeholder)
        flat = {name: _parameter(value) for name, value in values.items() if value is not None}
        with _faults("query failed"), self._reading() as client:
            return _fetch(client, text, flat)

    def changes(self, since: int) -> tuple[list[Change], int]:
        # Read first: what an insert that is under way shows already is reported again.
        settled = self._settled_seq
        if 0 < since <= settled:
            source, first, last = "events", "timestamp", "timestamp"
            condition = "WHERE change_seq > :since"
        else:  # everything, or asked with the number of another database
            source, first, last, condition = "event_rollup", "first_at", "last_at", ""
        rows = self.query(
            f"SELECT tenant_id, event_type, min({first}), max({last}) FROM {source} {condition}"
            " GROUP BY tenant_id, event_type ORDER BY tenant_id, event_type",
            {"since": since},
        )
        return [Change(*row) for row in rows], settled

    def storage_bytes(self) -> int | None:
        rows = self.query(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = :database",
            {"database": self._where.database},
        )
        return int(rows[0][0] or 0)


# -- where the store is ----------------------------------------------------------------------


class _Where:
    """The parts of a store URL."""

    secure = False
    port = 0

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SettingsError(f"the events URL cannot be read: {error}") from error
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.engine = parts.scheme
        self.folder: str | None = None
        self.host = parts.hostname
        self.user = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else ""
        database = options.pop("database", None)
        if parts.scheme == "chdb":
            self.folder = unquote(parts.netloc + parts.path)
            if not self.folder:
                raise SettingsError("a chdb URL names a folder: chdb:///folder?database=name")
        elif parts.scheme == "clickhouse":
            if not self.host:
                raise SettingsError(
                    "a clickhouse URL names a host: clickhouse://user:password@host:8123/database"
                )
            database = unquote(parts.path.strip("/")) or database
            self.secure = options.pop("secure", "0").lower() in ("1", "true", "yes")
            self.port = port or (8443 if self.secure else 8123)
        else:
            raise SettingsError(f"no ClickHouse URL: {parts.scheme}://")
        if options:
            raise SettingsError(f"the events URL has an unknown option: {min(options)}")
        self.database = database or "ebbtide"
        if not _NAME.fullmatch(self.database):
            raise SettingsError(
                "the database name is letters, digits and underscores, at most 63 of them"
            )

    def __str__(self) -> str:
        return self.folder or f"{self.host}:{self.port}"  # never the password


# -- statements and their answers ------------------------------------------------------------


def _is_one_select(sql: str) -> bool:
    """Whether a text is a single SELECT; the in-process engine would run several statements."""
    bare = _QUOTED.sub(" ", sql).strip().removesuffix(";")
    return ";" not in bare and re.match(r"[\s(]*(SELECT|WITH)\b", bare, re.I) is not None


def _placeholder(name: str, value: Any) -> str:
    """A server-side parameter with its type; the value itself never enters the text."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return f"{{{name}:Bool}}"
    if isinstance(value, int):
        return f"{{{name}:Int64}}"
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int):
            raise QueryError(f"the value for :{name} is not a finite number")
        return f"{{{name}:Decimal(38, {max(0, -exponent)})}}"
    if isinstance(value, datetime):
        return f"{{{name}:DateTime64(6, 'UTC')}}"
    if isinstance(value, str):
        return f"{{{name}:String}}"
    raise QueryError(f"the value for :{name} has a type that no query takes")


def _parameter(value: Any) -> Any:
    """A value as the text that its placeholder's type is read from."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise QueryError("an integer parameter does not fit into 64 bits")
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise QueryError("a time parameter has no time zone")
        return _instant_text(value)
    return value


def _instant_text(moment: datetime) -> str:
    """UTC with microseconds, inside of what DateTime64 can hold (no event lies outside)."""
    naive = moment.astimezone(UTC).replace(tzinfo=None)
    return min(max(naive, _FIRST_INSTANT), _LAST_INSTANT).isoformat(" ", "microseconds")


def _close(client: Client) -> None:
    client.close_connections()
    client.close()


def _fetch(client: Client, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
    answer = client.raw_query(sql, dict(params) if params else None, fmt="ArrowStream")
    with pa.ipc.open_stream(pa.py_buffer(answer)) as stream:
        return stream.read_all()


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(_values(column) for column in table.columns), strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if _is_whole(column.type):
        return [None if value is None else int(value) for value in values]
    return values


def _is_whole(kind: pa.DataType) -> bool:
    """Latencies and their sums are decimals without a fraction, because those have 128 bits."""
    return bool(pa.types.is_decimal(kind) and kind.scale == 0)


def _scalar(client: Client, sql: str, params: Mapping[str, Any] | None = None) -> Any:
    return _rows(_fetch(client, sql, params))[0][0]


def _portable(table: pa.Table) -> pa.Table:
    """Types every engine gives: instants in UTC, whole numbers of 64 bits."""
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", tz="UTC"))
        elif pa.types.is_unsigned_integer(column.type) or _is_whole(column.type):
            try:
                column = column.cast(pa.int64())
            except pa.ArrowInvalid as error:
                raise QueryError("a sum of integers does not fit into 64 bits") from error
        columns.append(column)
    return pa.Table.from_arrays(columns, names=table.column_names)


def _stretches(groups: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, str, str]]:
    """Cut (type, tenant, count) rows into what to read at once: type, first and last tenant."""
    stretch: tuple[str, str, str] | None = None
    rows = 0
    for event_type, tenant_id, count in groups:
        if stretch is not None and stretch[0] == event_type and rows + count <= LOAD_ROWS:
            stretch = (event_type, stretch[1], tenant_id)
            rows += count
            continue
        if stretch is not None:
            yield stretch
        stretch, rows = (event_type, tenant_id, tenant_id), count
    if stretch is not None:
        yield stretch


def _arrow_stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body


# -- identities ------------------------------------------------------------------------------


# -- errors ----------------------------------------------------------------------------------


@contextmanager
def _faults(what: str, *, writing: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except Error as error:
        raise _translate(error, what, writing=writing) from error
    except OSError as error:  # the driver's own temporary file for an in-process insert
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(what) from error
        raise StoreUnavailable(f"{what}: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise QueryError(f"{what}: a text holds a lone surrogate") from error


def _translate(error: Error, what: str, *, writing: bool = False) -> EbbtideError:
    text = str(error)
    if error.code in _FULL or "No space left" in text or "quota exceeded" in text.lower():
        return _no_space(what)
    first_line = text.splitlines()[0] if text else "no reason given"
    if writing or error.code in _BUSY or isinstance(error, OperationalError):
        return StoreUnavailable(f"{what}: {first_line}")
    return QueryError(f"{what}: {first_line}")


def _no_space(what: str) -> StorageFull:
    return StorageFull(f"{what}: no space left on the store's disk", retry_after_s=10)


def _fenced() -> StoreUnavailable:
    return StoreUnavailable(
        "another process has become the writer of this event store; one process appends at a"
        " time, so stop the other one and restart this one",
        retry_after_s=30,
    )
