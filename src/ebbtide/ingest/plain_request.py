"""Proves a whole request to be valid events, column by column instead of event by event.

This is a short cut, not a second authority: a request is called plain only when the validator
would take every record of it and make exactly these columns of them. Every other request, right
or wrong, is left to the validator; a property test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ebbtide.domain.event import (
    COST_DECIMALS,
    FUTURE_TOLERANCE_S,
    LATENCY_MS_MAX,
    PROMOTED_METADATA,
    SEVERITY_MAX,
    SEVERITY_MIN,
)
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.time import EPOCH, MICROSECOND
from ebbtide.ingest.event_uuids import to_array, uuids_of
from ebbtide.ingest.token_cost import MODEL, TOKENS_IN
from ebbtide.ingest.validate import (
    COST_USD_MAX,
    KNOWN_FIELDS,
    METADATA_MAX_BYTES,
    Validator,
    exact_cost,
)
from ebbtide.store.events.base import COST_TABLE, EVENT_SCHEMA

_TEXT_TYPE = pa.string()
_TYPES = {field.name: field.type for field in EVENT_SCHEMA}
_REQUIRED = ("tenant_id", "event_type", "timestamp", "event_id")
_OPTIONAL_TEXTS = ("user_id", "session_id", "entity_type", "entity_id", "source")
_KINDS: dict[str, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "list": list,
    "object": dict,
}
_TEXT, _TEXT_OR_NONE = {str}, {str, type(None)}
_OBJECT_OR_NONE = {dict, type(None)}
_INT_OR_NONE = {int, type(None)}
_NUMBER_OR_NONE = {int, float, type(None)}
_INT32 = np.iinfo(np.int32)
_FUTURE_US = FUTURE_TOLERANCE_S * 1_000_000
_COST_SCALE = 10**COST_DECIMALS
# Up to 15 digits a decimal and the float that stands for it name each other, so a float that
# comes back from its ten-decimal integer has that integer as its shortest text.
_EXACT_BELOW = 10**15
_KNOWN_PLANS_MAX = 1000  # shapes of metadata remembered; a producer has a handful

_UUIDS = re.compile(r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})+")
_encode = msgspec.json.Encoder(decimal_format="string").encode


class PlainRequest(NamedTuple):
    """The events of one request in columns, and what is asked about them besides."""

    batch: pa.RecordBatch  #: rows of EVENT_SCHEMA in the order of the request
    event_ids: list[str]  #: as sent
    tenant_ids: frozenset[str]
    event_types: frozenset[str]


class _NotPlain(Exception):
    """Something here needs the validator's judgement."""


class _Plan(NamedTuple):
    """What is to be checked in metadata of one shape: the same type, the same keys."""

    checks: tuple[tuple[str, frozenset[type]], ...]
    promoted: tuple[str, ...]
    friction_signal: str | None
    names_cost: bool
    names_tokens: bool  # so that a call without a cost may have one all the same


