"""The embedded event store: one DuckDB file, one process, one writer.

Exactly-once without an index on disk: identities live in a :class:`KeyIndex` in memory, and
only suspects are looked up in the file. Roll-up rows are appended in the transaction of their
events and folded later, so a commit costs one fsync whatever it holds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ebbtide.domain.errors import (
    MigrationError,
    QueryError,
    StorageFull,
    StoreRefused,
    StoreUnavailable,
)
from ebbtide.domain.event import Outcome
from ebbtide.domain.time import EPOCH
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
from ebbtide.store.events.identities import Identity, Row, keys_of, repeats_in, settle, uuid_texts
from ebbtide.store.events.key_index import KeyIndex, Keys
from ebbtide.store.events.scrub import begin_scrub, is_scrub_due, scrub_piece

# A checkpoint rewrites what the log holds and makes commits wait, so it is kept rare: below
# this size it happens only when ingest is idle.
WAL_CHECKPOINT_BYTES = 256 * 1024 * 1024
IDLE_CHECKPOINT_BYTES = 4 * 1024 * 1024
# Fresh roll-up rows that trigger a fold: small enough to scan in about a millisecond.
FOLD_ROWS = 60_000
# A commit of at least this many events is summed well enough by itself and needs no folding.
LARGE_COMMIT_EVENTS = 20_000
REFOLD_ROWS = 500_000
WORTH_REFOLDING = 0.8  # of the rows would be left
# So many events of the newest commits are remembered for whoever asks what is new: three columns
# of them, a few megabytes, for a question that would otherwise be planned and read from the file.
TAIL_EVENTS = 100_000
TAIL_COMMITS = 2_000
# Texts of queries that were seen to be one SELECT; the same few are asked all the time.
CHECKED_TEXTS = 200
# What DuckDB may keep in memory while nobody asks anything, and while the identities are read.
RESTING_MEMORY_MB = 16
LOADING_MEMORY_MB = 48

_SUMS = """
    sum(num)::BIGINT, sum(num_cost)::BIGINT, sum(cost_usd)::DECIMAL(38, 10),
    sum(num_latency)::BIGINT, sum(latency_ms)::HUGEINT,
    min(first_at), max(last_at), max(last_received_at), max(change_seq)
"""
_ROLL_UP = """
INSERT INTO {table}
SELECT tenant_id,
       date_trunc('hour', timestamp - INTERVAL 1 MICROSECOND) + INTERVAL 1 HOUR,
       event_type,
       count(*), count(cost_usd), sum(cost_usd)::DECIMAL(38, 10),
       count(latency_ms), sum(latency_ms),
       min(timestamp), max(timestamp), max(received_at),
       {change_seq}
