"""Brings the many types of Parquet columns down to the few that mappings work with.

Text, whole numbers, doubles, decimals, truths, days, and instants in microseconds. Values that
none of these can hold make their row a bad one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.ingest.arrow_columns import Mask, is_null, single

# From the first to the last moment of the calendar, in microseconds since 1970.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(slots=True)
class SimpleTypes:
    """The table in simple types.

    ``is_simple`` is False when some column (a list, an object, a duration) has no simple type
    and was left as it is. ``bad`` are positions of rows with the reason.
    """

    table: pa.Table
    is_simple: bool = True
    bad: dict[int, str] = field(default_factory=dict)


def simple_types(table: pa.Table) -> SimpleTypes:
    """Bring every column of a table down to a simple type where it has one."""
    out = SimpleTypes(table)
    columns = {}
    for name in table.column_names:
        columns[name] = _simple(single(table.column(name)), out)
    out.table = pa.table(columns)
    return out


def _simple(column: pa.Array, out: SimpleTypes) -> pa.Array:
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _simple(column.storage, out)
    if pa.types.is_dictionary(kind):
        return _simple(column.cast(kind.value_type), out)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _checked_text(column.cast(pa.string()), out)
    if pa.types.is_timestamp(kind):
        return _microseconds(column, out)
    if pa.types.is_date64(kind):
        return column.cast(pa.date32())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return column.cast(pa.int64())
    is_simple = kind in (pa.uint64(), pa.bool_(), pa.null(), pa.date32()) or pa.types.is_decimal128(
        kind
    )
    if not is_simple and (pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind)):
        return column.cast(pa.decimal128(kind.precision, kind.scale))
    out.is_simple &= is_simple
    return column


def _checked_text(column: pa.Array, out: SimpleTypes) -> pa.Array:
    """Text as it is when it is UTF-8: the reader of the file does not look."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        values: list[str | None] = []
        for row, raw in enumerate(column.cast(pa.binary()).to_pylist()):
            try:
                values.append(None if raw is None else raw.decode("utf-8"))
            except UnicodeDecodeError:
                values.append(None)
                out.bad[row] = "invalid_utf8"
        return pa.array(values, pa.string())
    return column


def _microseconds(column: pa.Array, out: SimpleTypes) -> pa.Array:
    """Instants in microseconds; finer digits are cut off."""
    kind = column.type
    wanted = pa.timestamp("us", tz="UTC" if kind.tz is not None else None)
    numbers = column.cast(pa.int64())
    per_second = _PER_SECOND[kind.unit]
    values = numbers.fill_null(0).to_numpy(False)
    if per_second > 1_000_000:
        values = values // (per_second // 1_000_000)
    else:
        factor = 1_000_000 // per_second
        fits = (values >= _FIRST_US // factor) & (values <= _LAST_US // factor)
        values = np.where(fits, values, _LAST_US // factor + 1) * factor
    off: Mask = (values < _FIRST_US) | (values > _LAST_US)
    for row in np.flatnonzero(off).tolist():
        out.bad[row] = "invalid_timestamp"
    held = pa.array(np.where(off, 0, values), pa.int64(), mask=is_null(column) | off)
    return held.cast(wanted)


def shown_row(table: pa.Table, row: int) -> dict[str, Any]:
    """A row for people, whatever is wrong with its values."""
    shown: dict[str, Any] = {}
    for name in table.column_names:
        scalar = table.column(name)[row]
        try:
            shown[name] = scalar.as_py()
        except (ValueError, OverflowError, UnicodeDecodeError):
            kind = scalar.type
            if pa.types.is_timestamp(kind):  # with its unit, or it could be read as another moment
                shown[name] = f"{pc.cast(scalar, pa.int64()).as_py()} {kind.unit} since 1970"
                continue
            binary = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            shown[name] = str(pc.cast(scalar, pa.binary() if binary else pa.int64()).as_py())
    return shown
