"""Proves rows of a bulk table to be valid events, column by column instead of row by row.

This is a short cut, not a second authority: a row is called plain only when the validator
would take it and make exactly these columns of it. Every other row, right or wrong, is left to
the validator; a property test holds the two against each other.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.domain.event import (
    COST_DECIMALS,
    FUTURE_TOLERANCE_S,
    LATENCY_MS_MAX,
    SEVERITY_MAX,
    SEVERITY_MIN,
)
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.time import EPOCH, MICROSECOND
from ebbtide.ingest.arrow_columns import has_nul, holds_nul, is_null, single
from ebbtide.ingest.bulk_table import FAULT, LINE, METADATA_PREFIX, RECORD
from ebbtide.ingest.column_instants import parse_instants
from ebbtide.ingest.event_uuids import Uuids, to_array, uuids_of, uuids_of_lines
from ebbtide.ingest.plain_metadata import plain_metadata
from ebbtide.ingest.token_cost import TOKENS_IN
from ebbtide.ingest.validate import Validator
from ebbtide.store.events.base import EVENT_SCHEMA

Mask = npt.NDArray[np.bool_]

_text = pa.string()
_instant = pa.timestamp("us", tz="UTC")
_cost = pa.decimal128(18, COST_DECIMALS)
_FUTURE_US = FUTURE_TOLERANCE_S * 1_000_000
_COST_BELOW = 99_999_999  # below the validator's limit, so that rounding cannot reach it
_COST_FLOAT_MIN = 1e-8  # at least this, 25 decimals hold every digit of the shortest text
_COST_TEXT = r"^[0-9]{1,8}(\.[0-9]{1,25})?$"


class PlainRows(NamedTuple):
    """Columns of :data:`EVENT_SCHEMA` for every row, of which only those in ``plain`` hold."""

    plain: Mask
    batch: pa.RecordBatch
    derived_ids: Uuids  #: the UUIDs by file and line, for rows that name no id themselves


def find_plain(
    table: pa.Table,
    validator: Validator,
    *,
    received_at: datetime,
    default_source: str,
    key: str,
) -> PlainRows:
    """Check a batch in columns.

    Args:
        table: as ``check_table`` returns it; at most a few 100,000 rows.
        received_at: the moment of the load, UTC-aware.
        default_source: the source of rows that name none.
        key: names the content of the file, for rows without an event id.
    """
    check = _Check(table)
    type_codes, type_names = check.event_types(validator)
    now_us = (received_at - EPOCH) // MICROSECOND
    received = check.instants("received_at", now_us)
    check.keep((received >= 0) & (received <= now_us))
    timestamps = check.instants("timestamp", None)
    check.keep((timestamps >= 0) & (timestamps <= received + _FUTURE_US))
    lines = table.column(LINE).to_numpy()
    derived = uuids_of_lines(key, lines)
    uuids, event_ids = check.event_ids(derived)
    cost = check.cost("cost_usd")
    metadata = plain_metadata(table, check.plain, type_codes, type_names, validator)
    check.keep(metadata.plain)
    has_cost = np.array([validator.rules[name].has_cost for name in type_names] + [False])
    may_name_cost = has_cost[type_codes] & cost.is_null().to_numpy(False)
    if may_name_cost.any():
        # Some producers name a call's cost among its metadata; it is the same fact.
        if f"{METADATA_PREFIX}cost_usd" in table.column_names:
            named = check.cost(f"{METADATA_PREFIX}cost_usd", only=may_name_cost)
            cost = pc.if_else(pa.array(may_name_cost), named, cost)
        check.keep(~(may_name_cost & metadata.text_names_cost))
        if validator.prices is not None:
            # The cost follows from the tokens, call by call.
            is_open = may_name_cost & cost.is_null().to_numpy(False)
            check.keep(~(is_open & ~is_null(metadata.promoted[TOKENS_IN])))
    columns = {
        "event_uuid": to_array(uuids),
        "event_id": event_ids,
        "timestamp": _instants(timestamps),
        "received_at": _instants(received),
        "tenant_id": check.text("tenant_id", may_be_absent=False),
        "user_id": check.text("user_id"),
        "session_id": check.text("session_id"),
        "event_type": check.column("event_type"),
        "entity_type": check.text("entity_type"),
        "entity_id": check.text("entity_id"),
        "severity": check.whole("severity", SEVERITY_MIN, SEVERITY_MAX, pa.int8()),
        "latency_ms": check.whole("latency_ms", 0, LATENCY_MS_MAX, pa.int64()),
        "cost_usd": cost,
        "source": pc.fill_null(check.text("source"), default_source),
        "metadata": metadata.text,
        **metadata.promoted,
    }
    arrays = [columns[field.name] for field in EVENT_SCHEMA]
    loose = pa.schema([pa.field(field.name, field.type) for field in EVENT_SCHEMA])
    return PlainRows(check.plain, pa.RecordBatch.from_arrays(arrays, schema=loose), derived)


class _Check:
    """One batch under examination; ``plain`` loses the rows that a check cannot vouch for."""

    def __init__(self, table: pa.Table) -> None:
        self._columns = {
            name: single(table.column(name))
            for name in table.column_names
            if not name.startswith(METADATA_PREFIX) or name == f"{METADATA_PREFIX}cost_usd"
        }
        self._num = table.num_rows
        self.plain: Mask = np.ones(self._num, np.bool_)
        for name in (FAULT, RECORD):
            self.keep(is_null(self.column(name)))

    def keep(self, rows: Mask) -> None:
        """Only these rows may still be plain."""
        self.plain &= rows

    def column(self, name: str) -> pa.Array:
        """A column as text; one that is absent has nulls, one of other types is not vouched for."""
        column = self._columns.get(name)
        if column is None:
            return pa.nulls(self._num, _text)
        if not pa.types.is_string(column.type):
            self.keep(is_null(column))
            return pa.nulls(self._num, _text)
        return column

    def event_types(self, validator: Validator) -> tuple[npt.NDArray[np.int32], list[str]]:
        """A code per row into the names of known types; -1 is none of them."""
        coded = self.column("event_type").dictionary_encode()
        names = [name for name in coded.dictionary.to_pylist() if name in validator.rules]
        known = pc.index_in(coded.dictionary, pa.array(names, _text)).to_numpy(False)
        known = np.append(np.nan_to_num(known.astype(float), nan=-1), -1).astype(np.int32)
        codes = known[coded.indices.fill_null(len(known) - 1).to_numpy(False)]
        self.keep(codes >= 0)
        return codes, names

    def instants(self, name: str, default_us: int | None) -> npt.NDArray[np.int64]:
        """Microseconds since 1970; rows without a usable one are not plain."""
        column = self._columns.get(name)
        if column is None or pa.types.is_null(column.type):
            column = pa.nulls(self._num, _instant)
        elif pa.types.is_string(column.type):
            column = parse_instants(column)
            self.keep(is_null(self._columns[name]) | ~is_null(column))
        elif not pa.types.is_timestamp(column.type) or column.type.tz is None:
            self.keep(is_null(column))
            column = pa.nulls(self._num, _instant)
        if default_us is None:
            self.keep(~is_null(column))
        number = column.cast(pa.int64()).fill_null(default_us or 0)
        values: npt.NDArray[np.int64] = number.to_numpy(False)
        return values

    def event_ids(self, derived: Uuids) -> tuple[Uuids, pa.Array]:
        """UUIDs and, where they are not the UUID's own text, the ids as sent."""
        sent = self.text("event_id", empty_is_absent=False)
        present = ~is_null(sent)
        rows = np.flatnonzero(present & self.plain)
        if not len(rows):
            return derived, pa.nulls(self._num, _text)
        uuids = derived.copy()
        given = sent if len(rows) == self._num else sent.take(pa.array(rows))
        uuids[rows], is_canonical = uuids_of(given)
        if is_canonical.all():
            return uuids, pa.nulls(self._num, _text)
        shown = present.copy()
        shown[rows[is_canonical]] = False
        return uuids, pc.if_else(pa.array(shown), sent, pa.scalar(None, _text))

    def text(
        self, name: str, *, may_be_absent: bool = True, empty_is_absent: bool = True
    ) -> pa.Array:
        """An id of at most 200 characters without NUL."""
        column = self.column(name)
        absent = is_null(column)
        if absent.all():
            if not may_be_absent:
                self.keep(~absent)
            return column
        length = pc.binary_length(column)
        extent = pc.min_max(length).as_py()
        if extent["max"] > ID_MAX_CHARS:
            fits = pc.less_equal(pc.utf8_length(column), ID_MAX_CHARS)
            self.keep(fits.fill_null(True).to_numpy(False))
        if has_nul(column):
            self.keep(~holds_nul(column))
        if extent["min"] == 0:
            is_empty = pc.equal(length, 0)
            if may_be_absent and empty_is_absent:
                return pc.if_else(is_empty.fill_null(False), pa.scalar(None, _text), column)
            self.keep(~is_empty.fill_null(False).to_numpy(False))
        if not may_be_absent:
            self.keep(~absent)
        return column

    def whole(self, name: str, least: int, most: int, kind: pa.DataType) -> pa.Array:
        """A whole number within its limits; also when it is written as 12.0."""
        column = self._columns.get(name)
        if column is None or pa.types.is_null(column.type):
            return pa.nulls(self._num, kind)
        absent = is_null(column)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            self.keep(absent)
            return pa.nulls(self._num, kind)
        values = column.fill_null(0).to_numpy(False)
        good = (values >= least) & (values <= most)
        if values.dtype.kind == "f":
            good &= values == np.floor(values)
        self.keep(good | absent)
        held = np.where(good, values, 0).astype(kind.to_pandas_dtype())
        return pa.array(held, kind, mask=absent | ~good)

    def cost(self, name: str, only: Mask | None = None) -> pa.Array:
        """An exact amount, rounded half to even where it has more decimals than we keep.

        Args:
            only: the rows whose value matters; None for all.
        """
        column = self._columns.get(name)
        if column is None or pa.types.is_null(column.type):
            return pa.nulls(self._num, _cost)
        if only is not None:
            column = pc.if_else(pa.array(only), column, pa.scalar(None, column.type))
        absent = is_null(column)
        good = _is_plain_cost(column)
        self.keep(good | absent)
        if not good.any():
            return pa.nulls(self._num, _cost)
        if not good.all():
            column = pc.if_else(pa.array(good), column, pa.scalar(None, column.type))
        kind = column.type
        if pa.types.is_floating(kind):
            column = column.cast(_text)  # the shortest decimal that reads back as the number
        if not pa.types.is_decimal(kind):
            wide = pa.decimal128(38, 0 if pa.types.is_integer(kind) else 25)
            column = column.cast(wide)
        if column.type.scale > COST_DECIMALS:
            column = pc.round(column, COST_DECIMALS, "half_to_even")
        return column.cast(_cost)


