"""Reads what LiteLLM logs of its calls: a list, lines, or one object; the places are data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ebbtide.catalog.call_source import CallSource, load_call_source
from ebbtide.domain.call import Call, Message, ReportedCall
from ebbtide.domain.chat import choices_text, read_messages
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.policy import Result, Stage, Verdict
from ebbtide.ingest.call_values import (
    CallFault,
    UnreadCall,
    cost_of,
    count_of,
    instant_of,
    object_of,
    text_of,
    without_content,
)
from ebbtide.ingest.decode import check_number, decode_json

SOURCE = "litellm"
#: What a policy's version is called where its producer names none.
UNVERSIONED = "unversioned"
_CONTENT = ("messages", "response", "model_parameters", "metadata", "error_str")
_FAILED = "failure"


def read_litellm(body: bytes, tenant_id: str | None) -> list[ReportedCall | UnreadCall]:
    """Read the log of some calls.

    Args:
        tenant_id: of a bound key, for calls that name none.

    Raises:
        BadRequest: the body is neither JSON nor lines of JSON.
        BodyTooLarge: it holds too many.
    """
    given = _decoded(body)
    check_number(given)
    source = load_call_source(SOURCE)
    return [_read(one, source, tenant_id) for one in given]


def _decoded(body: bytes) -> list[Any]:
    try:
        given = decode_json(body)
    except BadRequest:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [decode_json(line) for line in lines]
    return given if isinstance(given, list) else [given]


def _read(one: Any, source: CallSource, tenant_id: str | None) -> ReportedCall | UnreadCall:
    if not isinstance(one, dict):
        return UnreadCall("not_an_object", b"null")
    found = {name: _first(one, places) for name, places in source.fields.items()}
    named = text_of(found["tenant_id"]) or tenant_id
    try:
        return _call(one, found, source, named)
    except CallFault as fault:
        return UnreadCall(str(fault), without_content(one, *_CONTENT), named)


def _call(
    one: Mapping[str, Any], found: dict[str, Any], source: CallSource, tenant_id: str | None
) -> ReportedCall:
    call_id = text_of(found["call_id"])
    started, ended = instant_of(found["started"]), instant_of(found["ended"])
    for name, value in (("call_id", call_id), ("tenant_id", tenant_id), ("at", started)):
        if value is None:
            raise CallFault(f"missing_{name}")
    assert call_id is not None and tenant_id is not None and started is not None
    latency_ms = None
    if ended is not None and ended >= started:
        latency_ms = count_of(round((ended - started).total_seconds() * 1000))
    has_failed = found["status"] == _FAILED
    messages, is_whole = _messages(found["messages"])
    cost = found["cost_usd"]
    call = Call(
        call_id=call_id,
        tenant_id=tenant_id,
        at=started,
        model=text_of(found["model"]),
        provider=text_of(found["provider"]),
        messages=messages,
        context=object_of(found["context"]),
        output=_output(found["output"]),
        parameters=object_of(found["parameters"]) or {},
        tokens_in=count_of(found["tokens_in"]),
        tokens_out=count_of(found["tokens_out"]),
        # A failed call that says 0 was not paid; one that was made and says 0 was free.
        cost_usd=cost_of(cost),
        latency_ms=latency_ms,
        http_status=count_of(found["http_status"]) if has_failed else 200,
        error_type=_error(found["error_type"], source) if has_failed else None,
        is_whole=is_whole,
    )
    more = {name: _first(one, places) for name, places in source.metadata.items()}
    return ReportedCall(
        call,
        SOURCE,
        text_of(found["user_id"]),
        text_of(found["session_id"]),
        count_of(found["tokens_cache_read"]),
        count_of(found["tokens_cache_write"]),
        count_of(found["retry_count"]),
        _verdicts(found["guardrails"], source),
        {name: value for name, value in more.items() if _is_small(value)},
    )


def _first(one: Mapping[str, Any], places: tuple[str, ...]) -> Any:
    for place in places:
        value: Any = one
        for name in place.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and value != "":
            return value
    return None


def _messages(given: Any) -> tuple[tuple[Message, ...], bool]:
    if isinstance(given, str):
        return (Message("user", given),), True
    if not isinstance(given, list):
        return (), False
    if all(isinstance(one, str) for one in given):
        return tuple(Message("input", one) for one in given), True
    try:
        return read_messages(given)
    except ValueError:
        return (), False


def _output(given: Any) -> str | None:
    if isinstance(given, str):
        return given or None
    return choices_text(given) if isinstance(given, dict) else None


def _error(value: Any, source: CallSource) -> str:
    word = text_of(value) or "error"
    return source.errors.get(word, word)


def _verdicts(given: Any, source: CallSource) -> tuple[Verdict, ...]:
    """What guardrails of LiteLLM said; a word that is not known is no pass."""
    found = []
    for one in given if isinstance(given, list) else [given]:
        name = text_of(one.get("guardrail_name")) if isinstance(one, dict) else None
        if name is None:
            continue
        word = str(one.get("guardrail_status") or "").lower()
        result = source.results.get(word, Result.UNKNOWN)
        mode = str(one.get("guardrail_mode") or "")
        stage = Stage.INPUT if mode in ("pre_call", "during_call") else Stage.OUTPUT
        reason = None if result is Result.ALLOWED else f"LiteLLM says {word[:80] or 'nothing'}"
        found.append(Verdict(name, UNVERSIONED, stage, result, _severity(result), reason))
    return tuple(found)


def _severity(result: Result) -> int | None:
    return 3 if result in (Result.BLOCKED, Result.WARNED) else None


def _is_small(value: Any) -> bool:
    return value is not None and len(msgspec.json.encode(value)) <= 2_000