class PlainRequests:
    """The short cut for one catalog. Safe to share between threads."""

    def __init__(self, validator: Validator) -> None:
        self._rules = validator.rules
        self._prices = validator.prices
        self._plans: dict[tuple[Any, ...], _Plan] = {}

    def read(
        self,
        items: Sequence[Any],
        *,
        holds_nul: bool,
        received_at: datetime,
        default_source: str,
    ) -> PlainRequest | None:
        """The events of a request, or None when the validator has to look at each.

        Args:
            items: the decoded records.
            holds_nul: whether the body may hold a NUL character.
            received_at: when it came, UTC-aware.
            default_source: the producer's name where a record has none.
        """
        if holds_nul or not items:
            return None
        try:
            return self._read(items, received_at, default_source)
        except _NotPlain:
            return None

    def _read(
        self, items: Sequence[Any], received_at: datetime, default_source: str
    ) -> PlainRequest:
        if set(map(type, items)) != {dict}:
            raise _NotPlain
        names = {name for shape in set(map(tuple, items)) for name in shape}
        if not names <= KNOWN_FIELDS:
            raise _NotPlain
        n = len(items)

        def values(name: str) -> list[Any]:
            return [item.get(name) for item in items] if name in names else [None] * n

        tenants, types, moments, ids = (_texts(values(name)) for name in _REQUIRED)
        if not min(map(len, tenants)) or not min(map(len, ids)):
            raise _NotPlain
        kinds = frozenset(types)
        if not kinds <= self._rules.keys():
            raise _NotPlain
        received_us = (received_at - EPOCH) // MICROSECOND
        since_1970 = _microseconds(moments)
        if min(since_1970) < 0 or max(since_1970) > received_us + _FUTURE_US:
            raise _NotPlain
        instant = _TYPES["timestamp"]
        uuids, event_ids = _identities(ids)
        columns: dict[str, pa.Array] = {
            "event_uuid": uuids,
            "event_id": event_ids,
            "timestamp": pa.array(since_1970, pa.int64()).view(instant),
            "received_at": pa.repeat(pa.scalar(received_at, instant), n),
            "tenant_id": pa.array(tenants, _TEXT_TYPE),
            "event_type": pa.array(types, _TEXT_TYPE),
        }
        for name in _OPTIONAL_TEXTS:
            if name in names:
                columns[name] = _optional_texts(values(name))
        columns["severity"] = _whole(values("severity"), "severity", SEVERITY_MIN, SEVERITY_MAX)
        columns["latency_ms"] = _whole(values("latency_ms"), "latency_ms", 0, LATENCY_MS_MAX)
        costs = values("cost_usd")
        found: dict[int, Decimal] = {}
        columns |= self._metadata(types, values("metadata"), costs, since_1970, found)
        columns["cost_usd"] = _costs(costs, found)
        source = columns.get("source")
        if source is None:
            columns["source"] = pa.repeat(pa.scalar(default_source, _TEXT_TYPE), n)
        elif source.null_count:
            columns["source"] = pc.fill_null(source, default_source)
        arrays = [
            columns[name] if name in columns else pa.nulls(n, kind) for name, kind in _TYPES.items()
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)
        return PlainRequest(batch, ids, frozenset(tenants), kinds)

    def _metadata(
        self,
        types: list[str],
        given: list[Any],
        costs: list[Any],
        since_1970: list[int],
        found: dict[int, Decimal],
    ) -> dict[str, pa.Array]:
        """The metadata column and the promoted ones.

        A cost named there goes into ``costs``, and one that its tokens make into ``found``.
        """
        if not set(map(type, given)) <= _OBJECT_OR_NONE:
            raise _NotPlain
        n = len(types)
        texts = ["{}"] * n
        promoted: dict[str, list[Any]] = {}
        groups: dict[tuple[Any, ...], list[int]] = {}
        for at, (event_type, metadata) in enumerate(zip(types, given, strict=True)):
            shape = (event_type, *metadata) if metadata else (event_type,)
            if shape in groups:
                groups[shape].append(at)
            else:
                groups[shape] = [at]
        for shape, rows in groups.items():
            plan = self._plans.get(shape) or self._plan(shape)
            signal = plan.friction_signal
            if len(shape) == 1 and signal is None:
                continue  # nothing was said and nothing is asked
            objects = [given[at] or {} for at in rows]
            for key, accepted in plan.checks:
                if not {type(one[key]) for one in objects} <= accepted:
                    raise _NotPlain
            for key in plan.promoted:
                column = promoted.setdefault(key, [None] * n)
                for at, one in zip(rows, objects, strict=True):
                    column[at] = one[key]
            if plan.names_cost:
                for at, one in zip(rows, objects, strict=True):
                    if costs[at] is None:
                        costs[at] = one["cost_usd"]
            if plan.names_tokens and self._prices is not None:
                for place, at in enumerate(rows):
                    if costs[at] is None:
                        moment = EPOCH + since_1970[at] * MICROSECOND
                        cost = self._prices.cost_of(objects[place], moment)
                        if cost is not None:
                            found[at] = cost.cost_usd
                            objects[place] = {**objects[place], COST_TABLE: cost.table}
            if signal is not None:
                if not {one.get("friction_signal") for one in objects} <= {None, signal}:
                    raise _NotPlain
                objects = [
                    {**one, "friction_signal": signal}
                    if one.get("friction_signal") is None
                    else one
                    for one in objects
                ]
            for at, one in zip(rows, objects, strict=True):
                texts[at] = _encode(one).decode()
        if max(map(len, texts)) > METADATA_MAX_BYTES // 4:  # four bytes a character at most
            raise _NotPlain
        columns = {"metadata": pa.array(texts, _TYPES["metadata"])}
        for key, column in promoted.items():
            if PROMOTED_METADATA[key] is int:
                columns[key] = _whole(column, key, int(_INT32.min), int(_INT32.max))
            else:
                columns[key] = _optional_texts(column, may_be_empty=True)
        return columns

    def _plan(self, shape: tuple[Any, ...]) -> _Plan:
        event_type, *keys = shape
        rules = self._rules[event_type]
        checks = []
        for key in keys:
            kind = rules.types.get(key)
            accepted = {float, int} if kind == "number" else {_KINDS[kind]} if kind else None
            if key in PROMOTED_METADATA:
                column = {PROMOTED_METADATA[key]}
                accepted = column if accepted is None else accepted & column
            if accepted is not None:
                is_needed = key in rules.required
                checks.append((key, frozenset(accepted if is_needed else accepted | {type(None)})))
        if any(key not in keys for key in rules.required):
            raise _NotPlain
        plan = _Plan(
            checks=tuple(checks),
            promoted=tuple(key for key in keys if key in PROMOTED_METADATA),
            friction_signal=rules.friction_signal,
            names_cost=rules.has_cost and "cost_usd" in keys,
            names_tokens=rules.has_cost and TOKENS_IN in keys and MODEL in keys,
        )
        if len(self._plans) < _KNOWN_PLANS_MAX:
            self._plans[shape] = plan
        return plan