FROM incoming GROUP BY 1, 2, 3
"""
_FOLD = f"""
INSERT INTO rollup_folded
SELECT tenant_id, hour_end, event_type, {_SUMS} FROM rollup_fresh GROUP BY ALL ORDER BY hour_end
"""

# One statement sees one commit's end: the newest number and the rows up to it.
_CHANGES = """
WITH changed AS (
    SELECT tenant_id, event_type, first_at, last_at, change_seq FROM rollup_folded
    UNION ALL
    SELECT tenant_id, event_type, first_at, last_at, change_seq FROM rollup_fresh
)
SELECT tenant_id, event_type, min(first_at), max(last_at), max(change_seq)
FROM changed WHERE change_seq > :since GROUP BY ALL ORDER BY tenant_id, event_type
"""


_TAIL_COLUMNS = ["tenant_id", "event_type", "timestamp"]


class DuckDBEventStore(EventStore):
    """Events in one DuckDB file."""

    engine = "duckdb"
    # Measured on 10 M events of 300 tenants: at 50 names the sums of 30 days cost what they cost
    # for all; columns are read whole either way, and each name is compared with each row.
    tenants_named_max = 50
    durability = Durability(
        survives_process_kill=True,
        survives_power_cut=True,
        note="every commit is in the write-ahead log and fsynced before append returns",
    )

    def __init__(self, path: Path | str, *, memory_limit_mb: int = 512, threads: int = 1) -> None:
        """Open (or create) the file; :meth:`migrate` must run before anything else.

        Args:
            path: the database file; its write-ahead log stands beside it.
            memory_limit_mb: what DuckDB may hold in memory, caches included.
            threads: for one query. One by default: on two cores a query that takes both holds
                up the writer, and several readers still run beside one another.

        Raises:
            StoreUnavailable: the file is locked by another process, or is no DuckDB file.
        """
        self.path = Path(path)
        self._memory_limit_mb = memory_limit_mb
        self._threads = threads
        self._local = threading.local()
        self._generation = 0
        self._lock = threading.RLock()
        self._reading = threading.Lock()
        self._num_reading = 0
        self._index: KeyIndex | None = None
        self._fresh_rows = 0
        self._folded_rows = 0
        self._refolded_rows = 0
        self._scrub_due = False
        self._change_seq = 0
        self._tail = _Tail(0)
        self._checked: set[str] = set()
        self._con = self._open()

    # -- opening, migrating, closing -------------------------------------------------------

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            con = duckdb.connect(
                str(self.path),
                config={
                    "storage_compatibility_version": "v1.5.0",
                    "memory_limit": f"{self._memory_limit_mb}MB",
                    "threads": str(self._threads),
                    "wal_autocheckpoint": f"{WAL_CHECKPOINT_BYTES // 1024**2}MB",
                    "preserve_insertion_order": "true",
                    # Nothing that SQL says may reach files, other databases or the network.
                    "enable_external_access": "false",
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                    "python_enable_replacements": "false",
                    "arrow_lossless_conversion": "true",
                },
            )
        except duckdb.Error as error:
            raise _translate(error, f"cannot open {self.path.name}") from error
        self._generation += 1
        return con

    def _reopen(self) -> None:
        """Start over after an error that left the connection unusable."""
        try:
            self._con.close()
        except duckdb.Error:
            pass  # it is broken already; a fresh one follows
        self._con = self._open()
        self._index = None
        self._load()

    def migrate(self) -> list[int]:
        con = self._con
        try:
            con.execute(
                "CREATE TABLE IF NOT EXISTS ebbtide_schema (number INTEGER NOT NULL,"
                " name VARCHAR NOT NULL, checksum VARCHAR NOT NULL)"
            )
            stored = con.execute("SELECT number, checksum FROM ebbtide_schema").fetchall()
            steps = migrations.pending("duckdb", dict(stored))
            for step in steps:
                con.begin()
                try:
                    for statement in split_statements(step.sql):
                        con.execute(statement)
                    con.execute(
                        "INSERT INTO ebbtide_schema VALUES (?, ?, ?)",
                        [step.number, step.name, step.checksum],
                    )
                    con.commit()
                except duckdb.Error as error:
                    con.rollback()
                    raise MigrationError(f"duckdb: {step.name} failed: {error}") from error
        except duckdb.Error as error:
            raise _translate(error, "cannot migrate") from error
        self._load()
        return [step.number for step in steps]

    def _load(self) -> None:
        """Fill the key index and the upkeep counters from the file."""
        index = KeyIndex()
        num_events, self._fresh_rows, self._folded_rows, self._change_seq = self._con.execute(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM rollup_fresh),"
            " (SELECT count(*) FROM rollup_folded),"
            " greatest(0, (SELECT max(change_seq) FROM rollup_folded),"
            " (SELECT max(change_seq) FROM rollup_fresh), (SELECT max(change_seq) FROM erased))"
        ).fetchall()[0]
        self._limit_memory(LOADING_MEMORY_MB)  # what is read once need not be kept
        try:
            index.load(self._stored_keys(), num_expected=num_events)
        finally:
            self._limit_memory(self._memory_limit_mb)
        self._index = index
        self._tail = _Tail(self._change_seq)
        self._refolded_rows = self._folded_rows
        self._scrub_due = is_scrub_due(self._con)

    def _limit_memory(self, megabytes: int) -> None:
        """Set what DuckDB may hold; caches above it are given back at once."""
        self._con.execute(f"SET memory_limit = '{megabytes}MB'")

    def _stored_keys(self) -> Iterator[Keys]:
        reader = self._con.sql("SELECT event_uuid, tenant_id FROM events").to_arrow_reader(200_000)
        for batch in reader:
            if batch.num_rows:
                yield keys_of(batch.column(0), batch.column(1))

    def close(self) -> None:
        with self._lock:
            self._con.close()

    # -- writing ---------------------------------------------------------------------------

    def append(self, batch: pa.RecordBatch) -> Outcomes:
        with self._lock:
            if self._index is None:
                self._reopen()
            index = self._index
            assert index is not None
            outcomes = np.full(batch.num_rows, Outcome.STORED, np.uint8)
            keys = keys_of(batch.column("event_uuid"), batch.column("tenant_id"))
            suspects = index.suspects(keys) | repeats_in(keys)
            try:
                if suspects.any():
                    settle(batch, np.flatnonzero(suspects), outcomes, self._stored)
                new = outcomes == Outcome.STORED
                if new.all():
                    self._insert(batch)
                elif new.any():
                    keys = keys[new]
                    self._insert(batch.filter(pa.array(new)))
                else:
                    return outcomes
            except duckdb.Error as error:
                # Whether the commit reached the disk may be unknown: as suspects, the rows are
                # looked up when the client retries, so the answer stays exact either way.
                index.add(keys)
                fault = _translate(error, "cannot store events")
                self._recover(error)
                raise fault from error
            index.add(keys)
            if self._fresh_rows >= FOLD_ROWS:
                try:
                    self._fold()
                except duckdb.Error as error:
                    # The events are on disk and their sums are right unfolded: that must be
                    # said. The next fold, or upkeep, meets the same trouble and reports it.
                    self._recover(error)
            return outcomes

    def _insert(self, batch: pa.RecordBatch) -> None:
        con = self._con
        # A number is never given twice, not even when the commit before failed.
        self._change_seq += 1
        con.register("incoming", _without_zone(batch))
        try:
            con.begin()
            try:
                _changed(con, "INSERT INTO events SELECT * FROM incoming")
                is_large = batch.num_rows >= LARGE_COMMIT_EVENTS
                table = "rollup_folded" if is_large else "rollup_fresh"
                rolled = _changed(con, _ROLL_UP.format(table=table, change_seq=self._change_seq))
                self._tail = self._tail.before(batch)
                con.commit()
                self._tail = self._tail.after(self._change_seq)
            except BaseException:
                # Was it committed? The file knows.
                self._tail = _Tail(self._change_seq)
                _rollback(con)
                raise
            if is_large:
                self._folded_rows += rolled
            else:
                self._fresh_rows += rolled
        finally:
            con.unregister("incoming")

    def _stored(self, suspects: list[Row]) -> dict[Identity, Row]:
        """The stored rows of these identities.

        A retry carries the timestamp of the first try, so a look between the suspects' own
        timestamps (one or two row groups) finds nearly all; the whole column is read for the rest.
        """
        wanted = {(row["tenant_id"], row["event_uuid"]) for row in suspects}
        times = [_naive(row["timestamp"]) for row in suspects]
        found = self._find(wanted, min(times), max(times))
        missing = wanted - found.keys()
        if missing:
            known = self._index.suspects(_keys_of(missing)) if self._index else None
            if known is not None and known.any():
                found |= self._find(missing, None, None)
        return found

    def _find(
        self,
        wanted: set[Identity],
        first: datetime | None,
        last: datetime | None,
    ) -> dict[Identity, Row]:
        raw = pa.array([uuid for _, uuid in wanted], pa.binary(16))
        ids = pa.table({"wanted": pa.ExtensionArray.from_storage(pa.uuid(), raw)})
        bounds, params = "", {}
        if first is not None:
            bounds = " AND timestamp >= $first AND timestamp <= $last"
            params = {"first": first, "last": last}
        self._con.register("suspects", ids)
        try:
            table = self._con.sql(
                f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE event_uuid IN"
                f" (SELECT wanted FROM suspects){bounds}",
                params=params,
            ).to_arrow_table()
        finally:
            self._con.unregister("suspects")
        found = {}
        for row in table.to_pylist():
            row["event_uuid"] = _uuid_bytes(row["event_uuid"])
            row["timestamp"] = row["timestamp"].replace(tzinfo=UTC)
            identity = (row["tenant_id"], row["event_uuid"])
            if identity in wanted:
                found[identity] = row
        return found

    def _recover(self, error: duckdb.Error) -> None:
        """Leave a connection that can be used again, as far as that is possible now."""
        _rollback(self._con)
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            self._index = None  # the next append opens the file anew

    def erase_tenant(self, tenant_id: str) -> int:
        with self._lock:
            try:
                self._con.begin()
                try:
                    who = {"tenant": tenant_id}
                    gone = _changed(self._con, "DELETE FROM events WHERE tenant_id = $tenant", who)
                    self._tail = _Tail(self._change_seq)
                    for table in ("rollup_folded", "rollup_fresh"):
                        _changed(
                            self._con,
                            f"DELETE FROM {table} WHERE tenant_id = $tenant",
                            who,
                        )
                    if gone:
                        begin_scrub(self._con)
                    # The newest number may go with its rows; after a restart it must not come back.
                    self._con.execute("INSERT INTO erased VALUES ($seq)", {"seq": self._change_seq})
                    self._con.commit()
                except BaseException:
                    _rollback(self._con)
                    raise
                # Whatever fails from here on, the bytes have to go.
                self._scrub_due = is_scrub_due(self._con)
                # A deleted row is only marked; this writes the others anew.
                self._fold()
                self._refold()
                self._con.execute("CHECKPOINT")  # so that the log does not keep what was erased
            except duckdb.Error as error:
                fault = _translate(error, "cannot erase")
                self._recover(error)
                raise fault from error
            return gone

    # -- upkeep ----------------------------------------------------------------------------

    def _fold(self) -> None:
        """Sum the fresh roll-up rows into the folded ones; sums stay equal at every moment."""
        con = self._con
        con.begin()
        try:
            added = _changed(con, _FOLD)
            _changed(con, "DELETE FROM rollup_fresh")
            con.commit()
        except BaseException:
            _rollback(con)
            raise
        self._fresh_rows = 0
        self._folded_rows += added

    def _refold_if_worth(self) -> None:
        """Refold unless nearly every row has a key of its own, as after a file in order of time.

        To guess the number of keys takes a twentieth of the time of a refold.
        """
        row = self._con.execute(
            "SELECT approx_count_distinct((tenant_id, hour_end, event_type)) FROM rollup_folded"
        ).fetchone()
        num_keys = 0 if row is None else row[0]
        if num_keys < WORTH_REFOLDING * self._folded_rows:
            self._refold()
        else:
            self._refolded_rows = self._folded_rows

    def _refold(self) -> None:
        """Bring the folded rows down to one per key; late events leave several."""
        con = self._con
        con.begin()
        try:
            con.execute(
                "CREATE OR REPLACE TEMP TABLE refolded AS SELECT tenant_id, hour_end, event_type,"
                f" {_SUMS} FROM rollup_folded GROUP BY ALL ORDER BY hour_end"
            )
            _changed(con, "DELETE FROM rollup_folded")
            kept = _changed(con, "INSERT INTO rollup_folded SELECT * FROM refolded")
            con.commit()
        except BaseException:
            _rollback(con)
            raise
        con.execute("DROP TABLE IF EXISTS refolded")
        self._folded_rows = self._refolded_rows = kept

    def maintain(self) -> bool:
        with self._lock:
            try:
                if self._fresh_rows > FOLD_ROWS // 10:
                    self._fold()
                if self._folded_rows > 2 * self._refolded_rows + REFOLD_ROWS:
                    self._refold_if_worth()
                if self._scrub_due:
                    self._scrub_due = not scrub_piece(self._con)
                if self._wal_bytes() > IDLE_CHECKPOINT_BYTES:
                    self._con.execute("CHECKPOINT")
                self._rest()
                return self._scrub_due
            except duckdb.Error as error:
                fault = _translate(error, "upkeep failed")
                self._recover(error)
                raise fault from error

    def _rest(self) -> None:
        """Give cached pages back to the machine, unless somebody is reading now.

        A query that needs more than the resting limit would fail while it is in force, so
        new ones wait the few milliseconds.
        """
        with self._reading:
            if self._num_reading == 0:
                try:
                    self._limit_memory(RESTING_MEMORY_MB)
                except duckdb.OutOfMemoryException:
                    pass  # something holds more than that just now; the next rest tries again
                finally:
                    self._limit_memory(self._memory_limit_mb)

    @contextmanager
    def _read(self) -> Iterator[None]:
        with self._reading:
            self._num_reading += 1
        try:
            yield
        finally:
            with self._reading:
                self._num_reading -= 1

    def _wal_bytes(self) -> int:
        wal = self.path.with_name(self.path.name + ".wal")
        return wal.stat().st_size if wal.exists() else 0

    def storage_bytes(self) -> int | None:
        size = self.path.stat().st_size if self.path.exists() else 0
        return size + self._wal_bytes()

    # -- reading ---------------------------------------------------------------------------

    def _reader(self) -> duckdb.DuckDBPyConnection:
        """This thread's own connection to the same database."""
        if getattr(self._local, "generation", None) != self._generation:
            with self._lock:
                self._local.con = self._con.cursor()
                self._local.generation = self._generation
        con: duckdb.DuckDBPyConnection = self._local.con
        return con

    def _bound(self, sql: str, params: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        text, values = bind(sql, params or {}, lambda name, _: f"${name}")
        flat = {k: _naive(v) if isinstance(v, datetime) else v for k, v in values.items()}
        if text not in self._checked:
            statements = self._reader().extract_statements(text)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise QueryError("a query is one SELECT")
            if len(self._checked) >= CHECKED_TEXTS:
                self._checked.clear()
            self._checked.add(text)
        return text, flat

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        try:
            text, values = self._bound(sql, params)
            with self._read():
                con = self._reader().execute(text, values)
                kinds = [str(column[1]) for column in con.description or []]
                rows = con.fetchall()
        except duckdb.Error as error:
            raise _translate(error, "query failed", reading=True) from error
        instants = [i for i, kind in enumerate(kinds) if kind.startswith("TIMESTAMP")]
        uuids = [i for i, kind in enumerate(kinds) if kind == "UUID"]
        if not (instants or uuids):
            return rows
        out = []
        for row in rows:
            values_ = list(row)
            for i in instants:
                if values_[i] is not None:
                    values_[i] = values_[i].replace(tzinfo=UTC)
            for i in uuids:
                if values_[i] is not None:
                    values_[i] = str(values_[i])
            out.append(tuple(values_))
        return out

    def query_arrow(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        try:
            text, values = self._bound(sql, params)
            with self._read():
                table = self._reader().sql(text, params=values).to_arrow_table()
        except duckdb.Error as error:
            raise _translate(error, "query failed", reading=True) from error
        return _portable(table)

    def newest_change(self) -> int:
        return self._tail.newest

    def changes(self, since: int) -> tuple[list[Change], int]:
        if since > self._change_seq:
            since = 0  # asked with the number of another file, or of this one before a restore
        tail = self._tail  # never changed once made
        if since >= tail.since:
            return tail.changes(since)
        rows = self.query(_CHANGES, {"since": since})
        newest = max((row[4] for row in rows), default=since)
        return [Change(*row[:4]) for row in rows], newest

    def ping(self) -> None:
        if self._index is None:
            with self._lock:
                self._reopen()
        self.query("SELECT 1")


class _Tail:
    """The events of the newest commits, as far as anybody asks what they are; never changed.

    It holds all commits after the one numbered ``since``, and the one under way: of that one
    nobody knows whether readers see it already, so it is told now and will be told again.
    """

    __slots__ = ("_commits", "_num_events", "_under_way", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self._commits: tuple[tuple[int, pa.RecordBatch], ...] = ()
        self._under_way: tuple[pa.RecordBatch, ...] = ()
        self._num_events = 0

    def before(self, batch: pa.RecordBatch) -> _Tail:
        """With a commit that is about to be made."""
        tail = _Tail(self.since)
        tail._commits, tail._num_events = self._commits, self._num_events
        tail._under_way = (batch.select(_TAIL_COLUMNS),)
        return tail

    def after(self, change_seq: int) -> _Tail:
        """With the commit that was under way made; begun anew when there are too many."""
        (batch,) = self._under_way
        commits = (*self._commits, (change_seq, batch))
        num_events = self._num_events + batch.num_rows
        if num_events > TAIL_EVENTS or len(commits) > TAIL_COMMITS:
            return _Tail(change_seq)
        tail = _Tail(self.since)
        tail._commits, tail._num_events = commits, num_events
        return tail

    @property
    def newest(self) -> int:
        """The number of the newest commit that readers see."""
        return self._commits[-1][0] if self._commits else self.since

    def changes(self, since: int) -> tuple[list[Change], int]:
        """What came after a commit that is not older than the tail's own ``since``."""
        new = [batch for change_seq, batch in self._commits if change_seq > since]
        new += self._under_way
        if not new:
            return [], since
        table = pa.Table.from_batches(new).group_by(["tenant_id", "event_type"])
        found = table.aggregate([("timestamp", "min"), ("timestamp", "max")])
        # Instants by themselves: arrow's own way to moments with a zone takes ten times as long.
        names = (found[name].to_pylist() for name in ("tenant_id", "event_type"))
        instants = (
            [EPOCH + timedelta(microseconds=us) for us in found[name].cast(pa.int64()).to_pylist()]
            for name in ("timestamp_min", "timestamp_max")
        )
        changes = sorted(Change(*row) for row in zip(*names, *instants, strict=True))
        return changes, max((since, *(change_seq for change_seq, _ in self._commits[-1:])))


def _keys_of(identities: set[Identity]) -> Keys:
    ordered = list(identities)
    return KeyIndex.keys(b"".join(uuid for _, uuid in ordered), [tenant for tenant, _ in ordered])


def _uuid_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(value.bytes)


def _without_zone(batch: pa.RecordBatch) -> pa.Table:
    """The batch with plain UTC instants, as the tables hold them: no session zone is asked.

    The same bytes under another name. A cast would hand the interpreter's lock over for each
    column, and at full load every handing over costs more than the whole insert.
    """
    columns, fields = [], []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pa.types.is_timestamp(field.type):
            field = pa.field(field.name, pa.timestamp("us"), field.nullable)
            column = pa.Array.from_buffers(
                field.type, len(column), column.buffers(), offset=column.offset
            )
        columns.append(column)
        fields.append(field)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _portable(table: pa.Table) -> pa.Table:
    """Types every engine gives: instants in UTC, sums of integers as 64-bit integers."""
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", tz="UTC"))
        elif isinstance(column.type, pa.OpaqueType) and column.type.type_name == "hugeint":
            column = _narrowed(column)
        elif isinstance(column.type, pa.UuidType):
            column = pa.chunked_array([uuid_texts(chunk) for chunk in column.chunks], pa.string())
        columns.append(column)
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def _narrowed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = []
    for chunk in column.chunks:
        whole = np.frombuffer(chunk.storage.buffers()[1], "<i8").reshape(-1, 2)
        whole = whole[chunk.offset : chunk.offset + len(chunk)]
        low = whole[:, 0]
        is_null = chunk.is_null().to_numpy(False)  # what stands under a null is no number
        if ((whole[:, 1] != low >> 63) & ~is_null).any():
            raise QueryError("a sum of integers does not fit into 64 bits")
        chunks.append(pa.array(low, pa.int64(), mask=is_null))
    return pa.chunked_array(chunks, pa.int64())


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _changed(con: duckdb.DuckDBPyConnection, sql: str, params: dict[str, Any] | None = None) -> int:
    """Run one change to its end and return how many rows it touched."""
    return int(con.execute(sql, params).fetchall()[0][0])


def _rollback(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.rollback()
    except duckdb.Error:
        pass  # no transaction is open any more: the error itself ended it


def _translate(error: duckdb.Error, what: str, *, reading: bool = False) -> Exception:
    """The error of ours that a driver's error means."""
    text = str(error)
    if "No space left" in text or "disk quota" in text.lower():
        return StorageFull(f"{what}: no space left on the device", retry_after_s=10)
    if isinstance(error, duckdb.ProgrammingError | duckdb.NotSupportedError | duckdb.DataError):
        return (QueryError if reading else StoreRefused)(f"{what}: {text}")
    return StoreUnavailable(f"{what}: {text.splitlines()[0]}")
