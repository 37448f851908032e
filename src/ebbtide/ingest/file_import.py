"""Imports one file: chunk by chunk into a sink, with progress that survives an interruption.

A chunk counts as done when the sink says that it is durable, and only then its progress is
written down. A crash in between repeats one chunk, whose events come out as duplicates: rows
without an id of their own have one made from the content of the file and their line.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.mapping import SourceMapping
from ebbtide.domain.errors import ImportFailed
from ebbtide.domain.event import Outcome
from ebbtide.ingest.bulk import EXAMPLES_MAX, BulkOutcome, Example
from ebbtide.ingest.bulk_table import LINE, METADATA_PREFIX, RAW
from ebbtide.ingest.column_types import text_column_types
from ebbtide.ingest.file_reader import CsvReader, FileReader, JsonLinesReader, open_file
from ebbtide.ingest.import_table import ImportTable, import_table
from ebbtide.ingest.source_rows import SourceRows
from ebbtide.ingest.validate import KNOWN_FIELDS
from ebbtide.store.state.imports import ImportProgress

DOOR = "import"
CHUNKS_UNDER_WAY = 1  # beside the one that is being made; the server stores them in order
SEND_BYTES = 56 * 1024 * 1024  # of one table; the server's door takes 64 MB


@dataclass(frozen=True, slots=True)
class TableOrigin:
    """Where a table comes from; the words mean what they mean in ``BulkSource``."""

    file: str
    key: str
    default_source: str
    mapping: str | None = None
    asks_raw: bool = False


class Sink(Protocol):
    """Where chunks go: a loader in this process, or a server."""

    @property
    def table_bytes_max(self) -> int:
        """How large a table may be; a larger one is begun in pieces."""

    def begin(self, table: pa.Table, origin: TableOrigin) -> Future[BulkOutcome]:
        """Start to store a bulk table, behind the ones begun before.

        The future is done when every row of it that is not wanted again is durable somewhere.
        May block while too much is under way.
        """

    def find_progress(self, import_key: str) -> ImportProgress | None:
        """How far an import came; None when it was never begun."""

    def save_progress(self, progress: ImportProgress) -> None:
        """Write down how far an import is."""


@dataclass(slots=True)
class ImportReport:
    """What an import did, in this run."""

    file: str
    already_done: ImportProgress | None = None  #: when the file was imported before, all of it
    resumed_rows: int = 0  #: rows that earlier runs had done
    num_rows: int = 0
    num_skipped: int = 0  #: rows that the mapping leaves out
    counts: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)

    def add(self, part: _Part, outcome: BulkOutcome) -> None:
        """Count one more chunk."""
        self.num_rows += part.num_rows
        self.num_skipped += part.made.num_skipped
        self.counts.update(outcome.counts)
        self.reasons.update(outcome.reasons)
        told = sorted(outcome.examples, key=attrgetter("line"))
        self.examples = (self.examples + told)[:EXAMPLES_MAX]

    @property
    def is_clean(self) -> bool:
        """Whether every row is in the store or left out on purpose."""
        kept_out = (Outcome.CONFLICT, Outcome.QUARANTINED, Outcome.REFUSED)
        return not any(self.counts[one] for one in kept_out)


class _Part(NamedTuple):
    """One chunk, ready to be sent."""

    position: int
    read_bytes: int
    num_rows: int
    made: ImportTable
    source: SourceRows


class FileImport:
    """One file on its way in."""

    def __init__(self, path: Path, mapping: SourceMapping | None, catalog: Catalog) -> None:
        """Open the file and check that the mapping speaks of it.

        Args:
            mapping: how its rows become events; None when it is in our own format: JSON Lines of
                our events, or columns with the names of our fields (``metadata.<key>`` too).

        Raises:
            ImportFailed: the file cannot be opened, or lacks columns that are needed.
        """
        self._reader: FileReader = open_file(path)
        columns = self._reader.columns
        if columns is not None:
            self._check_columns(path, mapping, columns)
            if isinstance(self._reader, CsvReader):
                self._reader.types = text_column_types(catalog, mapping, columns)
        elif mapping is None and isinstance(self._reader, JsonLinesReader):
            self._reader.is_ours = True
        self._path = path
        self._mapping = mapping

    @property
    def size_bytes(self) -> int:
        """Size of the file on disk."""
        return self._reader.size_bytes

    def run(
        self,
        sink: Sink,
        *,
        started_at: datetime,
        clock: Callable[[], datetime],
        again: bool = False,
        on_progress: Callable[[ImportReport, int], None] = lambda report, read_bytes: None,
    ) -> ImportReport:
        """Import what is not imported yet.

        Args:
            started_at: now, UTC-aware.
            clock: says when the import is finished.
            again: start at the beginning, also when the file was imported before.
            on_progress: called after each chunk with the report so far and the bytes done.

        Raises:
            ImportFailed: the file cannot be read any further; what was read is stored.
            EbbtideError: the sink failed; run it again to go on.
        """
        content = self._reader.content_digest()
        key = sha256(f"{content} {mapping_digest(self._mapping)}".encode()).hexdigest()
        report = ImportReport(self._path.name)
        progress = None if again else sink.find_progress(key)
        if progress is not None and progress.finished_at is not None:
            report.already_done = progress
            return report
        if progress is None:
            progress = ImportProgress(key, str(self._path), started_at)
            sink.save_progress(progress)
        report.resumed_rows = progress.rows_done
        source = DOOR if self._mapping is None else self._mapping.name
        name = None if self._mapping is None else self._mapping.name
        origin = TableOrigin(str(self._path), content, source, name, asks_raw=True)
        most = sink.table_bytes_max
        under_way: deque[tuple[_Part, list[Future[BulkOutcome]]]] = deque()
        for part in chain(self._ahead(progress.position), [None]):
            if part is not None:
                begun = [sink.begin(table, origin) for table in _pieces(part.made.table, most)]
                under_way.append((part, begun))
            while under_way and (part is None or len(under_way) > CHUNKS_UNDER_WAY):
                done, futures = under_way.popleft()
                outcome = BulkOutcome()
                for future in futures:
                    outcome.add(future.result())
                if outcome.raw_wanted:
                    again = _with_raw(done.made.table, outcome.raw_wanted, done.source)
                    plainly = replace(origin, asks_raw=False)
                    for future in [sink.begin(table, plainly) for table in _pieces(again, most)]:
                        outcome.add(future.result())
                report.add(done, outcome)
                progress = progress.after(done.position, done.num_rows, outcome.counts)
                sink.save_progress(progress)
                on_progress(report, done.read_bytes)
        sink.save_progress(replace(progress, finished_at=clock()))
        return report

    def _ahead(self, position: int) -> Iterator[_Part]:
        """Chunks; the next one is read and mapped while the sink is busy with the last."""
        parts = self._parts(position)
        with ThreadPoolExecutor(1, thread_name_prefix="ebbtide-read") as reading:
            coming = reading.submit(next, parts, None)
            while (part := coming.result()) is not None:
                coming = reading.submit(next, parts, None)
                yield part

    def _parts(self, position: int) -> Iterator[_Part]:
        for chunk in self._reader.chunks(position):
            made = import_table(chunk, self._mapping)
            yield _Part(chunk.position, chunk.read_bytes, chunk.num_rows, made, chunk.source)

    def _check_columns(
        self, path: Path, mapping: SourceMapping | None, columns: tuple[str, ...]
    ) -> None:
        """Say at once when a file of columns cannot give a single event."""
        listed = ", ".join(columns[:30])
        if mapping is None:
            unknown = [name for name in columns if not _is_ours(name)]
            if unknown:
                raise ImportFailed(
                    f"{path.name}: the column {unknown[0]!r} is none of our fields; describe the "
                    "file with --mapping (see docs/reference/mappings.md)"
                )
            missing = [n for n in ("tenant_id", "timestamp", "event_type") if n not in columns]
            if missing:
                raise ImportFailed(f"{path.name}: there is no column {missing[0]!r}")
            return
        for target in ("timestamp", "tenant_id"):
            theirs = [
                path_[0]
                for rule in mapping.rules
                for path_ in rule.columns.get(target, ())
                if target not in rule.constants
            ]
            if theirs and not any(name in columns for name in theirs):
                raise ImportFailed(
                    f"{path.name}: the mapping reads {target} from {theirs[0]!r}, but the file "
                    f"has no such column; it has {listed}"
                )


def mapping_digest(mapping: SourceMapping | None) -> str:
    """A hash that changes with the meaning of a mapping, hex."""
    if mapping is None:
        return "none"
    rules = [
        (r.type, r.type_paths, r.conditions, sorted(r.columns.items()), sorted(r.constants.items()))
        for r in mapping.rules
    ]
    values = sorted((name, sorted(words.items())) for name, words in mapping.values.items())
    prices = (
        None
        if mapping.prices is None
        else sorted(
            (model, price.input_usd, price.output_usd) for model, price in mapping.prices.items()
        )
    )
    meaning = (
        mapping.name,
        mapping.otherwise,
        rules,
        mapping.spread,
        mapping.rest,
        values,
        mapping.time_format,
        mapping.zone,
        prices,
    )
    return sha256(repr(meaning).encode()).hexdigest()


def _is_ours(name: str) -> bool:
    return name in KNOWN_FIELDS or (name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX)


def _with_raw(table: pa.Table, lines: list[int], source: SourceRows) -> pa.Table:
    """Some rows of a table, each with its text in the file."""
    part = table.filter(pc.is_in(table.column(LINE), pa.array(lines, pa.int64())))
    texts = source.raw(lines)
    column = pa.array(
        [_short_enough(texts[line]) for line in part.column(LINE).to_pylist()], pa.binary()
    )
    if RAW in part.column_names:
        part = part.drop_columns([RAW])
    return part.append_column(RAW, column)


def _short_enough(text: bytes) -> bytes | None:
    """A text that can travel beside its event; without it quarantine shows the event."""
    return text if len(text) <= SEND_BYTES // 2 else None


def _pieces(table: pa.Table, most_bytes: int) -> Iterator[pa.Table]:
    """The table in pieces that the sink takes."""
    if not table.num_rows:
        return
    if table.nbytes <= most_bytes or table.num_rows == 1:
        yield table
        return
    middle = table.num_rows // 2
    yield from _pieces(table.slice(0, middle), most_bytes)
    yield from _pieces(table.slice(middle), most_bytes)
