"""Reads ``POST /v1/calls``: calls to models that were made elsewhere, in our own words."""

from __future__ import annotations

from typing import Any

from ebbtide.domain.call import Call, ReportedCall
from ebbtide.domain.chat import read_messages
from ebbtide.domain.errors import BadRequest
from ebbtide.ingest.call_values import (
    CallFault,
    UnreadCall,
    cost_of,
    count_of,
    instant_of,
    text_of,
    without_content,
)
from ebbtide.ingest.decode import check_number, decode_json, has_repeated_key

SOURCE = "calls"
TEXT_MAX_CHARS = 4_000_000  # of an output
_CONTENT = ("messages", "output", "context", "parameters", "metadata")
_TEXTS = ("user_id", "session_id", "model", "provider", "error_type", "finish_reason")
_COUNTS = (
    "tokens_in",
    "tokens_out",
    "tokens_cache_read",
    "tokens_cache_write",
    "latency_ms",
    "http_status",
    "retry_count",
)
_OBJECTS = ("context", "parameters", "metadata")
_KNOWN = frozenset(
    {"call_id", "tenant_id", "at", "messages", "output", "cost_usd", *_TEXTS, *_COUNTS, *_OBJECTS}
)


def read_calls(body: bytes, tenant_id: str | None) -> list[ReportedCall | UnreadCall]:
    """Read one call, a list of calls, or ``{"calls": [...]}``.

    Args:
        tenant_id: of a bound key, for calls that name none.

    Raises:
        BadRequest: the body is no JSON, or of another shape.
        BodyTooLarge: it holds too many.
    """
    given = decode_json(body)
    if isinstance(given, dict):
        given = given["calls"] if "calls" in given and "call_id" not in given else [given]
    if not isinstance(given, list):
        raise BadRequest('send one call, a list of calls, or {"calls": [...]}')
    check_number(given)
    return [_read(one, tenant_id) for one in given]


def _read(one: Any, tenant_id: str | None) -> ReportedCall | UnreadCall:
    if not isinstance(one, dict):
        return UnreadCall("not_an_object", b"null")
    try:
        return _call(one, tenant_id)
    except CallFault as fault:
        named = text_of(one.get("tenant_id")) or tenant_id
        return UnreadCall(str(fault), without_content(one, *_CONTENT), named)


def _call(one: dict[str, Any], tenant_id: str | None) -> ReportedCall:
    if has_repeated_key(one):
        raise CallFault("duplicate_key")
    unknown = sorted(one.keys() - _KNOWN)
    if unknown:
        name = unknown[0]
        raise CallFault(f"unknown_field:{name[:40] if name.isprintable() else ascii(name)[:40]}")
    at = instant_of(one["at"]) if isinstance(one.get("at"), str) else None
    if at is None:
        raise CallFault("missing_at" if one.get("at") is None else "invalid_at")
    texts = {name: _optional(one, name, text_of) for name in _TEXTS}
    counts = {name: _optional(one, name, count_of) for name in _COUNTS}
    objects = {name: _optional(one, name, _object) for name in _OBJECTS}
    messages, is_whole = one.get("messages") or [], True
    if not isinstance(messages, list):
        raise CallFault("invalid_messages")
    try:
        messages, is_whole = read_messages(messages)
    except ValueError as error:
        raise CallFault("invalid_messages") from error
    output = one.get("output")
    if output is not None and (not isinstance(output, str) or len(output) > TEXT_MAX_CHARS):
        raise CallFault("invalid_output")
    call = Call(
        call_id=_needed(one, "call_id", None),
        tenant_id=_needed(one, "tenant_id", tenant_id),
        at=at,
        model=texts["model"],
        provider=texts["provider"],
        messages=messages,
        context=objects["context"],
        output=output,
        parameters=objects["parameters"] or {},
        tokens_in=counts["tokens_in"],
        tokens_out=counts["tokens_out"],
        cost_usd=_optional(one, "cost_usd", cost_of),
        latency_ms=counts["latency_ms"],
        http_status=counts["http_status"],
        error_type=texts["error_type"],
        finish_reason=texts["finish_reason"],
        is_whole=is_whole,
    )
    return ReportedCall(
        call,
        SOURCE,
        texts["user_id"],
        texts["session_id"],
        counts["tokens_cache_read"],
        counts["tokens_cache_write"],
        counts["retry_count"],
        metadata=objects["metadata"] or {},
    )


def _needed(one: dict[str, Any], name: str, otherwise: str | None) -> str:
    value = one.get(name)
    if value is None or value == "":
        if otherwise is None:
            raise CallFault(f"missing_{name}")
        return otherwise
    text = text_of(value) if isinstance(value, str) else None
    if text is None:
        raise CallFault(f"invalid_{name}")
    return text


def _optional(one: dict[str, Any], name: str, read: Any) -> Any:
    value = one.get(name)
    if value is None or value == "":
        return None
    found = read(value)
    if found is None:
        raise CallFault(f"invalid_{name}")
    return found


def _object(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) and not has_repeated_key(value) else None
