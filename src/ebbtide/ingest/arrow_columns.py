"""Small looks into Arrow columns that its compute functions do not offer, or offer slowly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Mask = npt.NDArray[np.bool_]


def single(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def is_null(column: pa.Array) -> Mask:
    """Which values are null."""
    if column.null_count == 0:
        return np.zeros(len(column), np.bool_)
    mask: Mask = column.is_null().to_numpy(False)
    return mask


def text_bytes(column: pa.Array) -> npt.NDArray[np.uint8]:
    """All bytes of a text column, one value after the other."""
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return np.zeros(0, np.uint8)
    # Of a damaged stream the buffer may be longer than its values.
    bounds = np.frombuffer(offsets, np.int32, column.offset + len(column) + 1)
    first, last = bounds[column.offset], bounds[column.offset + len(column)]
    return np.frombuffer(data, np.uint8)[first:last]


def has_nul(column: pa.Array) -> bool:
    """Whether any text of a column holds a NUL character."""
    return not bool(text_bytes(column).all())


def holds_nul(column: pa.Array) -> Mask:
    """Which texts of a column hold a NUL character."""
    texts = column.to_pylist()
    return np.fromiter((t is not None and "\0" in t for t in texts), np.bool_, len(texts))
