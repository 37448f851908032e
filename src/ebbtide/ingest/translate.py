"""Applies a mapping to one outside record: their fields in, our canonical fields out.

Nothing is judged here. What does not fit is passed on as it is, and the validator, the one
authority on what a valid event is, gives the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from ebbtide.catalog.mapping import (
    METADATA_PREFIX,
    TEXT_TARGETS,
    TIME_TARGETS,
    Condition,
    FieldPath,
    Rule,
    SourceMapping,
    TokenPrice,
    text_of,
)
from ebbtide.domain.event import COST_DECIMALS
from ebbtide.domain.time import EPOCH

#: The reason of a record that no rule takes, when the mapping says ``quarantine``.
UNMAPPED = "unmapped_event"
#: The reason of a record that no rule takes, when the mapping says ``skip``.
SKIPPED = "skipped_by_mapping"

_INTEGER_TARGETS = ("severity", "latency_ms")
_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,30})?")
_MICROSECONDS = {"epoch_s": Decimal(1_000_000), "epoch_ms": Decimal(1_000), "epoch_us": Decimal(1)}
_COST_STEP = Decimal(1).scaleb(-COST_DECIMALS)


def translate(mapping: SourceMapping, record: dict[str, Any]) -> dict[str, Any] | None:
    """Turn one outside record into our fields.

    Args:
        mapping: which fields and which event types.
        record: the record as decoded: JSON data, and moments where a file has typed columns.

    Returns:
        Fields for the validator, not yet checked; None when no rule takes the record, and
        ``mapping.otherwise`` says what becomes of it. Never raises on a bad value.
    """
    for rule in mapping.rules:
        event_type = _event_type(mapping, rule, record)
        if event_type is not None and all(_holds(one, record) for one in rule.conditions):
            return _fields(mapping, rule, event_type, record)
    return None


def find(record: dict[str, Any], path: FieldPath) -> Any:
    """The value at a path; None when it is missing or null."""
    value: Any = record
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _first(record: dict[str, Any], paths: tuple[FieldPath, ...]) -> Any:
    """The first value that is present: not missing, not null, no empty text."""
    for path in paths:
        value = find(record, path)
        if value is not None and not (isinstance(value, str) and not value):
            return value
    return None


def _event_type(mapping: SourceMapping, rule: Rule, record: dict[str, Any]) -> str | None:
    if rule.type is not None:
        return rule.type
    named = _first(record, rule.type_paths)
    return named if isinstance(named, str) and named in mapping.event_types else None


def _holds(condition: Condition, record: dict[str, Any]) -> bool:
    value = _first(record, (condition.path,))
    if condition.present is not None and condition.present != (value is not None):
        return False
    if condition.any_of is not None and text_of(value) not in condition.any_of:
        return False
    if condition.prefix is not None:
        return isinstance(value, str) and value.startswith(condition.prefix)
    return True


def _fields(
    mapping: SourceMapping, rule: Rule, event_type: str, record: dict[str, Any]
) -> dict[str, Any]:
    fields: dict[str, Any] = {"event_type": event_type}
    metadata: dict[str, Any] = {}
    for target, paths in rule.columns.items():
        value = _first(record, paths)
        if value is None:
            continue
        value = _converted(mapping, target, value)
        if target.startswith(METADATA_PREFIX):
            metadata[target.removeprefix(METADATA_PREFIX)] = value
        else:
            fields[target] = value
    _add_unnamed(metadata, mapping, rule, record)
    for target, constant in rule.constants.items():
        if target.startswith(METADATA_PREFIX):
            metadata.setdefault(target.removeprefix(METADATA_PREFIX), constant)
        else:
            fields.setdefault(target, constant)
    fields.setdefault("source", mapping.name)
    if mapping.prices is not None and "cost_usd" not in fields:
        cost_usd = _cost_usd(mapping.prices, metadata)
        if cost_usd is not None:
            fields["cost_usd"] = cost_usd
    if metadata:
        fields["metadata"] = metadata
    return fields


def _add_unnamed(
    metadata: dict[str, Any], mapping: SourceMapping, rule: Rule, record: dict[str, Any]
) -> None:
    """Add what ``spread`` and ``rest`` bring; keys that are there already stay."""
    if not mapping.spread and not mapping.rest:
        return
    taken = rule.taken
    for path in mapping.spread:
        value = find(record, path)
        if isinstance(value, dict):
            for name, member in value.items():
                if member is not None and (*path, name) not in taken:
                    metadata.setdefault(name, member)
        elif value is not None and path not in taken:
            metadata.setdefault(path[-1], value)
    if mapping.rest:
        for name, value in record.items():
            if value is not None and (name,) not in taken and (name,) not in mapping.spread:
                metadata.setdefault(name, value)


def _converted(mapping: SourceMapping, target: str, value: Any) -> Any:
    if target in TIME_TARGETS:
        return _instant(mapping, value)
    words = mapping.values.get(target)
    if words is not None:
        text = text_of(value)
        if text is not None and text in words:
            value = words[text]
    if target in TEXT_TARGETS:
        # A number is a usual id, true is not: that would be a column mapped by mistake.
        return value if isinstance(value, bool) else text_of(value) or value
    if target in _INTEGER_TARGETS and isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value


def _instant(mapping: SourceMapping, value: Any) -> Any:
    """A moment as ISO 8601 text; what cannot be read stays as it is."""
    try:
        if mapping.time_format != "iso" and not isinstance(value, date):
            return _from_epoch(value, _MICROSECONDS[mapping.time_format])
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
        elif isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime.combine(value, time())
        else:
            return value
        if moment.tzinfo is None and mapping.zone is not None:
            moment = _placed(moment, ZoneInfo(mapping.zone))
        return moment.isoformat()
    except (ValueError, ArithmeticError):
        return value


def _from_epoch(value: Any, microseconds: Decimal) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return value
    # A float stands for the shortest decimal that reads back as it, not for its binary tail.
    text = repr(value) if isinstance(value, float) else str(value)
    if not _NUMBER.fullmatch(text):
        return value
    with localcontext() as context:
        context.prec = 60
        since = (Decimal(text) * microseconds).to_integral_value(ROUND_FLOOR)
    return (EPOCH + timedelta(microseconds=int(since))).isoformat()


def _placed(moment: datetime, zone: tzinfo) -> datetime:
    """A moment without offset, placed into a zone; standard time where clocks leave a choice."""
    readings = [moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    offset = min(reading.utcoffset() or timedelta() for reading in readings)
    return (moment.replace(tzinfo=None) - offset).replace(tzinfo=UTC)


def _cost_usd(prices: Mapping[str, TokenPrice], metadata: Mapping[str, Any]) -> Decimal | None:
    """The exact price of a call's tokens; None when the model or a count is not known."""
    model = metadata.get("model")
    price = prices.get(model) if isinstance(model, str) else None
    tokens_in, tokens_out = _count(metadata.get("tokens_in")), _count(metadata.get("tokens_out"))
    if price is None or tokens_in is None or tokens_out is None:
        return None
    with localcontext() as context:
        context.prec = 60
        cost = tokens_in * price.input_usd + tokens_out * price.output_usd
        return cost.quantize(_COST_STEP, ROUND_HALF_EVEN)


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if 0 <= value < 2**63 else None
