"""Turns a chunk of a file into the bulk table: by columns where they can, by record where not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.mapping import SourceMapping
from ebbtide.ingest.bulk_table import FAULT, LINE, METADATA_PREFIX, RAW, RECORD
from ebbtide.ingest.column_instants import to_instants
from ebbtide.ingest.decode import DEPTH_MAX, decode_record, fault
from ebbtide.ingest.file_reader import BadRow, Chunk
from ebbtide.ingest.mapped_columns import NotColumnar, map_columns
from ebbtide.ingest.translate import UNMAPPED, translate
from ebbtide.ingest.validate import KNOWN_FIELDS

_text = pa.string()
_PLAIN_TYPES = (pa.string(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_(), pa.null())
_DIGITS = r"^-?[0-9]{1,18}$"
_FIELDS = tuple(sorted(KNOWN_FIELDS - {"metadata"}))
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(slots=True)
class ImportTable:
    """The rows to send, in the order of the file, and how many the mapping leaves out."""

    table: pa.Table
    num_skipped: int


def import_table(chunk: Chunk, mapping: SourceMapping | None) -> ImportTable:
    """Make the bulk table of a chunk.

    Args:
        chunk: as read from the file.
        mapping: None when the file speaks of our fields itself.
    """
    bad = list(chunk.bad)
    parts: list[pa.Table] = [] if chunk.own is None else [chunk.own]
    records = chunk.records
    is_json = chunk.table is None and chunk.is_json
    num_skipped = 0
    if chunk.table is not None and chunk.table.num_rows:
        try:
            if mapping is None:
                parts.append(_own_columns(chunk.table, chunk.lines))
            else:
                part, odd, unmapped = _mapped_columns(mapping, chunk.table, chunk.lines)
                parts.append(part)
                records = records + odd
                num_skipped += _leave(mapping, unmapped, chunk, bad)
        except NotColumnar:
            rows = chunk.table.to_pylist()
            records = records + list(zip(chunk.lines.tolist(), rows, strict=True))
    if records:
        if mapping is not None:
            records, unmapped = _translated(mapping, records)
            num_skipped += _leave(mapping, unmapped, chunk, bad)
        elif not is_json:
            records = [(line, own_record(row)) for line, row in records]
        if not is_json:
            records = _finite(sorted(records, key=itemgetter(0)), chunk, bad)
        parts.append(_of_records(records))
    if bad:
        parts.append(_of_bad(sorted(bad)))
    parts = [part for part in parts if part.num_rows]
    if not parts:
        return ImportTable(pa.table({LINE: pa.array([], pa.int64())}), num_skipped)
    if len(parts) == 1:
        return ImportTable(parts[0], num_skipped)
    # Forms of rows share columns only where these have one type; the rest travels as records.
    table = pa.concat_tables(_aligned(parts), promote_options="default")
    order = pc.sort_indices(table.column(LINE))  # the first row of an event id is the one kept
    return ImportTable(table.take(order), num_skipped)


def _leave(mapping: SourceMapping, unmapped: Sequence[int], chunk: Chunk, bad: list[BadRow]) -> int:
    """What becomes of rows that no rule takes; returns how many are left out."""
    if mapping.otherwise == "skip":
        return len(unmapped)
    raw = chunk.source.raw(unmapped)
    bad.extend(BadRow(line, UNMAPPED, raw[line]) for line in unmapped)
    return 0


def _finite(
    records: Sequence[tuple[int, dict[str, Any]]], chunk: Chunk, bad: list[BadRow]
) -> list[tuple[int, dict[str, Any]]]:
    """The records without those that hold a number that JSON does not have."""
    reasons = {line: fault(fields, DEPTH_MAX) for line, fields in records}
    bad_lines = [line for line, reason in reasons.items() if reason is not None]
    if not bad_lines:
        return list(records)
    raw = chunk.source.raw(bad_lines)
    bad.extend(BadRow(line, reasons[line] or "", raw[line]) for line in bad_lines)
    return [(line, fields) for line, fields in records if reasons[line] is None]


def _translated(
    mapping: SourceMapping, records: Sequence[tuple[int, dict[str, Any]]]
) -> tuple[list[tuple[int, dict[str, Any]]], list[int]]:
    """The records in our fields, and the lines of those that no rule takes."""
    mapped, unmapped = [], []
    for line, record in records:
        fields = translate(mapping, record)
        if fields is None:
            unmapped.append(line)
        else:
            mapped.append((line, fields))
    return mapped, unmapped


def _mapped_columns(
    mapping: SourceMapping, table: pa.Table, lines: npt.NDArray[np.int64]
) -> tuple[pa.Table, list[tuple[int, dict[str, Any]]], list[int]]:
    """The rows that columns hold, those for ``translate``, and the lines that no rule takes."""
    mapped = map_columns(mapping, table)
    own = pa.table({LINE: lines, **mapped.columns})
    taken = mapped.rule_of_row >= 0
    kept = taken & ~mapped.odd
    if kept.all():
        return own, [], []
    odd = taken & mapped.odd
    records = table.filter(pa.array(odd)).to_pylist()
    return (
        own.filter(pa.array(kept)),
        list(zip(lines[odd].tolist(), records, strict=True)),
        lines[~taken].tolist(),
    )


def _own_columns(table: pa.Table, lines: npt.NDArray[np.int64]) -> pa.Table:
    """Columns under our names, as they are; an empty text in a file of columns is no value."""
    columns: dict[str, pa.Array] = {LINE: pa.array(lines)}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        kind = column.type
        if pa.types.is_string(kind):
            if not name.startswith(METADATA_PREFIX):
                column = pc.if_else(pc.equal(column, ""), pa.scalar(None, _text), column)
            if name in ("severity", "latency_ms"):
                digits = pc.match_substring_regex(column, _DIGITS)
                if pc.all(digits).as_py():
                    column = column.cast(pa.int64())
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            if name not in ("timestamp", "received_at"):
                raise NotColumnar(name)
            column, _ = to_instants(column, "iso", None)
        elif pa.types.is_decimal(kind) and name != "cost_usd":
            raise NotColumnar(name)
        columns[name] = column
    return pa.table(columns)


def own_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of columns under our names as a record, in the way of :func:`_own_columns`."""
    fields: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        if name.startswith(METADATA_PREFIX):
            metadata[name.removeprefix(METADATA_PREFIX)] = value
        elif name in ("severity", "latency_ms") and re.fullmatch(_DIGITS, str(value)):
            fields[name] = int(value)
        elif isinstance(value, date):
            fields[name] = value.isoformat()
        elif value != "":
            fields[name] = value
    text = fields.get("metadata")
    if isinstance(text, str):
        members = decode_record(text.encode()).fields
        if members is not None:
            fields["metadata"] = metadata = {**members, **metadata}
    elif metadata and text is None:
        fields["metadata"] = metadata
    return fields


