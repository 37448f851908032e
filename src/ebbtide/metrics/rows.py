"""Rows of columnar answers as Python values; arrow itself takes ten times as long for moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa

from ebbtide.domain.time import EPOCH


def rows_of(table: pa.Table, names: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Some columns of a table, row by row; moments in UTC, null is None."""
    return zip(*(values_of(table[name]) for name in names), strict=True)


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """The values of one column; moments in UTC, null is None."""
    if not pa.types.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return values
    instants = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    return [None if us is None else EPOCH + timedelta(microseconds=us) for us in instants]
