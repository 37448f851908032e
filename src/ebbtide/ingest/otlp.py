"""Reads OpenTelemetry traces: the model calls among their spans, whichever convention they follow.

Protobuf and JSON become the same spans first. Which attributes mean what is data, in
``catalog/sources/otlp.toml``, because the names still move. Spans that are no model calls are
taken and passed over.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ebbtide.catalog.call_source import CallSource, Places, load_call_source
from ebbtide.domain.call import Call, Message, ReportedCall
from ebbtide.domain.chat import content_text, tool_texts
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.policy import Result, Stage, Verdict
from ebbtide.ingest.call_values import (
    CallFault,
    UnreadCall,
    cost_of,
    count_of,
    instant_of_ns,
    json_of,
    object_of,
    text_of,
)
from ebbtide.ingest.decode import check_number, decode_json

SOURCE = "otlp"
UNVERSIONED = "unversioned"
ANY = ("*",)
_ERROR_CODES = (2, "2", "STATUS_CODE_ERROR")
_MESSAGES_MAX = 1_000
_VALUE_MAX_BYTES = 2_000
_DEPTH_MAX = 40


@dataclass(frozen=True, slots=True)
class Span:
    """A span as both encodings have it; ids in hex, moments in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    start_ns: int
    end_ns: int
    is_error: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Traces:
    """What one request holds.

    ``calls`` are the model calls, or why one is none; ``num_spans`` counts all spans.
    """

    calls: list[ReportedCall | UnreadCall]
    num_spans: int


def read_traces(body: bytes, *, is_protobuf: bool, tenant_id: str | None) -> Traces:
    """Read one export.

    Args:
        tenant_id: of a bound key, for spans that name none.

    Raises:
        BadRequest: it is no export of traces.
        BodyTooLarge: it holds too many spans.
    """
    spans = list(_of_protobuf(body) if is_protobuf else _of_json(body))
    check_number(spans)
    source = load_call_source(SOURCE)
    calls = [_read(one, source, tenant_id) for one in spans if _is_call(one, source)]
    return Traces(calls, len(spans))


# -- both encodings ---------------------------------------------------------------------------


def _of_protobuf(body: bytes) -> Iterator[Span]:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    request = trace_service_pb2.ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except (DecodeError, RecursionError) as error:
        raise BadRequest("the body is no export of traces in protobuf") from error
    for group in request.resource_spans:
        resource = _pairs(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code in _ERROR_CODES,
                    _pairs(span.attributes),
                    resource,
                    [(event.name, _pairs(event.attributes)) for event in span.events],
                )


