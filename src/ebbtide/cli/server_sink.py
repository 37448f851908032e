"""Where ``ebbtide import`` brings its chunks: a server, asked again while it is in trouble."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar
from uuid import uuid4

import pyarrow as pa

from ebbtide.cli.door import CommandError, Door
from ebbtide.domain.event import Outcome
from ebbtide.domain.time import parse_instant
from ebbtide.ingest import file_import
from ebbtide.ingest.bulk import BulkOutcome, Example
from ebbtide.ingest.bulk_wire import MEDIA_TYPE, to_stream
from ebbtide.ingest.file_import import DOOR, TableOrigin
from ebbtide.store.state.imports import ImportProgress

REQUESTS_MAX = 2  # one is being stored, the next is being sent and checked
TRIES = 5  # of one request that met a store or server in trouble
RETRY_AFTER_S = 2.0

_T = TypeVar("_T")


class ServerSink:
    """Chunks go to a server, which checks and stores them and keeps the progress."""

    def __init__(self, door: Door, pause: Callable[[float], None]) -> None:
        """Bind to a server.

        Args:
            pause: waits some seconds before a request is sent again.
        """
        self._door = door
        self._pause = pause
        self._senders = ThreadPoolExecutor(REQUESTS_MAX, thread_name_prefix="ebbtide-send")
        self._under_way: deque[Future[BulkOutcome]] = deque()
        self._last_id: str | None = None

    @property
    def table_bytes_max(self) -> int:
        """What the server's door takes."""
        return file_import.SEND_BYTES

    def begin(self, table: pa.Table, origin: TableOrigin) -> Future[BulkOutcome]:
        """Send one table while the last one is being stored; the server keeps their order."""
        while len(self._under_way) >= REQUESTS_MAX:
            wait([self._under_way.popleft()])
        request_id, after = uuid4().hex, self._last_id
        self._last_id = request_id
        asked: dict[str, str | None] = {
            "door": DOOR,
            "source": origin.default_source,
            "file": origin.file,
            "key": origin.key,
            "mapping": origin.mapping,
            "raw_later": "1" if origin.asks_raw else None,
        }
        future = self._senders.submit(
            self._send, table, asked | {"request_id": request_id, "after": after}
        )
        self._under_way.append(future)
        return future

    def _send(self, table: pa.Table, asked: dict[str, str | None]) -> BulkOutcome:
        """Send one table; sending it again after a lost answer stores nothing twice."""
        body = to_stream(table)
        answer = self._ask(lambda: self._door.send("/v1/bulk", body, MEDIA_TYPE, **asked))
        outcome = BulkOutcome()
        outcome.counts.update({one: answer[one.word] for one in Outcome})
        outcome.reasons.update(answer["reasons"])
        outcome.examples = [Example(one["line"], one["reason"]) for one in answer["examples"]]
        outcome.raw_wanted = answer["raw_wanted"]
        return outcome

    def close(self) -> None:
        """Wait for what is under way."""
        self._senders.shutdown()

    def find_progress(self, import_key: str) -> ImportProgress | None:
        """Ask how far an import came."""
        try:
            kept = self._ask(lambda: self._door.get(f"/v1/imports/{import_key}"))
        except CommandError as error:
            if error.status == 404:
                return None
            raise
        started_at = parse_instant(kept.pop("started_at"))
        finished_at = kept.pop("finished_at")
        return ImportProgress(
            **kept,
            started_at=started_at,
            finished_at=None if finished_at is None else parse_instant(finished_at),
        )

    def save_progress(self, progress: ImportProgress) -> None:
        """Have it written down."""
        body = {
            "file": progress.file,
            "position": progress.position,
            "rows_done": progress.rows_done,
            **{f"num_{one.word}": getattr(progress, f"num_{one.word}") for one in Outcome},
            "is_finished": progress.finished_at is not None,
        }
        self._ask(lambda: self._door.put(f"/v1/imports/{progress.import_key}", body))

    def _ask(self, request: Callable[[], _T]) -> _T:
        """Ask again while server or stores are in trouble; every request here may be repeated."""
        for attempt in range(1, TRIES + 1):
            try:
                return request()
            except CommandError as error:
                passes = error.status is None or error.status in (429, 503)
                if not passes or attempt == TRIES:
                    raise
                self._pause(RETRY_AFTER_S * attempt)
        raise AssertionError("unreachable")
