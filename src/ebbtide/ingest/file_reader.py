"""Reads JSON Lines, CSV and Parquet files in chunks of bounded size, and names every bad row.

A row that cannot be read is handed on raw with its line; the rows after it go on. Positions
count lines of text files and rows of Parquet files, so that reading can start anywhere again.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ebbtide.domain.errors import ImportFailed
from ebbtide.ingest.column_types import typed_texts
from ebbtide.ingest.decode import decode_record
from ebbtide.ingest.own_lines import read_own_lines
from ebbtide.ingest.parquet_types import shown_row, simple_types
from ebbtide.ingest.source_rows import SourceLines, SourceRows, SourceTable, write_row

# One chunk becomes one commit. From about 140,000 rows on DuckDB writes a commit straight into its
# file, compressed, and not through its log first, which is two thirds of the work.
CHUNK_ROWS = 245_760
CHUNK_BYTES = 32 * 1024 * 1024  # of text; a line that is longer than this is no event
BLOCK_BYTES = 4 * 1024 * 1024  # read at once
CSV_RECORD_BYTES = 1024 * 1024  # a quote that is open for longer than this was never meant
RAW_KEPT_BYTES = 64 * 1024  # of a line too long to be kept whole
DELIMITERS = (",", ";", "\t", "|")

_BOM = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = ord('"'), ord("\n"), ord("\r")


class BadRow(NamedTuple):
    """A row that cannot be read: where it stood, a reason code, and its bytes."""

    line: int
    reason: str
    raw: bytes


@dataclass(slots=True)
class Chunk:
    """Some rows that follow each other in a file.

    Rows come in three forms: ``table`` with the line of each in ``lines``, ``records`` (line and
    fields) where values do not fit into typed columns, and ``bad``. ``position`` is where the
    next chunk starts, ``read_bytes`` how much of the file is done by then.
    """

    position: int
    read_bytes: int
    table: pa.Table | None = None
    lines: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    records: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    is_json: bool = False  #: the records were JSON, so every number in them is finite
    own: pa.Table | None = None  #: rows that are a bulk table already
    source: SourceRows = field(default_factory=SourceLines)  #: all but the bad rows, as they stood

    @property
    def num_rows(self) -> int:
        """Rows of all forms."""
        num_own = 0 if self.own is None else self.own.num_rows
        return len(self.lines) + len(self.records) + len(self.bad) + num_own


class FileReader(ABC):
    """One file of events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise ImportFailed(f"{path.name}: {error.strerror}") from error

    #: Columns of the file; None when every record has its own.
    columns: tuple[str, ...] | None = None

    @abstractmethod
    def content_digest(self) -> str:
        """A hash of the content, hex; compressed or not, the same lines give the same one."""

    @abstractmethod
    def chunks(self, position: int) -> Iterator[Chunk]:
        """The rows from a position on; 0 is the beginning.

        Raises:
            ImportFailed: the file cannot be read any further; the message says where.
        """


class Kind(Enum):
    """How the rows of a file are written."""

    JSON_LINES = "JSON Lines"
    CSV = "CSV"
    PARQUET = "Parquet"


_KINDS = {
    ".jsonl": Kind.JSON_LINES,
    ".ndjson": Kind.JSON_LINES,
    ".csv": Kind.CSV,
    ".tsv": Kind.CSV,
    ".parquet": Kind.PARQUET,
}


def kind_of(name: str | PurePath) -> Kind | None:
    """What a file is by its name; None when it is nothing that we read."""
    *before, last = ["", *(suffix.lower() for suffix in PurePath(name).suffixes)]
    if last != ".gz":
        return _KINDS.get(last)
    kind = _KINDS.get(before[-1])
    return None if kind is Kind.PARQUET else kind  # compressed by itself


