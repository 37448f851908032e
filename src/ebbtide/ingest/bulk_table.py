"""The table in which many unchecked events travel: one row per event, our fields as columns.

Columns that every table must have: ``line`` (int64, no nulls). The others are free to be absent:

``event_id`` ... ``metadata``
    our fields. Text, numbers, decimals, booleans and instants (microseconds) are all let in:
    whether a value is right is not decided here. ``metadata`` is the JSON text of an object.
``metadata.<key>``
    one metadata key as a typed column. They come before the members of ``metadata``.
``received_at``
    when an event of the past came in; the moment of the load when it is null.
``record``
    the JSON text of a whole event in our fields, for a row that does not fit into columns; its
    other columns do not count.
``raw``
    the row as it stands in its file, for quarantine: a line, or the columns as a JSON object.
    Null when the sender does not say; then quarantine shows the event that the row became.
``fault``
    a reason code for a row that is hopeless: with its ``raw`` it goes to quarantine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ebbtide.domain.errors import BadRequest
from ebbtide.domain.time import EPOCH
from ebbtide.ingest.decode import DEPTH_MAX, decode_record, fault
from ebbtide.ingest.incoming import Incoming
from ebbtide.ingest.validate import KNOWN_FIELDS

METADATA_PREFIX = "metadata."
LINE = "line"
FAULT, RAW, RECORD = "fault", "raw", "record"

NAME_MAX_CHARS = 209  # a metadata key of 200 characters and its prefix
METADATA_COLUMNS_MAX = 500
# What one batch may become as text: keys stand in every row, so columns cost rows times name.
BATCH_TEXT_BYTES = 128 * 1024 * 1024

_INSTANT = pa.timestamp("us", tz="UTC")
_NAIVE = pa.timestamp("us")
_OWN_TYPES = {LINE: pa.int64(), FAULT: pa.string(), RAW: pa.binary(), RECORD: pa.string()}


def check_table(table: pa.Table) -> pa.Table:
    """Make sure that a table has the shape described above, whoever sent it.

    Returns:
        The same rows with large texts as plain ones and small floats as doubles.

    Raises:
        BadRequest: a column is unknown, stands twice, or has a type that no field can have;
            the message names it.
    """
    names = table.column_names
    if len(set(names)) != len(names):
        raise BadRequest("the table has two columns of the same name")
    if LINE not in names:
        raise BadRequest("the table has no column line")
    if sum(name.startswith(METADATA_PREFIX) for name in names) > METADATA_COLUMNS_MAX:
        raise BadRequest(f"the table has more than {METADATA_COLUMNS_MAX} metadata columns")
    columns = {name: _checked(name, table.column(name)) for name in names}
    if columns[LINE].null_count:
        raise BadRequest("the column line has nulls")
    return pa.table(columns)


def _checked(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if len(name) > NAME_MAX_CHARS:
        raise BadRequest("a column has a name of more than 200 characters")
    if name in _OWN_TYPES:
        if kind != _OWN_TYPES[name] and not pa.types.is_null(kind):
            raise BadRequest(f"the column {name} must be {_OWN_TYPES[name]}, not {kind}")
        return column.cast(_OWN_TYPES[name])
    if name == "metadata" and not (pa.types.is_string(kind) or pa.types.is_null(kind)):
        raise BadRequest("the column metadata must be JSON text")
    is_metadata = name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX
    if not is_metadata and name not in KNOWN_FIELDS:
        raise BadRequest(f"the column {name!r} is no field of an event")
    if pa.types.is_large_string(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    simple = pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if simple or pa.types.is_null(kind):
        return column
    if not is_metadata and (kind in (_INSTANT, _NAIVE) or pa.types.is_decimal128(kind)):
        return column
    raise BadRequest(f"the column {name!r} has the type {kind}, which no field can have")


def rows_per_batch(table: pa.Table, wanted: int) -> int:
    """How many rows to take at once so that their metadata stay small as text."""
    per_row = sum(len(n.encode()) + 30 for n in table.column_names if n.startswith(METADATA_PREFIX))
    return max(1, min(wanted, BATCH_TEXT_BYTES // max(per_row, 1)))


def read_rows(table: pa.Table, rows: npt.NDArray[np.int64]) -> list[Incoming]:
    """Some rows as records, for the checks that go row by row.

    Args:
        table: as :func:`check_table` returns it.
        rows: which rows, in order.

    Returns:
        Fields as JSON has them, nulls left out (costs may be decimals), or the reason why
        there are none.
    """
    part = table.take(pa.array(rows))
    columns = [
        (name, _values(part.column(name))) for name in part.column_names if name not in _OWN_TYPES
    ]
    own = {
        name: part.column(name).to_pylist() if name in part.column_names else [None] * len(rows)
        for name in (FAULT, RAW, RECORD)
    }
    records = []
    for at in range(len(rows)):
        reason, raw, record = own[FAULT][at], own[RAW][at], own[RECORD][at]
        if reason is not None:
            records.append(Incoming(None, raw or b"", reason or "invalid_row"))
        elif record is not None:
            records.append(decode_record(record.encode()))
        else:
            records.append(_record([(name, values[at]) for name, values in columns]))
    return records


def _record(cells: Sequence[tuple[str, Any]]) -> Incoming:
    fields = {
        name: value
        for name, value in cells
        if value is not None and not name.startswith(METADATA_PREFIX)
    }
    metadata = {
        name.removeprefix(METADATA_PREFIX): value
        for name, value in cells
        if value is not None and name.startswith(METADATA_PREFIX)
    }
    reason = fault(metadata, DEPTH_MAX)  # a number that JSON does not have
    text = fields.get("metadata")
    if isinstance(text, str):
        members = decode_record(text.encode())
        if members.fields is None:
            reason = members.reason
            if reason in ("invalid_json", "not_an_object"):
                reason = "invalid_metadata"
        else:
            metadata |= {k: v for k, v in members.fields.items() if k not in metadata}
            fields["metadata"] = metadata
    elif text is None and metadata:
        fields["metadata"] = metadata
    if reason is not None:
        return Incoming(None, to_json({k: v for k, v in cells if v is not None}), reason)
    return Incoming(fields, b"", None)


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return [
        None if value is None else _instant_text(value, column.type.tz is not None)
        for value in column.cast(pa.int64()).to_pylist()
    ]


def _instant_text(microseconds: int, has_zone: bool) -> str:
    try:
        moment: datetime = EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # no calendar year; the validator calls it an invalid timestamp
        return str(microseconds)
    return (moment if has_zone else moment.replace(tzinfo=None)).isoformat()


def to_json(value: object) -> bytes:
    """The JSON text of a record; what JSON has no word for becomes text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()
