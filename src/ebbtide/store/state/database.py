"""A database of the state store: its two kinds of transaction, and its errors in our words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ebbtide.domain.errors import EbbtideError, StoreUnavailable

#: A transaction of the state store that is under way, for rooms that only hand it on.
Transaction = sa.Connection


class Database(ABC):
    """One engine behind SQLAlchemy Core; a subclass says only where it differs."""

    #: engine word as in EBBTIDE_STATE_URL
    name: str
    #: the engine's ``INSERT`` with ``ON CONFLICT``
    insert: Any
    #: root of the errors of the engine's driver
    driver_error: type[Exception]

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @abstractmethod
    def translate(self, cause: BaseException) -> EbbtideError | None:
        """A driver's error in our words, or None when it is a fault of our own SQL."""

    @abstractmethod
    def take_turn(self, connection: sa.Connection, matter: str) -> None:
        """Wait until no other transaction has this matter in hand; hold it until this one ends."""

    @abstractmethod
    def now(self, connection: sa.Connection) -> datetime:
        """The moment by the clock that all users of this database share, UTC-aware."""

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and changes nothing.

        Raises:
            StoreUnavailable: the database cannot be reached, or is locked for too long.
        """
        with self._in_our_words(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is durable when the block ends, and undone when the block raises.

        Raises:
            StoreUnavailable: the database cannot be reached, or is locked; nothing was written.
            StorageFull: there is no space; nothing was written.
        """
        with (
            self._in_our_words(),
            self.engine.connect().execution_options(ebbtide_writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    def maintain(self) -> None:
        """Do now what would hold up a later write; nothing where the engine does so by itself."""

    @abstractmethod
    def forget_traces(self) -> None:
        """Remove what deleted rows left in the engine's journal, where that is in our hands."""

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            raise StoreUnavailable("the state store has no free connection") from error
        except (DBAPIError, self.driver_error) as error:
            # Setting up a new connection gives the driver's error as it is.
            cause = error.orig if isinstance(error, DBAPIError) else error
            ours = self.translate(cause) if cause is not None else None
            if ours is None:
                raise
            raise ours from error
