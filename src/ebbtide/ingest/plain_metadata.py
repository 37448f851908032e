"""The metadata of many events at once: checks per event type, JSON text, promoted columns.

Typed ``metadata.<key>`` columns are checked and written as JSON in columns. Metadata that comes
as text is read by the validator's own function, once per distinct text. ``plain_rows`` says
what "plain" promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from ebbtide.domain.event import PROMOTED_METADATA
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.ingest.arrow_columns import has_nul, holds_nul, is_null, single, text_bytes
from ebbtide.ingest.bulk_table import METADATA_PREFIX
from ebbtide.ingest.decode import DEPTH_MAX, decode_record
from ebbtide.ingest.validate import (
    METADATA_MAX_BYTES,
    Rejection,
    TypeRules,
    Validator,
    check_metadata,
)
from ebbtide.store.events.base import EVENT_SCHEMA

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

_text = pa.string()
_INT32 = np.iinfo(np.int32)
# Within compact JSON a null stands behind one of these; elsewhere the text is not compact.
_BARE_NULL = r"(^|[^:,\[])null"
_ESCAPED = r'["\\\x00-\x1f]'  # what JSON text cannot hold as it is
_WRITABLE = (pa.string(), pa.int64(), pa.float64(), pa.bool_())
_FEW_DISTINCT = 4  # with fewer distinct texts than a row in so many, each is read by itself
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class PlainMetadata(NamedTuple):
    """What the event columns need; only rows in ``plain`` hold."""

    plain: Mask
    text: pa.Array
    promoted: dict[str, pa.Array]
    text_names_cost: Mask  #: rows whose metadata text has a ``cost_usd``


def plain_metadata(
    table: pa.Table,
    candidates: Mask,
    type_codes: Codes,
    type_names: Sequence[str],
    validator: Validator,
) -> PlainMetadata:
    """Check the metadata of a batch.

    Args:
        table: as ``check_table`` returns it.
        candidates: rows that are still in question; the others may come out as anything.
        type_codes: a position in ``type_names`` per row, -1 for an unknown type.
    """
    columns = {
        name.removeprefix(METADATA_PREFIX): single(table.column(name))
        for name in table.column_names
        if name.startswith(METADATA_PREFIX)
    }
    columns = {key: column for key, column in columns.items() if column.null_count < len(column)}
    texts = pa.nulls(table.num_rows, _text)
    if "metadata" in table.column_names:
        texts = single(table.column("metadata")).cast(_text)
    has_text = ~is_null(texts)
    rules = [validator.rules[name] for name in type_names]
    by_columns = _ByColumns(columns, type_codes, rules, ~has_text)
    plain = candidates & by_columns.check()
    json = by_columns.to_json()
    promoted = by_columns.promoted()
    names_cost = np.zeros(table.num_rows, np.bool_)
    if has_text.any():
        for column in columns.values():
            plain &= ~has_text | is_null(column)
        rows = np.flatnonzero(has_text & plain)
        read = _read_texts(texts, rows, type_codes, rules)
        json = pc.if_else(pa.array(read.plain), read.text, json)
        promoted = {
            name: column
            if promoted[name].null_count == len(column)
            else pc.coalesce(column, promoted[name])
            for name, column in read.promoted.items()
        }
        names_cost = read.text_names_cost
        plain &= ~has_text | read.plain
    sizes = pc.binary_length(json).to_numpy(False)
    return PlainMetadata(plain & (sizes <= METADATA_MAX_BYTES), json, promoted, names_cost)


class _ByColumns:
    """The typed metadata columns of one batch."""

    def __init__(
        self,
        columns: Mapping[str, pa.Array],
        type_codes: Codes,
        rules: Sequence[TypeRules],
        counts: Mask,
    ) -> None:
        self._columns = columns
        self._codes = type_codes
        self._rules = rules
        self._counts = counts  # rows whose metadata are these columns and nothing else
        signals = pa.array([*(rule.friction_signal for rule in rules), None], _text)
        self._signals = signals.take(pa.array(np.where(type_codes < 0, len(rules), type_codes)))

    def check(self) -> Mask:
        """Rows in which every value has its type and nothing required is missing."""
        plain: Mask = np.ones(len(self._codes), np.bool_)
        for key, column in self._columns.items():
            plain &= self._are_fit(key, column)
        for key in {key for rule in self._rules for key in rule.required}:
            needed = self._of_types([key in rule.required for rule in self._rules])
            column = self._columns.get(key)
            missing = is_null(column) if column is not None else np.ones_like(plain)
            plain &= ~(needed & missing & self._counts)
        said = self._columns.get("friction_signal")
        if said is not None:
            expected = ~is_null(self._signals)
            if pa.types.is_string(said.type):
                agrees = pc.equal(said, self._signals).fill_null(True).to_numpy(False)
                plain &= agrees
            else:
                plain &= ~expected | is_null(said)
        return plain

    def _of_types(self, marked: Sequence[bool]) -> Mask:
        """The rows whose type is marked; an unknown type never is."""
        return np.array([*marked, False])[self._codes]

    def _are_fit(self, key: str, column: pa.Array) -> Mask:
        absent = is_null(column)
        fit: Mask = np.ones(len(column), np.bool_)
        if "\0" in key:
            fit &= absent
        kinds = [rule.types.get(key) for rule in self._rules]
        for kind in {kind for kind in kinds if kind is not None}:
            fit &= _fits(column, kind) | ~self._of_types([one == kind for one in kinds])
        if pa.types.is_floating(column.type):
            fit &= np.isfinite(column.fill_null(0.0).to_numpy(False))
        elif pa.types.is_string(column.type) and has_nul(column):
            fit &= ~holds_nul(column)
        if key in PROMOTED_METADATA:
            fit &= _is_storable(column, PROMOTED_METADATA[key])
        return fit | absent

    def promoted(self) -> dict[str, pa.Array]:
        """The columns that metadata keys are copied into."""
        out = {}
        for name, kind in PROMOTED_METADATA.items():
            column, wanted = self._columns.get(name), EVENT_SCHEMA.field(name).type
            if column is None or not _may_store(column.type, kind):
                out[name] = pa.nulls(len(self._codes), wanted)
            elif kind is str:
                out[name] = column
            else:
                good = _is_storable(column, kind) & ~is_null(column)
                values = np.where(good, column.fill_null(0).to_numpy(False), 0)
                out[name] = pa.array(values.astype(np.int64), mask=~good).cast(wanted)
        return out

    def to_json(self, *, adds_signal: bool = True) -> pa.Array:
        """One JSON object per row: the columns in order, then a friction signal not said."""
        members = [_members(key, column) for key, column in self._columns.items()]
        if adds_signal and self._signals.null_count < len(self._signals):
            said = self._columns.get("friction_signal")
            if said is None or not pa.types.is_string(said.type):
                left = self._signals
            else:
                left = pc.if_else(said.is_null(), self._signals, pa.scalar(None, _text))
            members.append(_members("friction_signal", left))
        if not members:
            return pa.array(["{}"], _text).take(pa.array(np.zeros(len(self._codes), np.int32)))
        # Each member brings a comma before it; the first one's becomes the brace. (Joining with
        # null_handling="skip" would lose the rows in which every member is null.)
        joined = pc.binary_join_element_wise(*members, "", null_handling="replace")
        return pc.binary_join_element_wise(pc.binary_replace_slice(joined, 0, 1, "{"), "}", "")


def _fits(column: pa.Array, kind: str) -> Mask:
    """Which values have the type that the catalog asks for; nulls do not matter."""
    is_integer = pa.types.is_integer(column.type)
    is_float = pa.types.is_floating(column.type)
    if kind == "integer" and is_float:
        values = column.fill_null(0.0).to_numpy(False)
        mask: Mask = values == np.floor(values)
        return mask
    fits = {
        "string": pa.types.is_string(column.type),
        "integer": is_integer,
        "number": is_integer or is_float,
        "boolean": pa.types.is_boolean(column.type),
    }
    return np.full(len(column), fits.get(kind, False))


def _may_store(given: pa.DataType, kind: type) -> bool:
    """Whether a promoted column takes values of this type at all."""
    if kind is str:
        return bool(pa.types.is_string(given))
    return bool(pa.types.is_integer(given) or pa.types.is_floating(given))


def _is_storable(column: pa.Array, kind: type) -> Mask:
    """Which values a promoted column holds; nulls do not matter."""
    if not _may_store(column.type, kind):
        return np.zeros(len(column), np.bool_)
    if kind is str:
        # The validator takes longer ones too; they are rare and left to it.
        lengths = pc.binary_length(column).fill_null(0).to_numpy(False)
        mask: Mask = lengths <= ID_MAX_CHARS
        return mask
    values = column.fill_null(0).to_numpy(False)
    mask = (values >= _INT32.min) & (values <= _INT32.max)
    return mask & (values == np.floor(values)) if values.dtype.kind == "f" else mask


def _members(key: str, column: pa.Array) -> pa.Array:
    """``,"key":value`` per row, null where the value is."""
    name = f",{_encode(key).decode()}:"
    if pa.types.is_string(column.type):
        quoted = pc.binary_join_element_wise(name + '"', column, '"', "")
        data = text_bytes(column)
        if not ((data < 32) | (data == 34) | (data == 92)).any():
            return quoted
        escaped = pc.match_substring_regex(column, _ESCAPED).fill_null(False)
        values = [name + _encode(value).decode() for value in column.filter(escaped).to_pylist()]
        return pc.replace_with_mask(quoted, escaped, pa.array(values, _text))
    if pa.types.is_floating(column.type):
        # Written by the same encoder as all metadata: how many digits is its decision.
        numbers = [None if v is None else _encode(v).decode() for v in column.to_pylist()]
        return pc.binary_join_element_wise(name, pa.array(numbers, _text), "")
    return pc.binary_join_element_wise(name, column.cast(_text), "")


def _read_texts(
    texts: pa.Array,
    rows: npt.NDArray[np.int64],
    type_codes: Codes,
    rules: Sequence[TypeRules],
) -> PlainMetadata:
    """Read the metadata texts of some rows, each text once where many are the same.

    Returns:
        What was settled, over all rows of the batch; null in all other rows.
    """
    found = _Found(len(texts))
    coded = texts.take(pa.array(rows)).dictionary_encode()
    if len(coded.dictionary) > len(rows) // _FEW_DISTINCT:
        for read, part in _read_each(texts, rows, type_codes, rules):
            found.add(read, part, np.arange(len(part)))
        return found.spread_out()
    pairs = coded.indices.to_numpy(False).astype(np.int64) * len(rules) + type_codes[rows]
    distinct, pair_of_row = np.unique(pairs, return_inverse=True)
    text_codes, codes = np.divmod(distinct, max(len(rules), 1))
    each_text = coded.dictionary.take(pa.array(text_codes))
    every = np.arange(len(distinct))
    for read, part in _read_each(each_text, every, codes.astype(np.int32), rules):
        place_of_pair = np.full(len(distinct), -1, np.int64)
        place_of_pair[part] = np.arange(len(part))
        places = place_of_pair[pair_of_row]
        here = places >= 0
        found.add(read, rows[here], places[here])
    return found.spread_out()


class _Found:
    """What several ways of reading settled, and for which rows of the batch."""

    def __init__(self, num_rows: int) -> None:
        self._place_of_row = np.full(num_rows, -1, np.int64)
        self._reads: list[PlainMetadata] = []
        self._num = 0

    def add(
        self, read: PlainMetadata, rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
    ) -> None:
        """Take what is plain of a reading.

        Args:
            rows: positions in the batch.
            places: for each of them, its position in ``read``.
        """
        settled = read.plain[places]
        self._place_of_row[rows[settled]] = self._num + places[settled]
        self._reads.append(read)
        self._num += len(read.plain)

    def spread_out(self) -> PlainMetadata:
        """All of it over the rows of the batch, null where nothing was settled."""
        places = self._place_of_row
        plain = places >= 0
        if not plain.any():
            texts, promoted = pa.nulls(len(places), _text), _nothing_promoted(len(places))
            return PlainMetadata(plain, texts, promoted, np.zeros(len(places), np.bool_))
        where = pa.array(places, mask=~plain)
        promoted = _nothing_promoted(len(places))
        for name in promoted:
            columns = [read.promoted[name] for read in self._reads]
            if any(column.null_count < len(column) for column in columns):
                promoted[name] = pa.concat_arrays(columns).take(where)
        names_cost = np.concatenate([read.text_names_cost for read in self._reads])
        return PlainMetadata(
            plain,
            pa.concat_arrays([read.text for read in self._reads]).take(where),
            promoted,
            plain & names_cost[places],
        )


def _nothing_promoted(num_rows: int) -> dict[str, pa.Array]:
    return {name: pa.nulls(num_rows, EVENT_SCHEMA.field(name).type) for name in PROMOTED_METADATA}


def _read_each(
    texts: pa.Array,
    rows: npt.NDArray[np.int64],
    type_codes: Codes,
    rules: Sequence[TypeRules],
) -> Iterator[tuple[PlainMetadata, npt.NDArray[np.int64]]]:
    """Read some texts: in columns per event type, then what is left one by one.

    Returns:
        What was settled, and the rows that it is about.
    """
    left = []
    for code, rule in enumerate(rules):
        group = rows[type_codes[rows] == code]
        read = _read_as_columns(texts.take(pa.array(group)), rule) if len(group) else None
        if read is None:
            left.append(group)
        else:
            yield read, group
            left.append(group[~read.plain])
    others = np.concatenate(left) if left else rows
    if len(others):
        yield _read_one_by_one(texts.take(pa.array(others)), type_codes[others], rules), others


def _read_as_columns(texts: pa.Array, rule: TypeRules) -> PlainMetadata | None:
    """Read the texts of one event type as a table and prove the reading by writing them back.

    A text that comes out letter by letter as it was is the canonical text of exactly the values
    in the columns: no key stood twice, no number lost a digit, nothing was left out.
    """
    # A null that is no member, alone or behind an object, makes the reader write where it must
    # not: that ends the process too, or what is in its memory.
    lines = text_bytes(pc.binary_join_element_wise(texts, "", "\n")).tobytes()
    if b"null" in lines and pc.any(pc.match_substring_regex(texts, _BARE_NULL)).as_py():
        return None
    # Its parser goes as deep as it is led, and past the end of the stack: that ends the process.
    num_opened = lines.count(b"{") + lines.count(b"[")
    num_objects = pc.sum(pc.starts_with(texts, "{")).as_py()
    if num_opened - num_objects >= DEPTH_MAX:  # in one of them all of these may stand
        opened = pc.add(pc.count_substring(texts, "{"), pc.count_substring(texts, "["))
        if pc.max(opened).as_py() > DEPTH_MAX:
            return None
    table = _parsed(lines)
    if table is None or table.num_rows != len(texts):
        return None
    columns = {
        field.name: single(table.column(field.name))
        for field in table.schema
        if field.type in _WRITABLE
    }
    codes = np.zeros(len(texts), np.int32)
    work = _ByColumns(columns, codes, [rule], np.ones(len(texts), np.bool_))
    json = work.to_json(adds_signal=False)
    proven = pc.equal(json, texts).to_numpy(False)
    cost = columns.get("cost_usd")
    return PlainMetadata(
        proven & work.check(),
        json if rule.friction_signal is None else work.to_json(),
        work.promoted(),
        np.zeros(len(texts), np.bool_) if cost is None else ~is_null(cost),
    )


def _parsed(lines: bytes, schema: pa.Schema | None = None) -> pa.Table | None:
    """JSON lines as a table; None when they are not all objects with one type per member."""
    try:
        table = pa_json.read_json(
            pa.BufferReader(lines),
            pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            pa_json.ParseOptions(explicit_schema=schema),
        )
    except pa.ArrowInvalid:
        return None
    if schema is None and any(pa.types.is_timestamp(kind) for kind in table.schema.types):
        # The reader takes texts that look like moments for moments; they are to stay texts.
        types = [(f.name, _text if pa.types.is_timestamp(f.type) else f.type) for f in table.schema]
        return _parsed(lines, pa.schema(types))
    return table


def _read_one_by_one(
    texts: pa.Array, type_codes: Codes, rules: Sequence[TypeRules]
) -> PlainMetadata:
    json: list[str | None] = []
    promoted: list[Sequence[Any]] = []
    names_cost = np.zeros(len(texts), np.bool_)
    nothing = (None,) * len(PROMOTED_METADATA)
    for at, (text, code) in enumerate(zip(texts.to_pylist(), type_codes.tolist(), strict=True)):
        read = _read_text(text, rules[code])
        json.append(None if read is None else read[0])
        promoted.append(nothing if read is None else read[1])
        names_cost[at] = read is not None and read[2]
    values = zip(*promoted, strict=True)
    return PlainMetadata(
        np.array([one is not None for one in json], np.bool_),
        pa.array(json, _text),
        {
            name: pa.array(column, EVENT_SCHEMA.field(name).type)
            for name, column in zip(PROMOTED_METADATA, values, strict=True)
        },
        names_cost,
    )


def _read_text(text: str, rules: TypeRules) -> tuple[str, Sequence[Any], bool] | None:
    """The checked metadata of one text; None when the row must be looked at by itself."""
    try:
        metadata = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    if type(metadata) is not dict:
        return None
    checked = check_metadata(metadata, rules)
    if isinstance(checked, Rejection):
        return None
    json, promoted = checked
    # Written back it is the same text: so no key stood twice and no number lost digits.
    is_exact = json == text and text.count("{") + text.count("[") < DEPTH_MAX
    if not is_exact and decode_record(text.encode()).fields is None:
        return None
    return json, promoted, metadata.get("cost_usd") is not None
