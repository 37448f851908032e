"""Applies a mapping to whole columns: what ``translate`` does to one record, for many rows at once.

``translate`` stays the one meaning of a mapping. Where columns cannot keep it (values of several
types in one column, objects, hours that a clock change repeats) rows are marked as odd, or the
whole table is left to ``translate``; a property test holds the two against each other. Columns
are never turned into the text of a query, so no name or value in a file can be more than data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.catalog.mapping import (
    METADATA_PREFIX,
    TEXT_TARGETS,
    TIME_TARGETS,
    Condition,
    FieldPath,
    Rule,
    Scalar,
    SourceMapping,
    TokenPrice,
)
from ebbtide.domain.event import COST_DECIMALS
from ebbtide.ingest.arrow_columns import Mask, is_null, single
from ebbtide.ingest.column_instants import to_instants

_text = pa.string()
_INTEGER_TARGETS = ("severity", "latency_ms")
_DIGITS = r"^-?[0-9]{1,18}$"  # a plus sign is left to translate
_TEXT_WHOLE_BELOW = 2**53  # doubles at least this large have no text to compare
_PRICE_TYPE = pa.decimal128(24, 18)  # up to a million USD a token, exact to 18 decimals
_PRICED_TOKENS_BELOW = 10**9  # so that tokens times price stay within 38 digits
_cost = pa.decimal128(18, COST_DECIMALS)


class NotColumnar(Exception):
    """The mapping cannot be applied to this table in columns; go record by record."""


@dataclass(slots=True)
class MappedColumns:
    """Our columns for the rows of a table.

    ``rule_of_row`` is the position of the rule that took the row, -1 when none did. In ``odd``
    rows the columns do not hold: they must be translated by themselves.
    """

    columns: dict[str, pa.Array]
    rule_of_row: npt.NDArray[np.int64]
    odd: Mask


@dataclass(slots=True)
class _Value:
    """One field of ours over all rows, and the rows in which it could not be made."""

    array: pa.Array
    odd: Mask


def map_columns(mapping: SourceMapping, table: pa.Table) -> MappedColumns:
    """Apply a mapping to a table of simple types.

    Raises:
        NotColumnar: some column or value type needs :func:`translate`.
    """
    return _Mapper(mapping, table).mapped()


class _Mapper:
    def __init__(self, mapping: SourceMapping, table: pa.Table) -> None:
        self._mapping = mapping
        self._num = table.num_rows
        self._theirs = {name: single(table.column(name)) for name in table.column_names}
        self._none: Mask = np.zeros(self._num, np.bool_)
        self._made: dict[tuple[str, tuple[FieldPath, ...]], _Value] = {}
        self._odd = self._none.copy()
        self._columns: dict[str, pa.Array] = {}

    def mapped(self) -> MappedColumns:
        for path in self._mapping.spread:
            column = self._theirs.get(path[0])
            if column is not None and column.null_count < self._num:
                raise NotColumnar("spread")
        rule_of_row = np.full(self._num, -1, np.int64)
        self._columns["event_type"] = pa.nulls(self._num, _text)
        for number, rule in enumerate(self._mapping.rules):
            left = rule_of_row < 0
            if not left.any():
                break
            types, holds = self._types(rule)
            for condition in rule.conditions:
                holds = holds & self._holds(condition)
            rows = left & holds
            if rows.any():
                rule_of_row[rows] = number
                self._merge("event_type", rows, types)
                self._apply(rule, rows)
        return MappedColumns(self._columns, rule_of_row, self._odd)

    # -- which rule ------------------------------------------------------------------------

    def _find(self, path: FieldPath) -> pa.Array | None:
        column = self._theirs.get(path[0])
        if column is None or pa.types.is_null(column.type):
            return None
        return column if len(path) == 1 else None  # simple values hold no fields

    def _types(self, rule: Rule) -> tuple[pa.Array, Mask]:
        if rule.type is not None:
            return pa.array([rule.type] * self._num, _text), ~self._none
        named = pa.nulls(self._num, _text)
        seen = self._none.copy()
        for path in rule.type_paths:
            column = self._find(path)
            if column is None:
                continue
            first = _is_present(column) & ~seen
            if pa.types.is_string(column.type):
                named = pc.if_else(pa.array(first), column, named)
            seen |= first
        known = pc.is_in(named, pa.array(sorted(self._mapping.event_types), _text))
        mask: Mask = known.to_numpy(False)
        return named, mask

    def _holds(self, condition: Condition) -> Mask:
        column = self._find(condition.path)
        present = self._none if column is None else _is_present(column)
        holds = ~self._none
        if condition.present is not None:
            holds = present == condition.present
        if condition.any_of is not None:
            wanted = pa.array(condition.any_of, _text)
            if column is None:
                return self._none
            holds = holds & present & pc.is_in(_text_of(column), wanted).to_numpy(False)
        if condition.prefix is not None:
            if column is None or not pa.types.is_string(column.type):
                return self._none
            begins = pc.starts_with(column, condition.prefix).fill_null(False)
            holds = holds & present & begins.to_numpy(False)
        return holds

    # -- the fields of one rule ------------------------------------------------------------

    def _apply(self, rule: Rule, rows: Mask) -> None:
        fields: dict[str, pa.Array] = {}
        odd = self._none.copy()
        for target, paths in rule.columns.items():
            value = self._value(target, paths)
            fields[target] = value.array
            odd |= value.odd
        if self._mapping.rest:
            for name, column in self._theirs.items():
                if (name,) in rule.taken or (name,) in self._mapping.spread:
                    continue
                key = METADATA_PREFIX + name
                fields[key] = self._either(fields.get(key), _as_metadata(column), rows)
        for target, constant in rule.constants.items():
            fields[target] = self._with_constant(fields.get(target), target, constant, rows)
        source = self._mapping.name
        fields["source"] = self._with_constant(fields.get("source"), "source", source, rows)
        if self._mapping.prices is not None:
            cost = self._priced(self._mapping.prices, fields, rows)
            odd |= cost.odd
            fields["cost_usd"] = cost.array
        for target, array in fields.items():
            self._merge(target, rows, array)
        self._odd |= odd & rows

    def _merge(self, target: str, rows: Mask, array: pa.Array) -> None:
        if rows.all():
            self._columns[target] = array
            return
        whole = self._columns.get(target)
        part = pc.if_else(pa.array(rows), array, pa.scalar(None, array.type))
        self._columns[target] = part if whole is None else _joined(part, whole)

    def _value(self, target: str, paths: tuple[FieldPath, ...]) -> _Value:
        """The first present value of some of their columns, made ours."""
        made = self._made.get((target, paths))
        if made is not None:
            return made
        whole = _Value(pa.nulls(self._num), self._none)
        seen = self._none.copy()
        for path in paths:
            column = self._find(path)
            if column is None:
                continue
            first = _is_present(column) & ~seen
            if not first.any():
                continue
            if not first.all():
                column = pc.if_else(pa.array(first), column, pa.scalar(None, column.type))
            one = self._converted(target, column)
            whole = _Value(_joined(one.array, whole.array), whole.odd | (one.odd & first))
            seen |= first
        self._made[target, paths] = whole
        return whole

    def _converted(self, target: str, column: pa.Array) -> _Value:
        if target in TIME_TARGETS:
            instants, odd = to_instants(column, self._mapping.time_format, self._mapping.zone)
            return _Value(instants, odd)
        words = self._mapping.values.get(target)
        odd = self._none
        if target in TEXT_TARGETS and not pa.types.is_boolean(column.type):
            text = _text_of(column)
            odd = is_null(text) & ~is_null(column)
            column = text
        if words is not None:
            text = _text_of(column)
            at = pc.index_in(text, pa.array(list(words), _text))
            ours = pa.array(list(words.values()), _text).take(at)
            if pa.types.is_string(column.type):
                column = pc.coalesce(ours, column)
            else:
                odd = odd | ~is_null(ours)
        if target in _INTEGER_TARGETS and pa.types.is_string(column.type):
            shaped = pc.match_substring_regex(column, _DIGITS)
            odd = odd | ~shaped.fill_null(True).to_numpy(False)
            column = pc.if_else(shaped, column, pa.scalar(None, _text)).cast(pa.int64())
        if target.startswith(METADATA_PREFIX):
            column = _as_metadata(column)
        elif pa.types.is_date(column.type) or (
            pa.types.is_decimal(column.type) and target != "cost_usd"
        ):
            odd = odd | ~is_null(column)
            column = pa.nulls(self._num)
        elif pa.types.is_timestamp(column.type):
            odd = odd | ~is_null(column)
            column = pa.nulls(self._num)
        return _Value(column, odd)

    def _either(self, one: pa.Array | None, other: pa.Array, rows: Mask) -> pa.Array:
        return other if one is None else _joined(one, other)

    def _with_constant(
        self, array: pa.Array | None, target: str, constant: Scalar, rows: Mask
    ) -> pa.Array:
        if array is not None and not (is_null(array) & rows).any():
            return array
        if target == "cost_usd" and array is not None and pa.types.is_string(array.type):
            constant = str(constant)
        scalar = pa.scalar(constant)
        if array is None or array.null_count == self._num:
            return pa.repeat(scalar, self._num)
        if array.type != scalar.type:
            raise NotColumnar(target)
        return array.fill_null(scalar)

    # -- cost ------------------------------------------------------------------------------

    def _priced(
        self, prices: Mapping[str, TokenPrice], fields: Mapping[str, pa.Array], rows: Mask
    ) -> _Value:
        """The cost column, with the price of its tokens in rows that name no cost."""
        cost = fields.get("cost_usd", pa.nulls(self._num, _cost))
        open_rows = is_null(cost) & rows
        model = fields.get(f"{METADATA_PREFIX}model")
        tokens = [fields.get(f"{METADATA_PREFIX}tokens_{way}") for way in ("in", "out")]
        if not open_rows.any() or model is None or None in [one and 1 for one in tokens]:
            return _Value(cost, self._none)
        if not pa.types.is_string(model.type):
            return _Value(cost, self._none)
        total: pa.Array | None = None
        odd = self._none
        coded = model.dictionary_encode()
        known = [prices.get(name) for name in coded.dictionary.to_pylist()]
        for one, way in zip(tokens, ("input_usd", "output_usd"), strict=True):
            assert one is not None
            if not pa.types.is_integer(one.type):
                # Texts and truths are no counts; a double may be one, so it is looked at.
                is_double = pa.types.is_floating(one.type)
                return _Value(cost, open_rows & ~is_null(one) if is_double else self._none)
            values = one.fill_null(-1 if one.type != pa.uint64() else 0).to_numpy(False)
            fits = (values >= 0) & (values < _PRICED_TOKENS_BELOW) & ~is_null(one)
            odd = odd | (~fits & ~is_null(one) & (values >= 0))
            counts = pa.array(np.where(fits, values, 0).astype(np.int64), mask=~fits)
            price = pa.array([None if p is None else getattr(p, way) for p in known])
            each = _exact_prices(price).take(coded.indices)
            amount = pc.multiply(counts.cast(pa.decimal128(19, 0)).cast(pa.decimal128(9, 0)), each)
            total = amount if total is None else pc.add(total, amount)
        rounded = pc.round(total, COST_DECIMALS, "half_to_even")
        try:
            made = rounded.cast(_cost)
        except pa.ArrowInvalid as error:  # more than a hundred million USD for one call
            raise NotColumnar("cost_usd") from error
        made = pc.if_else(pa.array(open_rows), made, pa.scalar(None, _cost))
        if cost.null_count == self._num:
            return _Value(made, odd & open_rows)
        if cost.type != _cost:
            if made.null_count == self._num:
                return _Value(cost, odd & open_rows)
            raise NotColumnar("cost_usd")
        return _Value(pc.coalesce(cost, made), odd & open_rows)


def _exact_prices(price: pa.Array) -> pa.Array:
    if pa.types.is_null(price.type):
        return pa.nulls(len(price), _PRICE_TYPE)
    try:
        return price.cast(_PRICE_TYPE)
    except pa.ArrowInvalid as error:  # dearer or finer than any price in use
        raise NotColumnar("prices") from error


def _joined(first: pa.Array, second: pa.Array) -> pa.Array:
    """The first of two values that is not null; they must be of one type."""
    if first.null_count == len(first):
        return second
    if second.null_count == len(second):
        return first
    if first.type != second.type:
        raise NotColumnar("two types in one field")
    return pc.coalesce(first, second)


def _is_present(column: pa.Array) -> Mask:
    """Not null, and no empty text."""
    present = ~is_null(column)
    if pa.types.is_string(column.type):
        present &= ~pc.equal(column, "").fill_null(False).to_numpy(False)
    return present


def _text_of(column: pa.Array) -> pa.Array:
    """The text by which values are compared; null where a value has none."""
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_boolean(kind):
        return column.cast(_text)
    if pa.types.is_integer(kind):
        if kind == pa.uint64():
            small = pc.less(column, pa.scalar(10**19, kind))
            column = pc.if_else(small, column, pa.scalar(None, kind))
        return column.cast(_text)
    if pa.types.is_floating(kind):
        values = column.fill_null(0.5).to_numpy(False)
        whole = (np.abs(values) < _TEXT_WHOLE_BELOW) & (values == np.floor(values))
        return pa.array(np.where(whole, values, 0).astype(np.int64), mask=~whole).cast(_text)
    return pa.nulls(len(column), _text)


def _as_metadata(column: pa.Array) -> pa.Array:
    """A column as metadata hold it: JSON has no moments, so they become text."""
    kind = column.type
    if pa.types.is_decimal(kind):
        raise NotColumnar("a decimal among metadata")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        encode: Callable[[object], bytes] = msgspec.json.encode
        texts = [None if v is None else encode(v).decode()[1:-1] for v in column.to_pylist()]
        return pa.array(texts, _text)
    return column
