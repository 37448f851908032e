"""The one authority on what a valid event is: outside JSON fields in, an Event or a reason out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

import msgspec

from ebbtide.catalog.loader import EVENT_FIELDS, Catalog
from ebbtide.domain.event import (
    COST_DECIMALS,
    FUTURE_TOLERANCE_S,
    LATENCY_MS_MAX,
    PROMOTED_METADATA,
    SEVERITY_MAX,
    SEVERITY_MIN,
    Event,
)
from ebbtide.domain.ids import ID_MAX_CHARS, new_event_uuid, to_uuid_text
from ebbtide.domain.time import EPOCH
from ebbtide.ingest.token_cost import TOKENS_IN, TokenPrices
from ebbtide.store.events.base import COST_TABLE

METADATA_MAX_BYTES = (
    256 * 1024
)  # one event is a fact, not a document; larger ones wait for a person
COST_USD_MAX = Decimal(10) ** 8  # what decimal(18, 10) holds
SEVERITY_WORDS = {"low": 2, "medium": 3, "high": 4, "critical": 5}

#: Every field a producer may send; ``received_at`` is ours to say and is ignored when sent.
KNOWN_FIELDS = frozenset({*EVENT_FIELDS, "received_at"})

_FUTURE = timedelta(seconds=FUTURE_TOLERANCE_S)
_COST_STEP = Decimal(1).scaleb(-COST_DECIMALS)
_DECIMAL_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_encode = msgspec.json.Encoder(decimal_format="string").encode
_new = tuple.__new__
_PROMOTED_AT = {name: position for position, name in enumerate(PROMOTED_METADATA)}
_NO_PROMOTED: tuple[None, ...] = (None,) * len(PROMOTED_METADATA)


class Rejection(NamedTuple):
    """Why a record cannot be an event; a short code, with the field where that helps."""

    reason: str


class TypeRules(NamedTuple):
    """What one event type asks of its metadata, laid out for the hot path."""

    types: dict[str, str]
    required: tuple[str, ...]
    friction_signal: str | None
    has_cost: bool


class Validator:
    """Checks records against the catalog. Stateless, safe to share between threads."""

    def __init__(self, catalog: Catalog, prices: TokenPrices | None = None) -> None:
        """Lay the catalog out for the hot path.

        Args:
            prices: of tokens, for calls without a cost; None leaves their cost unknown.
        """
        self.prices = prices
        #: What each event type asks of its metadata, by name.
        self.rules: Mapping[str, TypeRules] = {
            name: TypeRules(
                {key: field.type for key, field in kind.metadata.items()},
                tuple(key for key, field in kind.metadata.items() if field.required),
                kind.friction_signal,
                "cost_usd" in kind.metadata,
            )
            for name, kind in catalog.event_types.items()
        }

    def check(
        self, fields: Mapping[str, Any], *, received_at: datetime, default_source: str
    ) -> Event | Rejection:
        """Decide one record.

        Args:
            fields: a JSON object in our field names; null means absent. Its strings hold no
                lone surrogates and its numbers are finite: the decoder saw to that.
            received_at: when we got it, UTC-aware; events more than five minutes ahead of it
                are not believed.
            default_source: the producer's name when the record names none.

        Returns:
            The event, or the reason it must wait in quarantine. Never raises on bad input.
        """
        get = fields.get
        tenant_id = get("tenant_id")
        if type(tenant_id) is not str or not tenant_id:
            return _bad("tenant_id", tenant_id)
        if len(tenant_id) > ID_MAX_CHARS:
            return Rejection("invalid_tenant_id")

        event_type = get("event_type")
        if type(event_type) is not str or not event_type:
            return _bad("event_type", event_type)
        rules = self.rules.get(event_type)
        if rules is None:
            return Rejection("unknown_event_type")

        text = get("timestamp")
        if type(text) is not str or not text:
            return _bad("timestamp", text)
        try:
            timestamp = datetime.fromisoformat(text)
            if timestamp.tzinfo is None:
                return Rejection("naive_timestamp")
            if timestamp.tzinfo is not UTC:
                timestamp = timestamp.astimezone(UTC)
        except (ValueError, OverflowError):
            return Rejection("invalid_timestamp")
        if timestamp > received_at + _FUTURE:
            return Rejection("future_timestamp")
        if timestamp < EPOCH:
            return Rejection("timestamp_before_1970")

        event_id = get("event_id")
        if event_id is None:
            event_id = event_uuid = new_event_uuid(timestamp)
        elif type(event_id) is str and 0 < len(event_id) <= ID_MAX_CHARS:
            event_uuid = to_uuid_text(event_id)
        else:
            return Rejection("invalid_event_id")

        # One after the other and not in a loop: this is the hottest part of the program.
        user_id = get("user_id")
        if user_id is not None and (type(user_id) is not str or len(user_id) > ID_MAX_CHARS):
            return Rejection("invalid_user_id")
        session_id = get("session_id")
        if session_id is not None and (
            type(session_id) is not str or len(session_id) > ID_MAX_CHARS
        ):
            return Rejection("invalid_session_id")
        entity_type = get("entity_type")
        if entity_type is not None and (
            type(entity_type) is not str or len(entity_type) > ID_MAX_CHARS
        ):
            return Rejection("invalid_entity_type")
        entity_id = get("entity_id")
        if entity_id is not None and (type(entity_id) is not str or len(entity_id) > ID_MAX_CHARS):
            return Rejection("invalid_entity_id")
        source = get("source")
        if source is not None and (type(source) is not str or len(source) > ID_MAX_CHARS):
            return Rejection("invalid_source")
        if (
            "\0" in tenant_id
            or "\0" in event_id
            or (user_id and "\0" in user_id)
            or (session_id and "\0" in session_id)
            or (entity_type and "\0" in entity_type)
            or (entity_id and "\0" in entity_id)
            or (source and "\0" in source)
        ):
            return Rejection("nul_character")

        severity = get("severity")
        if severity is not None:
            severity = _severity(severity)
            if severity is None:
                return Rejection("invalid_severity")
        latency_ms = get("latency_ms")
        if latency_ms is not None:
            latency_ms = _whole(latency_ms)
            if latency_ms is None or not 0 <= latency_ms <= LATENCY_MS_MAX:
                return Rejection("invalid_latency_ms")
        cost_usd = get("cost_usd")
        metadata = get("metadata")
        if metadata or rules.required or rules.friction_signal:
            checked = check_metadata({} if metadata is None else metadata, rules)
            if isinstance(checked, Rejection):
                return checked
            metadata_json, promoted = checked
        elif metadata is None or type(metadata) is dict:
            metadata_json, promoted = "{}", _NO_PROMOTED
        else:
            return Rejection("invalid_metadata")

        if cost_usd is None and rules.has_cost and isinstance(metadata, dict):
            # Some producers name a call's cost among its metadata; it is the same fact.
            cost_usd = metadata.get("cost_usd")
            if cost_usd is None and TOKENS_IN in metadata and self.prices is not None:
                found = self.prices.cost_of(metadata, timestamp)
                if found is not None:
                    cost_usd = found.cost_usd
                    metadata_json = _encode({**metadata, COST_TABLE: found.table}).decode()
        if cost_usd is not None:
            cost_usd = exact_cost(cost_usd)
            if cost_usd is None:
                return Rejection("invalid_cost_usd")
            if cost_usd < 0:
                return Rejection("negative_cost_usd")

        if not KNOWN_FIELDS.issuperset(fields):
            unknown = sorted(fields.keys() - KNOWN_FIELDS)[0]
            return Rejection(f"unknown_field:{_shown(unknown)}")
        # tuple.__new__ skips the argument handling of the named tuple, half of its cost.
        return _new(
            Event,
            (
                event_uuid,
                event_id,
                timestamp,
                received_at,
                tenant_id,
                user_id or None,  # an empty id is no id
                session_id or None,
                event_type,
                entity_type or None,
                entity_id or None,
                severity,
                latency_ms,
                cost_usd,
                source or default_source,
                metadata_json,
                *promoted,
            ),
        )


def _bad(name: str, value: object) -> Rejection:
    return Rejection(f"missing_{name}" if value in (None, "") else f"invalid_{name}")


def _shown(key: str) -> str:
    """A producer's key, fit to stand in a reason code."""
    return key[:40] if key.isprintable() else ascii(key)[:40]