def _microseconds(moments: list[str]) -> list[int]:
    """Microseconds since 1970 of each moment."""
    try:
        return [(moment - EPOCH) // MICROSECOND for moment in map(datetime.fromisoformat, moments)]
    except (ValueError, TypeError, OverflowError) as error:  # no moment, or one without a zone
        raise _NotPlain from error


def _identities(ids: list[str]) -> tuple[pa.Array, pa.Array]:
    """The UUIDs, and the ids as sent where they are not the UUID's own text."""
    joined = "".join(ids)
    if _UUIDS.fullmatch(joined) and set(map(len, ids)) == {36}:
        raw = pa.py_buffer(bytes.fromhex(joined.replace("-", "")))
        uuids = pa.Array.from_buffers(_TYPES["event_uuid"], len(ids), [None, raw])
        return uuids, pa.nulls(len(ids), _TEXT_TYPE)
    sent = pa.array(ids, _TEXT_TYPE)
    found, is_canonical = uuids_of(sent)
    shown = pc.if_else(pa.array(is_canonical), pa.scalar(None, _TEXT_TYPE), sent)
    return to_array(found), shown


def _texts(values: list[Any]) -> list[str]:
    """Required texts of at most 200 characters."""
    if set(map(type, values)) != _TEXT or max(map(len, values)) > ID_MAX_CHARS:
        raise _NotPlain
    return values


def _optional_texts(values: list[Any], *, may_be_empty: bool = False) -> pa.Array:
    if not set(map(type, values)) <= _TEXT_OR_NONE:
        raise _NotPlain
    present = set(values)
    present.discard(None)
    if present and max(map(len, present)) > ID_MAX_CHARS:
        raise _NotPlain
    if not may_be_empty and "" in present:
        raise _NotPlain
    return pa.array(values, _TEXT_TYPE)


def _whole(values: list[Any], name: str, least: int, most: int) -> pa.Array:
    if not set(map(type, values)) <= _INT_OR_NONE:
        raise _NotPlain
    present = set(values)
    present.discard(None)
    if not present:
        return pa.nulls(len(values), _TYPES[name])
    if min(present) < least or max(present) > most:
        raise _NotPlain
    return pa.array(values, _TYPES[name])


def _costs(values: list[Any], found: dict[int, Decimal]) -> pa.Array:
    """Exact amounts as 128-bit integers of the smallest step.

    Args:
        found: by position, what was worked out for a value that is None.
    """
    kinds = set(map(type, values))
    if not kinds <= _NUMBER_OR_NONE:
        raise _NotPlain
    if kinds == {type(None)} and not found:
        return pa.nulls(len(values), _TYPES["cost_usd"])
    numbers = np.array(values, np.float64)
    absent = np.isnan(numbers)  # a decoded number is finite
    amounts = np.where(absent, 0.0, numbers)
    if amounts.min() < 0 or amounts.max() >= float(COST_USD_MAX) - 1:
        raise _NotPlain
    steps = np.rint(amounts * _COST_SCALE).astype(np.int64)
    for at in np.flatnonzero((steps >= _EXACT_BELOW) | (steps / _COST_SCALE != amounts)):
        cost = exact_cost(values[at])
        if cost is None or cost < 0:
            raise _NotPlain
        steps[at] = int(cost.scaleb(COST_DECIMALS))
    for place, worked_out in found.items():
        steps[place], absent[place] = int(worked_out.scaleb(COST_DECIMALS)), False
    wide = np.zeros((len(values), 2), np.int64)
    wide[:, 0] = steps
    valid = None
    if absent.any():
        valid = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    return pa.Array.from_buffers(_TYPES["cost_usd"], len(values), [valid, pa.py_buffer(wide)])
