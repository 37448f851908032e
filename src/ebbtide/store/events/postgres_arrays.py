"""Writes Arrow columns as PostgreSQL array parameters in binary, without a Python step per value.

The layout is that of PostgreSQL's ``array_send`` and of each type's ``_send`` function: a header,
then for every element its length in bytes (-1 for null) and its bytes, all big-endian.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.domain.event import COST_DECIMALS

_EPOCH_2000_US = 946_684_800_000_000  # PostgreSQL counts its microseconds from 2000-01-01
_NUMERIC_NEGATIVE = 0x4000

_Bytes = npt.NDArray[np.uint8]


def type_name(kind: pa.DataType) -> str:
    """The PostgreSQL type in which a column of this Arrow type travels."""
    return _type_and_oid(kind)[0]


def encode(column: pa.Array) -> bytes:
    """One column as a one-dimensional array in PostgreSQL's binary form."""
    if column.null_count == len(column):
        elements = b"\xff\xff\xff\xff" * len(column)  # many columns are empty in most batches
    elif pa.types.is_string(column.type):
        elements = _texts(column)
    else:
        elements = _fixed(column)
    _, oid = _type_and_oid(column.type)
    return struct.pack(">iiIii", 1, int(column.null_count > 0), oid, len(column), 1) + elements


def _type_and_oid(kind: pa.DataType) -> tuple[str, int]:
    if pa.types.is_fixed_size_binary(kind):
        return "uuid", 2950
    if pa.types.is_string(kind):
        return "text", 25
    if pa.types.is_timestamp(kind):
        return "timestamptz", 1184
    if pa.types.is_decimal(kind):
        return "numeric", 1700
    return {pa.int8(): ("smallint", 21), pa.int32(): ("integer", 23), pa.int64(): ("bigint", 20)}[
        kind
    ]


def _texts(column: pa.Array) -> bytes:
    raw = column.cast(pa.binary())
    lengths = pc.binary_length(raw).fill_null(-1).to_numpy(zero_copy_only=False).astype(">i4")
    prefixes = pa.Array.from_buffers(pa.binary(4), len(raw), [None, pa.py_buffer(lengths)])
    joined = pc.binary_join_element_wise(
        prefixes.cast(pa.binary()), raw, b"", null_handling="replace", null_replacement=b""
    )
    # The data buffer of the joined array is the elements, one right after the other.
    start, end = (joined.offset, joined.offset + len(joined))
    offsets = np.frombuffer(joined.buffers()[1], np.int32)
    return bytes(memoryview(joined.buffers()[2])[offsets[start] : offsets[end]])


def _fixed(column: pa.Array) -> bytes:
    values = _values(column)
    width = values.shape[1]
    rows = np.empty((len(values), 4 + width), np.uint8)
    rows[:, :4] = np.frombuffer(struct.pack(">i", width), np.uint8)
    rows[:, 4:] = values
    if not column.null_count:
        return rows.tobytes()
    null = column.is_null().to_numpy(zero_copy_only=False)
    rows[null, :4] = 0xFF  # a length of -1, and no bytes
    kept = np.ones(rows.shape, np.bool_)
    kept[null, 4:] = False
    return rows[kept].tobytes()


def _values(column: pa.Array) -> _Bytes:
    """The bytes of each value, without nulls' own meaning; one row per value."""
    kind, n = column.type, len(column)
    if pa.types.is_fixed_size_binary(kind):
        raw = np.frombuffer(column.buffers()[1], np.uint8)
        return raw[column.offset * 16 : (column.offset + n) * 16].reshape(n, 16)
    if pa.types.is_decimal(kind):
        return _numerics(column)
    if pa.types.is_timestamp(kind):
        return _bytes_of((_integers(column.cast(pa.int64())) - _EPOCH_2000_US).astype(">i8"))
    width = {pa.int8(): ">i2", pa.int32(): ">i4", pa.int64(): ">i8"}[kind]
    return _bytes_of(_integers(column).astype(width))


def _integers(column: pa.Array) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.fill_null(0).to_numpy(zero_copy_only=False)
    return values


def _numerics(column: pa.Array) -> _Bytes:
    """Decimals with 18 digits, 10 of them after the point, as five groups of four digits."""
    halves = np.frombuffer(column.buffers()[1], "<i8").reshape(-1, 2)
    unscaled = halves[column.offset : column.offset + len(column), 0]  # 18 digits fit into it
    size = np.abs(unscaled)
    whole, rest = np.divmod(size, 10**COST_DECIMALS)
    rest = rest * 100  # to 12 digits, which are three groups
    rows = np.zeros((len(column), 9), ">i2")
    rows[:, 0] = 5  # groups
    rows[:, 1] = 1  # the first group counts ten thousands
    rows[:, 2] = np.where(unscaled < 0, _NUMERIC_NEGATIVE, 0)
    rows[:, 3] = COST_DECIMALS
    rows[:, 4], rows[:, 5] = np.divmod(whole, 10**4)
    rows[:, 6], rest = np.divmod(rest, 10**8)
    rows[:, 7], rows[:, 8] = np.divmod(rest, 10**4)
    return _bytes_of(rows)


def _bytes_of(rows: npt.NDArray[Any]) -> _Bytes:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
