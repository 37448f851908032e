"""The rows of a file as they stand there, for those that must wait in quarantine.

What travels to the store is what a mapping made of a row. When that cannot be stored, people want
to see the row itself, and a mended mapping has to read it again. So the rows of a chunk are kept
until their fate is known, in the form in which that costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


class SourceRows(Protocol):
    """The rows of a chunk as their file has them."""

    def raw(self, lines: Iterable[int]) -> dict[int, bytes]:
        """What quarantine keeps of some rows, by line; a line that is no row here is left out."""


class SourceLines:
    """Lines of a text file, each a row by itself."""

    def __init__(self, data: bytes = b"", first_line: int = 1) -> None:
        self._data = data
        self._first_line = first_line

    def raw(self, lines: Iterable[int]) -> dict[int, bytes]:
        """The lines as they are, without their ends."""
        texts = self._data.split(b"\n")
        found = {line: line - self._first_line for line in lines}
        return {line: texts[at] for line, at in found.items() if 0 <= at < len(texts)}


class SourceTable:
    """Rows of columns."""

    def __init__(self, table: pa.Table, lines: npt.NDArray[np.int64]) -> None:
        """Bind to a table.

        Args:
            table: the columns of the file before anybody changed their values.
            lines: where each row stood, rising.
        """
        self._table = table
        self._lines = lines

    def raw(self, lines: Iterable[int]) -> dict[int, bytes]:
        """JSON objects, one member for each column: empty texts and nulls too."""
        wanted = np.isin(self._lines, np.fromiter(lines, np.int64))
        rows = self._table.filter(pa.array(wanted)).to_pylist()
        return {
            line: write_row(row)
            for line, row in zip(self._lines[wanted].tolist(), rows, strict=True)
        }


def write_row(row: Mapping[str, Any]) -> bytes:
    """A row of columns as JSON: moments as text, bytes as base64, NaN and infinities by name."""
    return _encode(_with_words(row))


def _with_words(value: Any) -> Any:
    # JSON has no NaN. As null it would look absent, and a release would let the row in without it.
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _with_words(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_words(inner) for inner in value]
    return value