def _is_plain_cost(column: pa.Array) -> Mask:
    kind = column.type
    if pa.types.is_integer(kind):
        values = column.fill_null(-1 if pa.types.is_signed_integer(kind) else _COST_BELOW)
        numbers = values.to_numpy(False)
        mask: Mask = (numbers >= 0) & (numbers < _COST_BELOW)
        return mask
    if pa.types.is_floating(kind):
        floats = column.fill_null(-1.0).to_numpy(False)
        mask = (floats == 0) | ((floats >= _COST_FLOAT_MIN) & (floats < _COST_BELOW))
        return mask
    if pa.types.is_string(kind):
        shaped = pc.match_substring_regex(column, _COST_TEXT).fill_null(False)
        texts = pc.if_else(shaped, column, pa.scalar(None, kind)).cast(pa.decimal128(38, 25))
        return _is_below(texts)
    if pa.types.is_decimal(kind) and kind.scale >= 0:
        return _is_below(column)
    return np.zeros(len(column), np.bool_)


def _is_below(column: pa.Array) -> Mask:
    most = pa.scalar(Decimal(_COST_BELOW), pa.decimal128(8, 0))
    none = pa.scalar(Decimal(0), pa.decimal128(1, 0))
    good = pc.and_(pc.greater_equal(column, none), pc.less(column, most))
    mask: Mask = good.fill_null(False).to_numpy(False)
    return mask


def _instants(microseconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(microseconds, pa.int64()).cast(_instant)