def _severity(value: object) -> int | None:
    if type(value) is str:
        return SEVERITY_WORDS.get(value)
    whole = _whole(value)
    return whole if whole is not None and SEVERITY_MIN <= whole <= SEVERITY_MAX else None


def _whole(value: object) -> int | None:
    """An integer, also when it is written as 12.0; numbers count by value."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    return None


def exact_cost(value: object) -> Decimal | None:
    """An exact amount in steps that are kept; None when it is none or out of range.

    A float stands for the shortest decimal that reads back as it.
    """
    if type(value) is int:
        cost = Decimal(value)
    elif type(value) is float:
        cost = Decimal(repr(value)) if math.isfinite(value) else Decimal("NaN")
    elif type(value) is str and len(value) <= 40 and _DECIMAL_TEXT.fullmatch(value):
        cost = Decimal(value)
    elif type(value) is Decimal:
        cost = value
    else:
        return None
    if not cost.is_finite() or abs(cost) >= COST_USD_MAX:
        return None
    if cost.as_tuple().exponent < -COST_DECIMALS:  # type: ignore[operator]
        cost = cost.quantize(_COST_STEP, ROUND_HALF_EVEN)
        if abs(cost) >= COST_USD_MAX:  # rounded up to it
            return None
    return cost


def check_metadata(
    metadata: object, rules: TypeRules
) -> tuple[str, tuple[Any, ...] | list[Any]] | Rejection:
    """Check an event's metadata; bulk loads, which check other fields in columns, ask this too.

    Args:
        metadata: JSON data.
        rules: those of the event's type.

    Returns:
        The JSON text to store and the values of the promoted columns, or the reason.
    """
    if type(metadata) is not dict:
        return Rejection("invalid_metadata")
    types = rules.types
    promoted: list[Any] | None = None
    for key, value in metadata.items():
        kind = types.get(key)
        if kind is not None and value is not None and not _fits(value, kind):
            return Rejection(f"invalid_metadata:{key}")
        at = _PROMOTED_AT.get(key)
        if at is not None and value is not None:
            column = _whole(value) if PROMOTED_METADATA[key] is int else value
            if kind is None and not _storable(column, PROMOTED_METADATA[key]):
                continue  # free metadata of this type: kept as it is, without a column
            if not _storable(column, PROMOTED_METADATA[key]):
                return Rejection(f"invalid_metadata:{key}")
            if promoted is None:
                promoted = list(_NO_PROMOTED)
            promoted[at] = column
    for key in rules.required:
        if metadata.get(key) is None:
            return Rejection(f"missing_metadata:{key}")
    if rules.friction_signal is not None:
        said = metadata.get("friction_signal")
        if said is None:
            metadata = {**metadata, "friction_signal": rules.friction_signal}
        elif said != rules.friction_signal:
            return Rejection("friction_signal_contradicts")
    try:
        encoded = _encode(metadata)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        return Rejection("invalid_metadata")
    if len(encoded) > METADATA_MAX_BYTES:
        return Rejection("too_large")
    if b"\\u0000" in encoded and _holds_nul(metadata):
        return Rejection("nul_character")
    return encoded.decode(), promoted or _NO_PROMOTED


_FLOAT_OK = (int, float)


def _fits(value: object, kind: str) -> bool:
    if kind == "string":
        return type(value) is str
    if kind == "integer":
        return _whole(value) is not None
    if kind == "number":
        return type(value) in _FLOAT_OK
    if kind == "boolean":
        return type(value) is bool
    if kind == "list":
        return type(value) is list
    return type(value) is dict


_INT_LIMITS = (-(2**31), 2**31 - 1)


def _storable(value: object, kind: type) -> bool:
    """Whether a column can hold the value: text of a sensible length, or a 32-bit-safe number."""
    if kind is str:
        return type(value) is str and len(value) <= ID_MAX_CHARS * 5 and "\0" not in value
    return type(value) is int and _INT_LIMITS[0] <= value <= _INT_LIMITS[1]


def _holds_nul(value: object) -> bool:
    if type(value) is str:
        return "\0" in value
    if type(value) is dict:
        return any(_holds_nul(k) or _holds_nul(v) for k, v in value.items())
    if type(value) is list:
        return any(_holds_nul(v) for v in value)
    return False