def _of_records(records: Sequence[tuple[int, dict[str, Any]]]) -> pa.Table:
    """Records in our fields as columns; those that fit into none stay records."""
    lines = np.array([line for line, _ in records], np.int64)
    rows = [fields for _, fields in records]
    odd = np.fromiter((not KNOWN_FIELDS.issuperset(row) for row in rows), np.bool_, len(rows))
    columns: dict[str, pa.Array] = {}
    for name in _FIELDS:
        values = [row.get(name) for row in rows]
        try:
            column = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            column = None
        if column is None or column.type not in _PLAIN_TYPES:
            # Values of several types: the texts stay, the others go as records.
            texts = [value if type(value) is str else None for value in values]
            odd |= np.fromiter(
                (v is not None and type(v) is not str for v in values), np.bool_, len(rows)
            )
            column = pa.array(texts, _text)
        if column.null_count < len(column):
            columns[name] = column
    metadata = [row.get("metadata") for row in rows]
    odd |= np.fromiter(
        (m is not None and type(m) is not dict for m in metadata), np.bool_, len(rows)
    )
    texts = [None if m is None else _encode(m).decode() for m in metadata]
    if any(text is not None for text in texts):
        columns["metadata"] = pa.array(texts, _text)
    table = pa.table({LINE: pa.array(lines), **columns})
    if not odd.any():
        return table
    nowhere = pa.array(~odd)
    for name in columns:
        at = table.column_names.index(name)
        column = pc.if_else(nowhere, table.column(name), pa.scalar(None, columns[name].type))
        table = table.set_column(at, name, column)
    whole = [_record_text(row) if is_odd else None for row, is_odd in zip(rows, odd, strict=True)]
    return table.append_column(RECORD, pa.array(whole, _text))


def _record_text(fields: Mapping[str, Any]) -> str:
    cost = fields.get("cost_usd")
    if isinstance(cost, Decimal):
        fields = {**fields, "cost_usd": str(cost)}  # a JSON number would lose digits
    return _encode(fields).decode()


def _of_bad(bad: Sequence[BadRow]) -> pa.Table:
    return pa.table(
        {
            LINE: pa.array([row.line for row in bad], pa.int64()),
            FAULT: pa.array([row.reason for row in bad], _text),
            RAW: pa.array([row.raw for row in bad], pa.binary()),
        }
    )


def _aligned(parts: Sequence[pa.Table]) -> list[pa.Table]:
    """The parts with one type per column; a part that has another type there goes as records."""
    types: dict[str, pa.DataType] = {}
    out = []
    for part in parts:
        clash = False
        for one in part.schema:
            known = types.setdefault(one.name, one.type)
            if known != one.type:
                if pa.types.is_null(known):
                    types[one.name] = one.type
                elif not pa.types.is_null(one.type):
                    clash = True
        out.append(_as_records(part) if clash else part)
    return out


def _as_records(part: pa.Table) -> pa.Table:
    texts = []
    for row in part.to_pylist():
        if row.get(RECORD) is not None:
            texts.append(row[RECORD])
            continue
        fields = {k: v for k, v in row.items() if v is not None and k not in (LINE, RECORD)}
        if "metadata" in fields:
            fields["metadata"] = msgspec.Raw(fields["metadata"].encode())
        texts.append(_record_text(fields))
    return pa.table({LINE: part.column(LINE), RECORD: pa.array(texts, _text)})
