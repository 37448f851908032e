"""Connections to PostgreSQL: how they are set up, shared among readers, and what errors mean."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format

from ebbtide.domain.errors import (
    EbbtideError,
    QueryError,
    SettingsError,
    StorageFull,
    StoreRefused,
    StoreUnavailable,
)

Connection = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

CONNECT_TIMEOUT_S = 5
ANSWER_LOST_MS = 30_000  # unacknowledged bytes on the network for this long: the peer is gone
READERS_MAX = 8
READER_WAIT_S = 30


class Binary(bytes):
    """A parameter that is already in PostgreSQL's binary form; the SQL casts it."""


class BinaryDumper(Dumper):
    """Hands such bytes over as they are."""

    format = Format.BINARY

    def dump(self, obj: Binary) -> Buffer:
        return obj


class _UuidText(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        h = bytes(data).hex()
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def check_url(url: str) -> None:
    """Refuse a URL that cannot be read; the message never repeats it, for it holds a password."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise SettingsError("the PostgreSQL URL of the event store cannot be read") from None


def connect(url: str, role: str, settings: dict[str, str]) -> Connection:
    """Open a connection that speaks UTC and binary.

    Args:
        role: stands in ``application_name``, so that an operator knows who asks.
        settings: session settings beside the ones that every connection gets.

    Raises:
        psycopg.Error: the server does not answer or refuses us.
    """
    given = conninfo_to_dict(url)
    extra: dict[str, Any] = {"application_name": f"ebbtide {role}"}
    defaults = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": ANSWER_LOST_MS}
    extra |= {name: value for name, value in defaults.items() if name not in given}
    con: Connection = psycopg.connect(
        url, autocommit=True, cursor_factory=psycopg.RawCursor, **extra
    )
    con.adapters.register_dumper(Binary, BinaryDumper)
    con.adapters.register_loader("uuid", _UuidText)
    try:
        for name, value in {"TimeZone": "UTC", "client_encoding": "UTF8", **settings}.items():
            con.execute("SELECT set_config($1, $2, false)", [name, value])
    except BaseException:
        con.close()
        raise
    return con


class Readers:
    """Connections for reading: opened when needed, kept for the next, a bounded number."""

    def __init__(self, url: str, readers_max: int = READERS_MAX) -> None:
        self._url = url
        self._free = threading.BoundedSemaphore(readers_max)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do one piece of reading; it may run twice when an idle connection turns out dead."""
        if not self._free.acquire(timeout=READER_WAIT_S):
            raise StoreUnavailable("every connection for reading has been busy for long")
        try:
            con = self._take_idle()
            if con is not None:
                try:
                    return self._use(con, work)
                except psycopg.OperationalError:
                    if not con.closed:
                        raise
                    self._drop_idle()  # the server restarted: the others are dead, too
            settings = {"default_transaction_read_only": "on"}
            return self._use(connect(self._url, "reader", settings), work)
        finally:
            self._free.release()

    def _use(self, con: Connection, work: Callable[[Connection], T]) -> T:
        try:
            return work(con)
        finally:
            with self._lock:
                keep = not con.closed and not self._closed
                if keep:
                    self._idle.append(con)
            if not keep:
                con.close()

    def _take_idle(self) -> Connection | None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the event store is closed")
            return self._idle.pop() if self._idle else None

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for con in idle:
            con.close()

    def close(self) -> None:
        """Close what is idle now and, when it comes back, what is in use."""
        with self._lock:
            self._closed = True
        self._drop_idle()


def meaning(error: psycopg.Error, what: str, *, reading: bool = False) -> EbbtideError:
    """The error of ours that a driver's error means."""
    state = error.sqlstate
    message = f"{what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if state == "53100":
        return StorageFull(message, retry_after_s=10)
    if state is None:
        # Without a state the driver speaks: about a value it cannot send, or about the network.
        ours = isinstance(error, psycopg.DataError | psycopg.ProgrammingError)
        return QueryError(message) if reading and ours else StoreUnavailable(message)
    if state[:2] in {"21", "22", "23", "54"}:  # the data, a constraint, a limit
        return QueryError(message) if reading else StoreRefused(message)
    if reading and (state[:2] in {"0A", "42"} or state == "25006"):  # the text of the query
        return QueryError(message)
    return StoreUnavailable(message)
