"""The CloudEvents 1.0 door: structured, batched and binary events become ours.

A whole request in, a :class:`Reading` out; no request is too odd to be answered event by
event, as long as it says that it holds CloudEvents. ``docs/howto/cloudevents.md`` tells how
attributes become fields, ``catalog/sources/cloudevents.toml`` is that table.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

from ebbtide.catalog.mapping import SourceMapping
from ebbtide.domain.errors import BadRequest, UnsupportedEncoding
from ebbtide.domain.event import Outcome
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.ingest.decode import DEPTH_MAX, check_number, decode_json, fault
from ebbtide.ingest.incoming import Aside, Incoming, Reading, write_raw
from ebbtide.ingest.translate import SKIPPED, UNMAPPED, translate

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
REQUIRED = ("specversion", "id", "source", "type")

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)


def read(
    body: bytes,
    headers: Iterable[tuple[str, str]],
    *,
    mapping: SourceMapping,
) -> Reading:
    """Read one request in any of the three content modes.

    Args:
        body: the plain body, after decompression.
        headers: names and values as received, names in any case.
        mapping: the one named ``cloudevents``.

    Returns:
        One message per event, in order; empty for an empty batch.

    Raises:
        UnsupportedEncoding: the request does not say that it holds CloudEvents in JSON, or
            in binary mode.
        BadRequest: a structured or batched body is no JSON, or JSON of another shape.
    """
    pairs = [(name.lower(), value) for name, value in headers]
    content_type = next((value for name, value in pairs if name == "content-type"), None)
    media_type = _media_type(content_type)
    if media_type in (STRUCTURED, BATCHED):
        return read_parsed(decode_json(body), batched=media_type == BATCHED, mapping=mapping)
    if media_type.startswith("application/cloudevents"):
        raise UnsupportedEncoding(f"send {STRUCTURED}, {BATCHED} or binary mode")
    if not any(name.startswith("ce-") for name, _ in pairs):
        raise UnsupportedEncoding(
            f"no CloudEvent: send {STRUCTURED}, {BATCHED}, or binary mode with ce- headers"
        )
    return Reading((_read_binary(body, content_type, pairs, mapping),))


def read_parsed(body: object, *, batched: bool, mapping: SourceMapping) -> Reading:
    """Read a parsed structured or batched body.

    Raises:
        BadRequest: a structured body is no object, or a batch no list.
        BodyTooLarge: a batch of more events than a request may hold.
    """
    if not batched and not isinstance(body, dict):
        raise BadRequest("send one CloudEvent as a JSON object")
    if batched and not isinstance(body, list):
        raise BadRequest("send a JSON list of CloudEvents")
    events = body if isinstance(body, list) else [body]
    check_number(events)
    return Reading(tuple(_read_event(event, mapping) for event in events))


def reread(raw: bytes, *, mapping: SourceMapping) -> Reading:
    """Read again what quarantine kept of one event, in whatever mode it came.

    Raises:
        BadRequest: it can still not be read.
    """
    return read_parsed([decode_json(raw)], batched=True, mapping=mapping)


def event_id_of(source: str, identifier: str) -> str:
    """One id from the two attributes that together identify a CloudEvent.

    ``<source>#<id>``, with ``%`` and ``#`` of the source percent-encoded, so that the first
    ``#`` always separates the two and no other pair has the same text. Pairs too long for an
    id give ``ce-sha256-<hex>`` of that text.

    Example:
        >>> event_id_of("/sensors/7", "A-1#2")
        '/sensors/7#A-1#2'
        >>> event_id_of("/sensors#7", "A-1")
        '/sensors%237#A-1'
    """
    text = f"{source.replace('%', '%25').replace('#', '%23')}#{identifier}"
    if len(text) <= ID_MAX_CHARS:
        return text
    return f"ce-sha256-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


# -- one event ---------------------------------------------------------------------------------


def _read_event(event: object, mapping: SourceMapping) -> Incoming | Aside:
    raw = write_raw(event)
    if not isinstance(event, dict):
        return Incoming(None, raw, "not_an_object")
    reason = fault(event, DEPTH_MAX) or _attribute_fault(event)
    if reason is not None:
        return Incoming(None, raw, reason)
    record = {name: value for name, value in event.items() if value is not None}
    if "data_base64" in record:
        reason = _unwrap(record)
        if reason is not None:
            return Incoming(None, raw, reason)
    # What only says how the event was written is no part of what happened.
    record.pop("specversion")
    record.pop("datacontenttype", None)
    record["event_id"] = event_id_of(record["source"], record["id"])
    record["event_type"] = _our_type(record["type"], mapping)
    fields = translate(mapping, record)
    if fields is not None:
        return Incoming(fields, raw, None)
    if mapping.otherwise == "skip":
        return Aside(record["event_id"], Outcome.REFUSED, SKIPPED)
    return Incoming(None, raw, UNMAPPED)


def _attribute_fault(event: Mapping[str, Any]) -> str | None:
    for name in REQUIRED:
        value = event.get(name)
        if value is None or value == "":
            return f"missing_{name}"
        if not isinstance(value, str):
            return f"invalid_{name}"
    if event["specversion"] != "1.0":
        return "unsupported_specversion"
    if event.get("data") is not None and event.get("data_base64") is not None:
        return "data_and_data_base64"
    return None


def _our_type(named: str, mapping: SourceMapping) -> str | None:
    last = named.rpartition(".")[2]
    return next((name for name in (named, last) if name in mapping.event_types), None)


def _unwrap(record: dict[str, Any]) -> str | None:
    """Put JSON that came in base64 under ``data``; other bytes stay as their base64 text."""
    text = record["data_base64"]
    if not isinstance(text, str):
        return "invalid_data_base64"
    try:
        payload = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "invalid_data_base64"
    if not _is_json(record.get("datacontenttype")):
        return None
    try:
        data = decode_json(payload)
    except BadRequest:
        return "invalid_json"
    reason = fault(data, DEPTH_MAX)
    if reason is None:
        del record["data_base64"]
        record["data"] = data
    return reason


# -- binary mode -------------------------------------------------------------------------------


def _read_binary(
    body: bytes, content_type: str | None, pairs: list[tuple[str, str]], mapping: SourceMapping
) -> Incoming | Aside:
    """Bring a binary event into the structured form, which is also what quarantine keeps."""
    event: dict[str, Any] = {}
    reason = None
    for name, value in pairs:
        attribute = name.removeprefix("ce-")
        if attribute == name or not attribute:
            continue
        decoded = _header_text(value)
        if decoded is None:
            reason, decoded = f"invalid_{attribute}", value
        if attribute in event or attribute in ("data", "data_base64"):
            reason = "duplicate_key"
        event.setdefault(attribute, decoded)
    if content_type is not None:
        event["datacontenttype"] = content_type
    if body:
        reason = _add_body(event, body, content_type) or reason
    if reason is not None:
        return Incoming(None, write_raw(event), reason)
    return _read_event(event, mapping)


def _add_body(event: dict[str, Any], body: bytes, content_type: str | None) -> str | None:
    for name in ("data", "data_base64"):
        event.pop(name, None)
    media_type = _media_type(content_type)
    if content_type is None or _is_json(content_type):
        try:
            event["data"] = decode_json(body)
            return None
        except BadRequest:
            event["data_base64"] = base64.b64encode(body).decode()
            return None if content_type is None else "invalid_json"
    if media_type.startswith("text/") or media_type.endswith(("/xml", "+xml")):
        try:
            event["data"] = body.decode("utf-8")
            return None
        except UnicodeDecodeError:
            pass  # another charset: the bytes are kept, nobody guesses
    event["data_base64"] = base64.b64encode(body).decode()
    return None


def _header_text(value: str) -> str | None:
    """An attribute's text out of a header value; None when it is not valid UTF-8.

    Double quotes are undone first (older senders use them), then percent-encoding, once.
    """
    plain = _QUOTED.fullmatch(value.strip())
    unquoted = re.sub(r"\\(.)", r"\1", plain.group(1), flags=re.S) if plain else value
    try:
        try:
            sent = unquoted.encode("latin-1")  # the way servers hand on header bytes
        except UnicodeEncodeError:
            sent = unquoted.encode("utf-8")
        return unquote_to_bytes(sent).decode("utf-8")
    except UnicodeError:
        return None


def _media_type(content_type: object) -> str:
    return content_type.partition(";")[0].strip().lower() if isinstance(content_type, str) else ""


def _is_json(content_type: object) -> bool:
    media_type = _media_type(content_type)
    return media_type.endswith(("/json", "+json"))