def open_file(path: Path) -> FileReader:
    """A reader for a file, chosen by its name.

    Args:
        path: ``.jsonl``, ``.ndjson``, ``.csv``, ``.tsv`` (each also with ``.gz``) or ``.parquet``.

    Raises:
        ImportFailed: another kind of file, or it cannot be opened.
    """
    kind = kind_of(path)
    if kind is Kind.JSON_LINES:
        return JsonLinesReader(path)
    if kind is Kind.CSV:
        return CsvReader(path)
    if kind is Kind.PARQUET:
        return ParquetReader(path)
    raise ImportFailed(
        f"{path.name}: the name must end in .jsonl, .ndjson, .csv, .tsv (or one of them and .gz) "
        "or .parquet"
    )


# -- text files --------------------------------------------------------------------------------


class _TextReader(FileReader):
    """A file of lines, plain or compressed with gzip."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._is_gzip = path.suffix.lower() == ".gz"

    def content_digest(self) -> str:
        digest = sha256()
        with self._open() as (file, _):
            while block := self._read(file, BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def _open(self) -> _Opened:
        return _Opened(self.path, self._is_gzip)

    def _read(self, file: BinaryIO, size: int) -> bytes:
        try:
            return file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise ImportFailed(f"{self.path.name}: cannot be read any further: {error}") from error

    def chunks(self, position: int) -> Iterator[Chunk]:
        with self._open() as (file, raw):
            line = 1
            rest = self._read(file, len(_BOM))
            if rest == _BOM:
                rest = b""
            at_end = False
            while rest or not at_end:
                data, at_end = self._filled(file, rest)
                if line <= position:  # go on where an earlier run stopped
                    rest, line = _skipped(data, line, position + 1)
                    if line <= position and at_end:
                        return  # nothing is left behind it
                    continue
                head = _first_lines(data, CHUNK_ROWS)
                is_last = at_end and len(head) == len(data)
                chunk, used, lines = self._chunk(head, line, is_last)
                if not used and is_last:
                    return
                if not used:
                    rest, bad = self._long_line(file, data, line)
                    chunk, lines = Chunk(0, 0, bad=[bad]), 1
                else:
                    rest = data[used:]
                line += lines
                chunk.position = line - 1
                chunk.read_bytes = raw.tell()
                yield chunk

    def _filled(self, file: BinaryIO, rest: bytes) -> tuple[bytes, bool]:
        """What is left and as much more as makes a chunk; and whether the file ends there."""
        parts = [rest]
        num_bytes, num_lines = len(rest), rest.count(b"\n")
        while num_bytes < CHUNK_BYTES and num_lines <= CHUNK_ROWS:
            block = self._read(file, min(BLOCK_BYTES, CHUNK_BYTES))
            if not block:
                return b"".join(parts), True
            parts.append(block)
            num_bytes += len(block)
            num_lines += block.count(b"\n")
        return b"".join(parts), False

    @abstractmethod
    def _chunk(self, data: bytes, line: int, at_end: bool) -> tuple[Chunk, int, int]:
        """The rows that are complete in ``data``, how many bytes and how many lines they take."""

    def _long_line(self, file: BinaryIO, data: bytes, line: int) -> tuple[bytes, BadRow]:
        """Pass over a line that does not fit into a chunk."""
        bad = BadRow(line, "too_large", data[:RAW_KEPT_BYTES])
        while data and b"\n" not in data:
            data = self._read(file, BLOCK_BYTES)
        return data[data.find(b"\n") + 1 :] if data else b"", bad


class _Opened:
    """The open file: what is read from it, and the raw one that knows how far it is."""

    def __init__(self, path: Path, is_gzip: bool) -> None:
        try:
            self._raw: BinaryIO = path.open("rb")
        except OSError as error:
            raise ImportFailed(f"{path.name}: {error.strerror}") from error
        self._file: BinaryIO = gzip.GzipFile(fileobj=self._raw) if is_gzip else self._raw  # type: ignore[assignment]

    def __enter__(self) -> tuple[BinaryIO, BinaryIO]:
        return self._file, self._raw

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()


def _first_lines(data: bytes, num: int) -> bytes:
    """At most so many lines of some data."""
    if data.count(b"\n") <= num:
        return data
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
    return data[: int(ends[num - 1]) + 1]


def _skipped(data: bytes, line: int, wanted: int) -> tuple[bytes, int]:
    """Drop lines until one is reached, or as many as there are."""
    num = data.count(b"\n")
    if num < wanted - line:
        return data[data.rfind(b"\n") + 1 :], line + num
    at = 0
    while line < wanted:
        at = data.index(b"\n", at) + 1
        line += 1
    return data[at:], line


class JsonLinesReader(_TextReader):
    """One JSON object per line; blank lines mean nothing."""

    #: Whether the lines are events in our own format, to be read straight into columns.
    is_ours = False

    def _chunk(self, data: bytes, line: int, at_end: bool) -> tuple[Chunk, int, int]:
        used = len(data) if at_end else data.rfind(b"\n") + 1
        own = data[:used]
        chunk = Chunk(0, 0, is_json=True, source=SourceLines(own, line))
        texts = own.split(b"\n")
        if not texts[-1]:
            texts.pop()
        left: Iterable[int] = range(len(texts))
        if self.is_ours and texts:
            chunk.own, odd = read_own_lines(texts, line)
            left = odd.tolist()
        for at in left:
            number, text = line + at, texts[at]
            record = decode_record(text)
            if record.fields is not None:
                chunk.records.append((number, record.fields))
            elif text.strip():
                reason = record.reason or "invalid_json"
                chunk.bad.append(BadRow(number, reason, text))
        return chunk, used, len(texts)


class CsvReader(_TextReader):
    """Comma separated values with a header; also semicolons, tabs or bars, if the header has them.

    Quotes follow RFC 4180. An open quote that swallows the lines after it costs its own line
    only: reading goes on behind it.
    """

    #: Columns whose texts are numbers or truths: ``integer``, ``number`` or ``boolean`` by name.
    types: Mapping[str, str]

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.types = {}
        with self._open() as (file, _):
            head = self._read(file, CSV_RECORD_BYTES).removeprefix(_BOM)
        if not head.strip():
            raise ImportFailed(f"{path.name}: the file is empty; a CSV file has a header")
        self._delimiter = _delimiter_of(head, "\t" if ".tsv" in path.suffixes else ",")
        self.columns, self._header_lines = self._header(head)

    def _header(self, head: bytes) -> tuple[tuple[str, ...], int]:
        try:
            reader = csv.reader(
                io.StringIO(head.decode("utf-8", "replace"), newline=""),
                delimiter=self._delimiter,
                strict=True,
            )
            names = next(row for row in reader if row)
        except (csv.Error, StopIteration) as error:
            raise ImportFailed(f"{self.path.name}: the header cannot be read: {error}") from error
        if "" in names:
            raise ImportFailed(f"{self.path.name}: column {names.index('') + 1} has no name")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ImportFailed(f"{self.path.name}: two columns are named {twice!r}")
        return tuple(names), reader.line_num

    def chunks(self, position: int) -> Iterator[Chunk]:
        return super().chunks(max(position, self._header_lines))

    def _chunk(self, data: bytes, line: int, at_end: bool) -> tuple[Chunk, int, int]:
        return self._fast(data, line, at_end) or self._careful(data, line, at_end)

    def _fast(self, data: bytes, line: int, at_end: bool) -> tuple[Chunk, int, int] | None:
        """Read a block at once; None when something in it is odd."""
        has_quotes = b'"' in data
        starts, lines, used = _record_starts(data, line, at_end, has_quotes)
        if not used:
            return None
        if not len(starts):
            return Chunk(0, 0), used, data.count(b"\n", 0, used)
        odd: list[object] = []

        def note(row: object) -> str:
            odd.append(row)
            return "skip"

        # Here, as with Parquet below: a server imports this module and never reads a file.
        from pyarrow import csv as pa_csv

        block = data if used == len(data) else data[:used]
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(block),
                pa_csv.ReadOptions(column_names=self.columns, block_size=used + 1),
                pa_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=has_quotes,
                    invalid_row_handler=note,
                ),
                pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(self.columns or (), pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            return None
        if odd or table.num_rows != len(starts):
            return None
        num_lines = data.count(b"\n", 0, used) + (0 if data[used - 1 : used] == b"\n" else 1)
        return self._typed(Chunk(0, 0, table, lines)), used, num_lines

    def _careful(self, data: bytes, line: int, at_end: bool) -> tuple[Chunk, int, int]:
        """Read record by record, so that a bad one costs nothing but itself."""
        texts = [text + b"\n" for text in data.split(b"\n")]
        last = texts.pop()[:-1]
        if last and at_end:
            texts.append(last)
        bad: list[BadRow] = []
        rows: list[list[str]] = []
        lines: list[int] = []
        at = 0
        while at < len(texts):
            row, taken = self._next_record(texts, at, at_end)
            if row is None and not taken:
                break  # its end is in the next block
            if row is None:
                bad.append(BadRow(line + at, "invalid_csv", texts[at].rstrip(b"\r\n")))
            elif row and any("\ud800" <= char <= "\udfff" for cell in row for char in cell):
                raw = b"".join(texts[at : at + taken]).rstrip(b"\r\n")
                bad.append(BadRow(line + at, "invalid_utf8", raw))
            elif row:
                rows.append(row)
                lines.append(line + at)
            at += taken
        chunk = Chunk(0, 0, bad=bad)
        if rows:
            names = self.columns or ()
            columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
            chunk.table = pa.table(dict(zip(names, columns, strict=True)))
            chunk.lines = np.array(lines, np.int64)
            chunk = self._typed(chunk)
        return chunk, sum(map(len, texts[:at])), at

    def _next_record(
        self, texts: Sequence[bytes], at: int, at_end: bool
    ) -> tuple[list[str] | None, int]:
        """The record that starts at a line and how many lines it takes.

        Returns:
            None and 1 for a bad one, None and 0 when the block ends inside of it, an empty list
            for an empty line.
        """
        size = 0

        def source() -> Iterator[str]:
            nonlocal size
            for number in range(at, len(texts)):
                size += len(texts[number])
                if size > CSV_RECORD_BYTES:
                    return
                yield texts[number].decode("utf-8", "surrogateescape")

        reader = csv.reader(source(), delimiter=self._delimiter, strict=True)
        try:
            row = next(reader, [])
        except csv.Error as error:
            # In strict mode the reader says so when the lines end within quotes.
            is_open = "unexpected end of data" in str(error)
            is_cut = is_open and not at_end and size <= CSV_RECORD_BYTES
            return None, 0 if is_cut else 1
        if row and len(row) != len(self.columns or ()):
            return None, 1
        return row, max(reader.line_num, 1)

    def _typed(self, chunk: Chunk) -> Chunk:
        """Give the columns their types; rows with another text there become records."""
        if chunk.table is None:
            return chunk
        chunk.source = SourceTable(chunk.table, chunk.lines)
        if not self.types:
            return chunk
        table, fits = typed_texts(chunk.table, self.types)
        if fits.all():
            chunk.table = table
            return chunk
        odd = np.flatnonzero(~fits)
        records = chunk.table.take(pa.array(odd)).to_pylist()
        chunk.records.extend(zip(chunk.lines[odd].tolist(), records, strict=True))
        chunk.table = table.filter(pa.array(fits))
        chunk.lines = chunk.lines[fits]
        return chunk


def _delimiter_of(head: bytes, usual: str) -> str:
    """The delimiter that the header has most of."""
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    most = max(DELIMITERS, key=lambda one: (first.count(one), one == usual))
    return most if first.count(most) else usual


def _record_starts(
    data: bytes, line: int, at_end: bool, has_quotes: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Where the records of a block start, their lines, and how many bytes are complete.

    Newlines within quotes end no record. Empty lines are no records.
    """
    chars = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(chars == _NEWLINE)
    ends = newlines
    if has_quotes:
        is_inside = np.cumsum(chars == _QUOTE, dtype=np.uint8) & 1  # the parity survives wrapping
        ends = newlines[is_inside[newlines] == 0]
        if at_end and is_inside[-1]:
            return ends[:0], ends[:0], 0
    used = int(ends[-1]) + 1 if len(ends) else 0
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    if at_end:
        ends = np.append(ends, len(data))
        used = len(data)
    starts = starts[: len(ends)]
    sizes = ends - starts
    is_empty = sizes <= 0
    short = np.flatnonzero(sizes == 1)
    is_empty[short] = chars[starts[short]] == _RETURN
    starts = starts[~is_empty]
    return starts, line + np.searchsorted(newlines, starts), used


