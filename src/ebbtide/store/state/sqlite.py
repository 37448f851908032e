"""The state store in one SQLite file: the default, for one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from ebbtide.domain.errors import EbbtideError, StorageFull, StoreUnavailable
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Database

BUSY_TIMEOUT_S = 10  # another process may hold the file while it migrates or checkpoints
WAL_KEPT_BYTES = 16 * 2**20  # after one huge write the log shrinks back to this
# The commit that fills so many pages moves the log into the file itself, and is slow. Where
# somebody calls maintain() between writes, that is done before, and few pages are moved twice.
WAL_PAGES_MAX = WAL_KEPT_BYTES // 4096

# What each connection is set to and must read back. FULL: a commit is on the disk before it
# returns; with NORMAL, WAL mode makes no fsync at all and a power cut takes commits back.
_PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
    ("secure_delete", "ON", 1),  # what is erased is overwritten, not only unlinked
    ("journal_size_limit", str(WAL_KEPT_BYTES), WAL_KEPT_BYTES),
    ("wal_autocheckpoint", str(WAL_PAGES_MAX), WAL_PAGES_MAX),
)

_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_NOMEM,
}
# The -shm and -wal files grow by calls of their own, which fail in their own way.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


class SQLiteDatabase(Database):
    """One file, one writer at a time, durable at every commit."""

    name = "sqlite"
    insert = staticmethod(sqlite.insert)
    driver_error = sqlite3.Error

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        # SQLite lets waiting writers poll; inside one process a lock is fairer and faster.
        self._writer = threading.Lock()
        url = sa.URL.create("sqlite+pysqlite", database=str(path))
        engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_s})
        sa.event.listen(engine, "connect", self._on_connect)
        sa.event.listen(engine, "begin", _on_begin)
        super().__init__(engine)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One writer after another; see :meth:`Database.write`."""
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise StoreUnavailable("the state store is busy with another write")
        try:
            with super().write() as connection:
                yield connection
        finally:
            self._writer.release()

    def translate(self, cause: BaseException) -> EbbtideError | None:
        """Errors of the file system and of locks, by SQLite's own codes."""
        code = getattr(cause, "sqlite_errorcode", None)
        if code is None:
            return None
        if code in _FULL or code & 0xFF in _FULL:
            return StorageFull(f"no space is left for the state store ({self.path})")
        if code & 0xFF in _UNAVAILABLE:
            return StoreUnavailable(f"the state store {self.path} cannot be used: {cause}")
        return None

    def take_turn(self, connection: sa.Connection, matter: str) -> None:
        """Nothing to do: a writing transaction is alone from its first word."""

    def now(self, connection: sa.Connection) -> datetime:
        """The machine's clock as SQLite reads it, to the millisecond."""
        text = connection.scalar(sa.text("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"))
        return datetime.fromisoformat(str(text))

    def maintain(self) -> None:
        """Move what the log holds into the file, as far as nobody still reads it there."""
        with self._in_our_words(), closing(self.engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def forget_traces(self) -> None:
        """Move the write-ahead log into the file and empty it.

        Raises:
            StoreUnavailable: another program reads the file and holds the log; the same again
                later does it.
        """
        # Outside of any transaction: a checkpoint inside one is refused.
        with self._in_our_words(), closing(self.engine.raw_connection()) as connection:
            is_busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise StoreUnavailable(
                "another program reads the state store, so its log still holds what was erased; "
                "erase again when that program is done"
            )

    def _on_connect(self, connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, also before DDL
        for pragma, value, expected in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma} = {value}")
            (actual,) = connection.execute(f"PRAGMA {pragma}").fetchone()
            if actual != expected:
                raise StoreUnavailable(
                    f"{self.path}: PRAGMA {pragma} is {actual!r} instead of {expected!r}; "
                    "the state store would not be durable on this file system"
                )


class SQLiteStateStore(StateStore):
    """The state store in one file, which only its owner can read.

    Args:
        path: the file; it and its missing folders are created.
        busy_timeout_s: how long a call waits for other writers before StoreUnavailable.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        _create_private(path)
        super().__init__(SQLiteDatabase(path, busy_timeout_s))


def _on_begin(connection: sa.Connection) -> None:
    # A transaction that starts by reading and then writes can fail for good when another one
    # wrote in between; one that says so at the start waits its turn.
    writes = connection.get_execution_options().get("ebbtide_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_private(path: Path) -> None:
    """Make the file (mode 0600) and missing folders (0700); existing folders stay as they are."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        # The name of a new file lives in its folder, which SQLite does not sync for us.
        folder_fd = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)
    except OSError as error:
        raise StoreUnavailable(f"the state store {path} cannot be opened: {error}") from error