def _pairs(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(value, kind)
    if kind == "array_value":
        return [_value(one) for one in held.values]
    if kind == "kvlist_value":
        return _pairs(held.values)
    return base64.b64encode(held).decode() if kind == "bytes_value" else held


def _of_json(body: bytes) -> Iterator[Span]:
    request = decode_json(body)
    if not isinstance(request, dict):
        raise BadRequest("the body is a JSON object with resourceSpans")
    for group in _objects(request.get("resourceSpans")):
        resource = _json_pairs(_object(group.get("resource")).get("attributes"))
        for scope in _objects(group.get("scopeSpans")):
            for span in _objects(scope.get("spans")):
                yield Span(
                    str(span.get("traceId") or "").lower(),
                    str(span.get("spanId") or "").lower(),
                    _nanoseconds(span.get("startTimeUnixNano")),
                    _nanoseconds(span.get("endTimeUnixNano")),
                    _object(span.get("status")).get("code") in _ERROR_CODES,
                    _json_pairs(span.get("attributes")),
                    resource,
                    [
                        (str(event.get("name")), _json_pairs(event.get("attributes")))
                        for event in _objects(span.get("events"))
                    ],
                )


def _json_pairs(attributes: Any, depth: int = 0) -> dict[str, Any]:
    return {
        one["key"]: _json_value(one.get("value"), depth)
        for one in _objects(attributes)
        if isinstance(one.get("key"), str)
    }


def _json_value(value: Any, depth: int) -> Any:
    if not isinstance(value, dict) or depth > _DEPTH_MAX:
        return None
    if "intValue" in value:  # 64 bits do not fit a JSON number, so they come as text
        text = str(value["intValue"])
        is_whole = text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= 20
        return int(text) if is_whole else None
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    if "arrayValue" in value:
        held = _objects(_object(value["arrayValue"]).get("values"))
        return [_json_value(one, depth + 1) for one in held]
    if "kvlistValue" in value:
        return _json_pairs(_object(value["kvlistValue"]).get("values"), depth + 1)
    return None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _nanoseconds(value: Any) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else 0


# -- spans that are model calls ---------------------------------------------------------------


def _is_call(span: Span, source: CallSource) -> bool:
    named = [name for name in source.more["calls"] if span.attributes.get(name) is not None]
    if named:
        return any(str(span.attributes[n]) in source.more["calls"][n] for n in named)
    return any(span.attributes.get(name) is not None for name in source.more["calls_by_name"])


def _read(span: Span, source: CallSource, tenant_id: str | None) -> ReportedCall | UnreadCall:
    same = source.more["events"]["same"]
    spread = [attributes for name, attributes in span.events if name in same]
    look = _Look([span.attributes, *spread, span.resource])
    named = text_of(look.first(source.fields["tenant_id"])) or tenant_id
    try:
        return _call(span, look, source, named)
    except CallFault as fault:
        about = {"trace_id": span.trace_id, "span_id": span.span_id, "tenant_id": named}
        return UnreadCall(str(fault), msgspec.json.encode(about), named)


def _call(span: Span, look: _Look, source: CallSource, tenant_id: str | None) -> ReportedCall:
    if tenant_id is None:
        raise CallFault("missing_tenant_id")
    if not span.trace_id.strip("0") or not span.span_id.strip("0"):
        raise CallFault("missing_call_id")
    call_id = text_of(f"{span.trace_id}-{span.span_id}")
    if call_id is None:
        raise CallFault("invalid_call_id")
    at = instant_of_ns(span.start_ns)
    if at is None:
        raise CallFault("missing_at")
    read = {name: look.first(places) for name, places in source.fields.items()}
    latency_ms = None
    if span.end_ns >= span.start_ns:
        latency_ms = count_of((span.end_ns - span.start_ns) // 1_000_000)
    said = text_of(read["error_type"])
    error_type = (source.errors.get(said, said) if said else "error") if span.is_error else None
    http_status = count_of(read["http_status"])
    messages, is_whole = _inputs(span, look, source, read)
    output = _output(span, look, source, read)
    call = Call(
        call_id=call_id,
        tenant_id=tenant_id,
        at=at,
        model=text_of(read["model"]),
        provider=text_of(read["provider"]),
        messages=messages,
        context=object_of(read["context"]),
        output=output,
        parameters=_parameters(look, source, read),
        tokens_in=count_of(read["tokens_in"]),
        tokens_out=count_of(read["tokens_out"]),
        cost_usd=cost_of(read["cost_usd"]),
        latency_ms=latency_ms,
        http_status=http_status,
        error_type=error_type,
        finish_reason=_finish_reason(read["finish_reason"]),
        is_whole=is_whole,
    )
    more = {name: look.first(places) for name, places in source.metadata.items()}
    return ReportedCall(
        call,
        SOURCE,
        text_of(read["user_id"]),
        text_of(read["session_id"]),
        count_of(read["tokens_cache_read"]),
        count_of(read["tokens_cache_write"]),
        verdicts=_verdicts(span, source),
        metadata={"trace_id": span.trace_id, "span_id": span.span_id}
        | {name: value for name, value in more.items() if _is_small(value)},
    )


class _Look:
    """Attributes of a span, of its events and of its resource, in this order."""

    def __init__(self, held: Sequence[Mapping[str, Any]]) -> None:
        self.held = held

    def first(self, places: tuple[str, ...]) -> Any:
        """What the first place holds that holds something; None for nothing."""
        for place in places:
            name, _, inside = place.partition("#")
            for attributes in self.held:
                value = attributes.get(name)
                if inside and value is not None:
                    value = _object(json_of(value)).get(inside)
                if value is not None and value != "":
                    return value
        return None

    def listed(self, prefix: str) -> list[dict[str, Any]]:
        """Messages that are spread over attributes, a number each: ``llm.input_messages.0.``."""
        found: dict[int, dict[str, Any]] = {}
        for attributes in self.held:
            for name, value in attributes.items():
                if not name.startswith(prefix):
                    continue
                number, _, rest = name[len(prefix) :].partition(".")
                if number.isascii() and number.isdecimal() and len(number) <= 4:
                    found.setdefault(int(number), {})[rest.removeprefix("message.")] = value
        return [found[number] for number in sorted(found)[:_MESSAGES_MAX]]


def _inputs(
    span: Span, look: _Look, source: CallSource, read: Mapping[str, Any]
) -> tuple[tuple[Message, ...], bool]:
    """What went in, from wherever it stands; not whole where parts are no text."""
    found, is_whole = _messages(read["system"], "system")
    more, is_text = _messages(read["input"], "user")
    listed = [
        one for prefix in source.more["message_lists"]["input"] for one in look.listed(prefix)
    ]
    if listed:
        more, is_text = _messages(listed, "user")
    names = source.more["events"]["messages"]
    told = [{"role": name.split(".")[1]} | given for name, given in span.events if name in names]
    if not more and told:
        more, is_text = _messages(told, "user")
    both = (*found, *more)
    return both, bool(both) and is_whole and is_text


def _output(span: Span, look: _Look, source: CallSource, read: Mapping[str, Any]) -> str | None:
    listed = [
        one for prefix in source.more["message_lists"]["output"] for one in look.listed(prefix)
    ]
    names = source.more["events"]["choices"]
    told = [_choice(given) for name, given in span.events if name in names]
    said, _ = _messages(listed or read["output"] or told, "assistant")
    return "\n\n".join(one.text for one in said) if said else None


def _choice(given: Mapping[str, Any]) -> Mapping[str, Any]:
    message = json_of(given.get("message"))
    return message if isinstance(message, dict) else given


def _messages(given: Any, role: str) -> tuple[tuple[Message, ...], bool]:
    """Messages of any of the shapes in use: texts, ``content``, or ``parts``."""
    given = json_of(given)
    if isinstance(given, dict):
        inside = given.get("messages")
        given = inside if isinstance(inside, list) else [given]
    if isinstance(given, str):
        return (Message(role, given),), True
    if not isinstance(given, list):
        return (), True
    if given and all(
        isinstance(one, dict) and "type" in one and "role" not in one for one in given
    ):
        given = [{"role": role, "parts": given}]  # instructions are parts without a message
    found = []
    is_whole = True
    for one in given[:_MESSAGES_MAX]:
        if isinstance(one, str):
            found.append(Message(role, one))
            continue
        if not isinstance(one, dict):
            is_whole = False
            continue
        text, is_text = _message_text(one)
        is_whole &= is_text
        named = one.get("role")
        found.append(Message(named if isinstance(named, str) else role, text))
    return tuple(found), is_whole and len(given) <= _MESSAGES_MAX


def _is_part(one: Any) -> bool:
    return isinstance(one, dict) and "type" in one and "role" not in one


def _message_text(message: Mapping[str, Any]) -> tuple[str, bool]:
    parts = json_of(message.get("parts"))
    if isinstance(parts, list):
        texts = []
        is_text = True
        for part in _objects(parts):
            kind, held = part.get("type"), part.get("content")
            if kind == "text" and isinstance(held, str):
                texts.append(held)
                continue
            is_text = False
            if kind == "tool_call":
                texts.append(f"{part.get('name') or ''}({_as_text(part.get('arguments'))})")
            elif kind == "tool_call_response":
                texts.append(_as_text(part.get("result", part.get("response"))))
            elif isinstance(held, str):
                texts.append(held)
        return "\n".join(texts), is_text and len(texts) == 1
    content = json_of(message.get("content"))
    if content is None and isinstance(message.get("text"), str):
        content = message["text"]
    text, is_text = content_text(content)
    if isinstance(content, dict):
        text = _as_text(content)
    calls = tool_texts(json_of(message.get("tool_calls")))
    return "\n".join(one for one in (text, *calls) if one), is_text and not calls


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _parameters(look: _Look, source: CallSource, read: Mapping[str, Any]) -> dict[str, Any]:
    given = object_of(read["parameters"]) or {}
    named: Places = source.more["parameters"]
    found = {name: look.first(places) for name, places in named.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return {name: value for name, value in given.items() if name != "messages"} | known


def _finish_reason(value: Any) -> str | None:
    value = json_of(value)
    if isinstance(value, list):
        value = value[0] if value else None
    return text_of(value)


def _verdicts(span: Span, source: CallSource) -> tuple[Verdict, ...]:
    """Evaluations of policies that stand beside the call; a word not known is no pass."""
    found = []
    for name, attributes in span.events:
        if name not in source.more["events"]["policies"]:
            continue
        look = _Look([attributes])
        read = {key: look.first(places) for key, places in source.more["policy"].items()}
        policy_id = text_of(read["policy_id"])
        if policy_id is None:
            continue
        word = str(read["result"]).lower()
        result = source.results.get(word, Result.UNKNOWN)
        reason = text_of(read["reason"], 500)
        if result is Result.UNKNOWN:
            reason = f"the producer says {word[:80]}"
        severity = 3 if result in (Result.BLOCKED, Result.WARNED) else None
        version = text_of(read["policy_version"]) or UNVERSIONED
        found.append(Verdict(policy_id, version, Stage.OUTPUT, result, severity, reason))
    return tuple(found)


def _is_small(value: Any) -> bool:
    return value is not None and len(msgspec.json.encode(value)) <= _VALUE_MAX_BYTES