# -- Parquet -----------------------------------------------------------------------------------


class ParquetReader(FileReader):
    """A Parquet file; its lines are its rows, from 1."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from pyarrow import parquet as pq

        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise ImportFailed(f"{path.name}: no Parquet file: {error}") from error
        self.columns = tuple(self._file.schema_arrow.names)
        if len(set(self.columns)) != len(self.columns):
            raise ImportFailed(f"{path.name}: two columns have the same name")

    def content_digest(self) -> str:
        digest = sha256()
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def chunks(self, position: int) -> Iterator[Chunk]:
        start, groups = self._from(position)
        total = max(self._file.metadata.num_rows, 1)
        try:
            # Across row groups: a chunk is one commit, and each waits for the disk.
            for batch in self._file.iter_batches(CHUNK_ROWS, row_groups=groups, use_threads=True):
                end = start + batch.num_rows
                if end > position:
                    first = max(position - start, 0)
                    rows = pa.Table.from_batches([batch.slice(first)])
                    chunk = self._chunk(rows, start + first + 1)
                    chunk.position = end
                    chunk.read_bytes = self.size_bytes * end // total
                    yield chunk
                start = end
        except (OSError, pa.ArrowException) as error:
            raise ImportFailed(
                f"{self.path.name}: cannot be read any further after row {start}: {error}"
            ) from error

    def _from(self, position: int) -> tuple[int, list[int]]:
        """The row groups that are still to be read, and how many rows come before them."""
        metadata = self._file.metadata
        start = 0
        for group in range(metadata.num_row_groups):
            num = metadata.row_group(group).num_rows
            if start + num > position:
                return start, list(range(group, metadata.num_row_groups))
            start += num
        return start, []

    def _chunk(self, table: pa.Table, first_line: int) -> Chunk:
        lines = np.arange(first_line, first_line + table.num_rows, dtype=np.int64)
        chunk = Chunk(0, 0)
        simple = simple_types(table)
        for row, reason in simple.bad.items():
            chunk.bad.append(BadRow(int(lines[row]), reason, write_row(shown_row(table, row))))
        table = simple.table
        if simple.bad:
            kept = np.ones(table.num_rows, np.bool_)
            kept[list(simple.bad)] = False
            table, lines = table.filter(pa.array(kept)), lines[kept]
        chunk.source = SourceTable(table, lines)
        if simple.is_simple:
            chunk.table, chunk.lines = table, lines
        else:
            self._add_records(chunk, table, lines)
        return chunk

    def _add_records(self, chunk: Chunk, table: pa.Table, lines: npt.NDArray[np.int64]) -> None:
        for row, line in enumerate(lines.tolist()):
            try:
                chunk.records.append((line, table.slice(row, 1).to_pylist()[0]))
            except (ValueError, OverflowError):  # a moment that no calendar has, deep inside
                chunk.bad.append(BadRow(line, "invalid_row", write_row(shown_row(table, row))))
