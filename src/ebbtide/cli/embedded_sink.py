"""Where ``ebbtide import`` brings its chunks when it opened the stores itself: to the loader.

A server in this very process would be sent what is in its memory already; writing the chunks as a
stream, sending, receiving and reading them took a seventh of an import.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

import pyarrow as pa

from ebbtide.cli.door import Door
from ebbtide.cli.server_sink import RETRY_AFTER_S, TRIES, ServerSink
from ebbtide.domain.errors import StoreUnavailable
from ebbtide.ingest.bulk import BulkLoader, BulkOutcome, BulkSource, CheckedTable
from ebbtide.ingest.file_import import DOOR, TableOrigin

TABLE_BYTES_MAX = 512 * 1024 * 1024
UNDER_WAY_MAX = 2  # one is being stored, the next is being checked


class EmbeddedSink(ServerSink):
    """Chunks go to a loader in this process; their progress goes the way of every command."""

    def __init__(self, door: Door, loader: BulkLoader, pause: Callable[[float], None]) -> None:
        """Bind to the stores that this process has opened.

        Args:
            pause: waits some seconds before a chunk is tried again.
        """
        super().__init__(door, pause)
        self._loader = loader
        self._checking = ThreadPoolExecutor(1, thread_name_prefix="ebbtide-check")
        self._storing = ThreadPoolExecutor(1, thread_name_prefix="ebbtide-store")
        self._begun: deque[Future[BulkOutcome]] = deque()

    @property
    def table_bytes_max(self) -> int:
        """No wire sets a limit; each piece is a commit, which waits for the disk."""
        return TABLE_BYTES_MAX

    def begin(self, table: pa.Table, origin: TableOrigin) -> Future[BulkOutcome]:
        """Check one table while the last one is being stored, in order."""
        while len(self._begun) >= UNDER_WAY_MAX:
            wait([self._begun.popleft()])
        source = BulkSource(
            door=DOOR,
            received_at=datetime.now(UTC),
            default_source=origin.default_source,
            file=origin.file,
            key=origin.key,
            mapping=origin.mapping,
            asks_raw=origin.asks_raw,
        )
        checked = self._checking.submit(self._check, table, source)
        future = self._storing.submit(self._store, table, source, checked)
        self._begun.append(future)
        return future

    def close(self) -> None:
        """Wait for what is under way."""
        self._checking.shutdown()
        self._storing.shutdown()
        super().close()

    def _check(self, table: pa.Table, source: BulkSource) -> CheckedTable:
        table.validate(full=True)  # a file is no better than what comes over a wire
        return self._loader.check(table, source)

    def _store(
        self, table: pa.Table, source: BulkSource, checked: Future[CheckedTable]
    ) -> BulkOutcome:
        """Store; again while a store is in trouble, for what is stored comes out as duplicate."""
        ready = checked.result()
        for attempt in range(1, TRIES):
            try:
                return self._loader.store(ready)
            except StoreUnavailable:
                self._pause(RETRY_AFTER_S * attempt)
                ready = self._loader.check(table, source)
        return self._loader.store(ready)
