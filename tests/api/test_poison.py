"""More than sixty kinds of poison: none gives a 500, is dropped, or costs its neighbours."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard
from api_server import Answer, Server, event

INT_LIMIT = 9_223_372_036_854_775_808


def text(**fields: Any) -> bytes:
    """An event as JSON text; fields may be given as None to leave them out."""
    return json.dumps(event(**fields)).encode()


def odd(member: str | bytes, **fields: Any) -> bytes:
    """An event with a member of the JSON object written by hand."""
    raw = member if isinstance(member, bytes) else member.encode()
    return text(**fields)[:-1] + b", " + raw + b"}"


def metadata(member: str, **fields: Any) -> bytes:
    """An event with metadata written by hand."""
    return odd(f'"metadata": {member}', **fields)


# One record each: (text, reason). Alone or among others, it goes to quarantine as it came.
QUARANTINED: dict[str, tuple[bytes, str]] = {
    # -- characters
    "NUL in the user": (text(user_id="a\0b"), "nul_character"),
    "NUL in the tenant": (text(tenant_id="a\0b"), "nul_character"),
    "NUL in the event id": (text(event_id="a\0b"), "nul_character"),
    "NUL in metadata": (text(metadata={"a": ["b\0"]}), "nul_character"),
    "NUL in a metadata key": (text(metadata={"a\0": 1}), "nul_character"),
    "NUL in a promoted key": (text(metadata={"model": "m\0"}), "nul_character"),
    "NUL in the type": (text(event_type="LOGIN\0"), "unknown_event_type"),
    "lone surrogate": (odd(r'"user_id": "\ud800"'), "lone_surrogate"),
    "lone low surrogate": (odd(r'"user_id": "\udc00x"'), "lone_surrogate"),
    "lone surrogate in metadata": (metadata(r'{"a": {"b": "\ud83d"}}'), "lone_surrogate"),
    "lone surrogate as key": (metadata(r'{"\udfff": 1}'), "lone_surrogate"),
    # -- numbers
    "NaN cost": (odd('"cost_usd": NaN'), "number_out_of_range"),
    "Infinity": (odd('"latency_ms": Infinity'), "number_out_of_range"),
    "minus Infinity in metadata": (metadata('{"a": -Infinity}'), "number_out_of_range"),
    "1e400": (metadata('{"a": 1e400}'), "number_out_of_range"),
    "integer of 5,000 digits": (metadata('{"a": ' + "9" * 5000 + "}"), "number_out_of_range"),
    "integer of 4,000 digits": (metadata('{"a": ' + "9" * 4000 + "}"), "number_out_of_range"),
    "integer of 65 bits": (metadata(f'{{"a": {2**64}}}'), "number_out_of_range"),
    "integer below 64 bits": (
        metadata(f'{{"a": [{{"b": {-(2**63) - 1}}}]}}'),
        "number_out_of_range",
    ),
    # -- shape
    "metadata 70 deep": (metadata("[" * 70 + "]" * 70), "too_deep"),
    "metadata 500 deep": (metadata('{"a":' * 500 + "1" + "}" * 500), "too_deep"),
    "key twice": (odd('"user_id": "a", "user_id": "b"'), "duplicate_key"),
    "key twice, spaced": (odd('"user_id": "a", "user_id" : "b"'), "duplicate_key"),
    "key twice, on lines": (odd('"user_id"\n: "a", "user_id"\t: "b"'), "duplicate_key"),
    "key twice, spelled apart": (odd(r'"user_id": "a", "user\u005fid": "b"'), "duplicate_key"),
    "tenant twice": (odd('"tenant_id": "other"'), "duplicate_key"),
    "key twice in metadata": (metadata('{"a": 1, "a": 1}'), "duplicate_key"),
    "key twice, nested": (metadata('{"a": [[{"b": 1, "c": 2, "b": 1}]]}'), "duplicate_key"),
    "an unknown field": (text(colour="red"), "unknown_field:colour"),
    "a metadata field at the top": (text(model="gpt-4o"), "unknown_field:model"),
    "a field with a NUL name": (text(**{"a\0": 1}), r"unknown_field:'a\x00'"),
    "a number": (b"5", "not_an_object"),
    "a string": (b'"LOGIN"', "not_an_object"),
    "null": (b"null", "not_an_object"),
    "true": (b"true", "not_an_object"),
    "an empty list": (b"[]", "not_an_object"),
    "a list with an event": (b"[" + text() + b"]", "not_an_object"),
    "a float with an odd spelling": (b"1.50e+01", "not_an_object"),
    "an empty object": (b"{}", "missing_tenant_id"),
    # -- tenant
    "no tenant": (text(tenant_id=None), "missing_tenant_id"),
    "tenant null": (odd('"tenant_id": null', tenant_id=None), "missing_tenant_id"),
    "tenant empty": (text(tenant_id=""), "missing_tenant_id"),
    "tenant a number": (text(tenant_id=5), "invalid_tenant_id"),
    "tenant a list": (text(tenant_id=["acme"]), "invalid_tenant_id"),
    "tenant of 201 characters": (text(tenant_id="x" * 201), "invalid_tenant_id"),
    # -- type
    "no type": (text(event_type=None), "missing_event_type"),
    "type empty": (text(event_type=""), "missing_event_type"),
    "unknown type": (text(event_type="NO_SUCH_THING"), "unknown_event_type"),
    "type in lower case": (text(event_type="login"), "unknown_event_type"),
    "type a list": (text(event_type=["LOGIN"]), "invalid_event_type"),
    "type a number": (text(event_type=1), "invalid_event_type"),
    # -- ids
    "event id empty": (text(event_id=""), "invalid_event_id"),
    "event id a number": (text(event_id=5), "invalid_event_id"),
    "event id of 201 characters": (text(event_id="x" * 201), "invalid_event_id"),
    "event id an object": (text(event_id={"a": 1}), "invalid_event_id"),
    "user a number": (text(user_id=7), "invalid_user_id"),
    "user of 201 characters": (text(user_id="é" * 201), "invalid_user_id"),
    "session a list": (text(session_id=[]), "invalid_session_id"),
    "entity type true": (text(entity_type=True), "invalid_entity_type"),
    "entity id an object": (text(entity_id={}), "invalid_entity_id"),
    "source a number": (text(source=1.5), "invalid_source"),
    "a string of 1 MB": (text(user_id="x" * 2**20), "invalid_user_id"),
    # -- timestamp
    "no timestamp": (text(timestamp=None), "missing_timestamp"),
    "timestamp empty": (text(timestamp=""), "missing_timestamp"),
    "timestamp naive": (text(timestamp="2026-03-12T11:00:00"), "naive_timestamp"),
    "timestamp a date": (text(timestamp="2026-03-12"), "naive_timestamp"),
    "timestamp garbage": (text(timestamp="yesterday"), "invalid_timestamp"),
    "timestamp epoch seconds": (text(timestamp=1_773_316_800), "invalid_timestamp"),
    "timestamp epoch as text": (text(timestamp="1773316800"), "invalid_timestamp"),
    "timestamp a float": (text(timestamp=1773316800.5), "invalid_timestamp"),
    "timestamp a list": (text(timestamp=[2026, 3, 12]), "invalid_timestamp"),
    "timestamp in 5 min 1 us": (text(timestamp="2026-03-12T12:05:00.000001Z"), "future_timestamp"),
    "timestamp in ten years": (text(timestamp="2036-03-12T12:00:00Z"), "future_timestamp"),
    "timestamp in 1969": (text(timestamp="1969-12-31T23:59:59.999999Z"), "timestamp_before_1970"),
    "timestamp year 1": (text(timestamp="0001-01-01T00:00:00+01:00"), "invalid_timestamp"),
    "timestamp year 9999": (text(timestamp="9999-12-31T23:59:59-01:00"), "invalid_timestamp"),
    "timestamp year 10000": (text(timestamp="10000-01-01T00:00:00Z"), "invalid_timestamp"),
    "timestamp leap second": (text(timestamp="2016-12-31T23:59:60Z"), "invalid_timestamp"),
    "timestamp 24:00": (text(timestamp="2026-03-11T24:00:00Z"), "invalid_timestamp"),
    "timestamp offset of 25 hours": (
        text(timestamp="2026-03-12T11:00:00+25:00"),
        "invalid_timestamp",
    ),
    "timestamp with SQL": (
        text(timestamp="2026-03-12T11:00:00Z'; DROP TABLE events"),
        "invalid_timestamp",
    ),
    # -- severity, latency, cost
    "severity 0": (text(severity=0), "invalid_severity"),
    "severity 6": (text(severity=6), "invalid_severity"),
    "severity 99": (text(severity=99), "invalid_severity"),
    "severity a fraction": (text(severity=2.5), "invalid_severity"),
    "severity a bad word": (text(severity="bad"), "invalid_severity"),
    "severity true": (text(severity=True), "invalid_severity"),
    "severity a list": (text(severity=[3]), "invalid_severity"),
    "latency negative": (text(latency_ms=-1), "invalid_latency_ms"),
    "latency a fraction": (text(latency_ms=1.5), "invalid_latency_ms"),
    "latency 2^60": (text(latency_ms=2**60), "invalid_latency_ms"),
    "latency as text": (text(latency_ms="12"), "invalid_latency_ms"),
    "latency true": (text(latency_ms=True), "invalid_latency_ms"),
    "cost negative": (text(cost_usd=-0.01), "negative_cost_usd"),
    "cost huge": (text(cost_usd=1e308), "invalid_cost_usd"),
    "cost one too many": (text(cost_usd=10**8), "invalid_cost_usd"),
    "cost rounded up to one too many": (text(cost_usd="99999999.99999999999"), "invalid_cost_usd"),
    "cost not a number": (text(cost_usd="n/a"), "invalid_cost_usd"),
    "cost NaN as text": (text(cost_usd="NaN"), "invalid_cost_usd"),
    "cost with a huge exponent": (text(cost_usd="1e999"), "invalid_cost_usd"),
    "cost in foreign digits": (text(cost_usd="١٢"), "invalid_cost_usd"),
    "cost true": (text(cost_usd=True), "invalid_cost_usd"),
    # -- metadata
    "metadata a list": (metadata("[1]"), "invalid_metadata"),
    "metadata an empty list": (metadata("[]"), "invalid_metadata"),
    "metadata a string": (metadata('"a"'), "invalid_metadata"),
    "metadata an empty string": (metadata('""'), "invalid_metadata"),
    "metadata 0": (metadata("0"), "invalid_metadata"),
    "metadata false": (metadata("false"), "invalid_metadata"),
    "metadata too large": (text(metadata={"a": "x" * 300_000}), "too_large"),
    "n/a in a number": (
        text(
            event_type="INFRA_LIMIT_HIT",
            metadata={"resource": "redis", "current": "n/a", "limit": 1},
        ),
        "invalid_metadata:current",
    ),
    "a number missing": (
        text(event_type="INFRA_LIMIT_HIT", metadata={"resource": "redis", "current": 1}),
        "missing_metadata:limit",
    ),
    "required metadata missing": (
        text(event_type="POLICY_BLOCK_REPEAT"),
        "missing_metadata:policy_id",
    ),
    "required metadata null": (
        text(event_type="POLICY_BLOCK_REPEAT", metadata={"policy_id": None}),
        "missing_metadata:policy_id",
    ),
    "required metadata in a list": (
        metadata('[["policy_id", "p"]]', event_type="POLICY_BLOCK_REPEAT"),
        "invalid_metadata",
    ),
    "friction signal contradicts": (
        text(event_type="REPLAY_ABORTED", metadata={"friction_signal": "something_else"}),
        "friction_signal_contradicts",
    ),
}

# Odd, and welcome all the same: (text, what must be read back).
WELCOME: dict[str, tuple[bytes, dict[str, Any]]] = {
    "ids with everything": (
        text(user_id="👩‍🚀/../%2e;' OR 1=1 --\"", session_id="‮שלום‬", entity_id="a\tb\n"),
        {"user_id": "👩‍🚀/../%2e;' OR 1=1 --\"", "session_id": "‮שלום‬", "entity_id": "a\tb\n"},
    ),
    "an escaped emoji": (odd(r'"user_id": "\ud83d\ude00"'), {"user_id": "😀"}),
    "an id of 200 characters": (text(user_id="😀" * 200), {"user_id": "😀" * 200}),
    "empty user is no user": (text(user_id=""), {"user_id": None}),
    "nine digits of a second": (
        text(timestamp="2026-03-12T11:00:00.123456789Z"),
        {"timestamp": "2026-03-12T11:00:00.123456Z"},
    ),
    "offset of almost a day": (
        text(timestamp="2026-03-12T23:59:00+23:59"),
        {"timestamp": "2026-03-12T00:00:00Z"},
    ),
    "exactly five minutes ahead": (
        text(timestamp="2026-03-12T12:05:00Z"),
        {"timestamp": "2026-03-12T12:05:00Z"},
    ),
    "the first moment": (
        text(timestamp="1970-01-01T00:00:00Z"),
        {"timestamp": "1970-01-01T00:00:00Z"},
    ),
    "severity as a whole float": (text(severity=3.0), {"severity": 3}),
    "severity as a word": (text(severity="critical"), {"severity": 5}),
    "latency as 1e3": (odd('"latency_ms": 1e3'), {"latency_ms": 1000}),
    "cost as text": (text(cost_usd="0.0000005"), {"cost_usd": 0.000001}),
    "cost 1E+5": (text(cost_usd="1E+5"), {"cost_usd": 100000.0}),
    "the dearest call": (text(cost_usd="99999999.9999999999"), {"cost_usd": 100000000.0}),
    "cost minus zero": (text(cost_usd=-0.0), {"cost_usd": 0.0}),
    "metadata null": (metadata("null"), {"metadata": {}}),
    "a null in metadata": (metadata('{"a": null}'), {"metadata": {"a": None}}),
    "64 bits": (
        metadata(f'{{"a": {2**63}, "b": {-(2**63)}}}'),
        {"metadata": {"a": 2**63, "b": -(2**63)}},
    ),
    "__proto__": (
        metadata('{"__proto__": {"x": 1}, "constructor": 2, "": 3}'),
        {"metadata": {"__proto__": {"x": 1}, "constructor": 2, "": 3}},
    ),
    "a colon that looks like a key": (
        metadata(r'{"a": "\":", "b": ":"}'),
        {"metadata": {"a": '":', "b": ":"}},
    ),
    "received_at is ours to say": (
        text(received_at="1999-01-01T00:00:00Z"),
        {"received_at": "2026-03-12T12:00:00Z"},
    ),
    "a price beyond belief": (
        text(event_type="SUBSCRIPTION_STARTED", metadata={"price_usd": 1e300}),
        {"metadata": {"price_usd": 1e300}},
    ),
    "HTML is text": (
        text(user_id="<script>alert(1)</script>"),
        {"user_id": "<script>alert(1)</script>"},
    ),
}

GOOD = (
    b'{"event_id":"%s","timestamp":"2026-03-12T11:00:00Z","tenant_id":"good","event_type":"LOGIN"}'
)


def good() -> bytes:
    return GOOD % str(event()["event_id"]).encode()


@pytest.mark.parametrize(("raw", "reason"), QUARANTINED.values(), ids=QUARANTINED.keys())
def test_it_waits_in_quarantine_as_it_came(server: Server, raw: bytes, reason: str) -> None:
    before = server.counts()
    batch = server.admin.post("/v1/events", b"[" + good() + b",\n " + raw + b" ," + good() + b"]")
    assert batch.results == ["stored", "quarantined", "stored"]
    assert batch.reasons == [None, reason, None]
    wrapped = server.admin.post(
        "/v1/events", b'{"sent":1, "events" : [' + raw + b"," + good() + b"]}"
    )
    assert wrapped.results == ["quarantined", "stored"]
    assert wrapped.reasons == [reason, None]
    row = server.admin.get("/v1/quarantine", limit=1).json["items"][0]
    assert (row["reason"], row["door"], row["num_seen"]) == (reason, "events", 2)
    kept = row["raw"].encode() if row["raw"] is not None else base64.b64decode(row["raw_base64"])
    assert row["raw_bytes"] == len(raw)
    assert kept == raw[: len(kept)]
    assert len(kept) == min(len(raw), 65_536)
    counted = server.counts() - before
    assert counted[("events", "received")] == 5
    assert counted[("events", "stored")] == 3
    assert counted[("events", "quarantined")] == 2


@pytest.mark.parametrize(("raw", "shown"), WELCOME.values(), ids=WELCOME.keys())
def test_it_is_stored_and_read_back(server: Server, raw: bytes, shown: dict[str, Any]) -> None:
    answer = server.admin.post("/v1/events", raw)
    assert answer.results == ["stored"]
    event_id = answer.json["results"][0]["event_id"]
    (found,) = server.admin.get("/v1/events", event_id=event_id).json["events"]
    assert {name: found[name] for name in shown} == shown
    assert server.admin.post("/v1/events", raw).results == ["duplicate"]


def test_more_than_sixty_kinds() -> None:
    assert len(QUARANTINED) + len(BODIES) >= 60


# -- whole bodies ------------------------------------------------------------------------------

BIG = b" " * (5 * 2**20 + 1)
ONE = b"[" + text() + b"]"
BODIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "empty": (b"", {}, 400),
    "spaces": (b" \n ", {}, 400),
    "broken JSON": (ONE[:-2], {}, 400),
    "not JSON": (b"hello", {}, 400),
    "single quotes": (b"{'a': 1}", {}, 400),
    "trailing garbage": (ONE + b"x", {}, 400),
    "two documents": (ONE + ONE, {}, 400),
    "trailing comma": (ONE[:-1] + b",]", {}, 400),
    "JSON Lines": (text() + b"\n" + text(), {}, 400),
    "a number": (b"5", {}, 400),
    "a string": (b'"x"', {}, 400),
    "null": (b"null", {}, 400),
    "NaN": (b"NaN", {}, 400),
    "events is a number": (b'{"events": 5}', {}, 400),
    "events is an object": (b'{"events": {}}', {}, 400),
    "events twice": (b'{"events": [], "events": ' + ONE + b"}", {}, 400),
    "100,000 deep": (b"[" * 100_000 + b"]" * 100_000, {}, 400),
    "100,000 deep in metadata": (metadata("[" * 100_000 + "]" * 100_000), {}, 400),
    "UTF-16": (ONE.decode().encode("utf-16"), {}, 400),
    "UTF-16 without a mark": (ONE.decode().encode("utf-16-be"), {}, 400),
    "UTF-32": (ONE.decode().encode("utf-32"), {}, 400),
    "Latin-1": (b'[{"user_id": "\xe9"}]', {}, 400),
    "invalid UTF-8": (b'[{"user_id": "\xc3\x28"}]', {}, 400),
    "overlong UTF-8": (b'[{"user_id": "\xc0\xaf"}]', {}, 400),
    "a surrogate in UTF-8": (b'[{"user_id": "\xed\xa0\x80"}]', {}, 400),
    "a raw NUL": (b'[{"user_id": "\x00"}]', {}, 400),
    "NULs around": (b"\0" + ONE, {}, 400),
    "too large": (BIG, {}, 413),
    "a million records": (b"[" + b"0," * 1_000_000 + b"0]", {}, 413),
    "a million empty objects": (b'{"events":[' + b"{}," * 1_000_000 + b"{}]}", {}, 413),
    "gzip bomb": (gzip.compress(b"[" + b" " * 50_000_000), {"Content-Encoding": "gzip"}, 413),
    "zstd bomb": (zstandard.compress(b" " * 50_000_000), {"Content-Encoding": "zstd"}, 413),
    "gzip cut off": (gzip.compress(ONE)[:-9], {"Content-Encoding": "gzip"}, 400),
    "gzip without its sum": (gzip.compress(ONE)[:-4], {"Content-Encoding": "gzip"}, 400),
    "gzip with a wrong sum": (
        gzip.compress(ONE)[:-8] + b"\0" * 8,
        {"Content-Encoding": "gzip"},
        400,
    ),
    "gzip with garbage after": (gzip.compress(ONE) + b"x", {"Content-Encoding": "gzip"}, 400),
    "gzip of a hundred thousand parts": (
        gzip.compress(b"") * 100_000,
        {"Content-Encoding": "gzip"},
        400,
    ),
    "zstd cut off": (zstandard.compress(ONE)[:-3], {"Content-Encoding": "zstd"}, 400),
    "zstd that is not": (ONE, {"Content-Encoding": "zstd"}, 400),
    "gzip that is not": (ONE, {"Content-Encoding": "gzip"}, 400),
    "gzip inside gzip": (
        gzip.compress(gzip.compress(ONE)),
        {"Content-Encoding": "gzip, gzip"},
        415,
    ),
    "twenty encodings": (ONE, {"Content-Encoding": ", ".join(["gzip"] * 20)}, 415),
    "deflate": (zlib.compress(ONE), {"Content-Encoding": "deflate"}, 415),
    "brotli": (ONE, {"Content-Encoding": "br"}, 415),
    "an encoding of nobody": (ONE, {"Content-Encoding": "rot13"}, 415),
    "a form": (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "plain text": (ONE, {"Content-Type": "text/plain"}, 415),
    "multipart": (ONE, {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    "another charset": (ONE, {"Content-Type": "application/json; charset=latin-1"}, 415),
}


def check_problem(answer: Answer, status: int) -> None:
    assert answer.status == status, answer.body[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["id"]


@pytest.mark.parametrize(("body", "headers", "status"), BODIES.values(), ids=BODIES.keys())
def test_a_body_is_refused_whole(
    server: Server, body: bytes, headers: dict[str, str], status: int
) -> None:
    before = server.num_stored(), server.counts()
    answer = server.admin.ask(
        "POST", "/v1/events", body, {"Content-Type": "application/json"} | headers
    )
    check_problem(answer, status)
    assert (server.num_stored(), server.counts()) == before


@pytest.mark.parametrize("path", ["/v1/events", "/v1/batch", "/v1/changes"])
def test_who_sends_far_too_much_first_gets_the_answer_after(server: Server, path: str) -> None:
    """Such callers would find a broken connection, were they hung up on while they send."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {server.admin.key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {100 << 20}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(head.encode())
        piece = b" " * (1 << 20)
        for _ in range(100):
            line.sendall(piece)
        answer = b""
        while part := line.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:ebbtide:problem:" in answer and b"connection: close" in answer.lower()


@pytest.mark.parametrize("path", ["/v1/events", "/v1/batch", "/v1/cloudevents"])
def test_a_chunked_body_is_counted_on_the_way(server: Server, path: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100_000

    check_problem(
        server.admin.ask("POST", path, endless(), {"Content-Type": "application/json"}), 413
    )


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\xef\xbb\xbf" + ONE, {}),
        (ONE, {"Content-Encoding": "identity"}),
        (gzip.compress(ONE), {"Content-Encoding": "GZIP"}),
        (gzip.compress(ONE[:20]) + gzip.compress(ONE[20:]), {"Content-Encoding": "gzip"}),
        (zstandard.compress(ONE), {"Content-Encoding": "zstd"}),
        (ONE, {"Content-Type": 'application/json; charset="UTF-8"'}),
        (ONE, {"Content-Type": "application/vnd.acme+json"}),
    ],
    ids=["BOM", "identity", "gzip", "gzip in parts", "zstd", "charset", "+json"],
)
def test_a_body_in_another_dress_is_read(
    server: Server, body: bytes, headers: dict[str, str]
) -> None:
    answer = server.admin.ask(
        "POST", "/v1/events", body, {"Content-Type": "application/json"} | headers
    )
    assert answer.results[0] in ("stored", "duplicate")


@pytest.mark.parametrize("body", [b"[]", b'{"events": []}', b'{"events": [], "n": 1e400}'])
def test_no_events_is_no_error(server: Server, body: bytes) -> None:
    answer = server.admin.post("/v1/events", body)
    assert answer.results == []


def test_many_keys_and_many_events_are_answered(server: Server) -> None:
    keys = ",".join(f'"k{i}": 1' for i in range(200_000))
    answer = server.admin.post("/v1/events", metadata("{" + keys + "}"))
    assert answer.reasons == ["too_large"]
    many = b",".join(good() for _ in range(20_000))
    assert set(server.admin.post("/v1/events", b"[" + many + b"]").results) == {"stored"}


# -- the compatible doors ----------------------------------------------------------------------

SEGMENT: dict[str, tuple[str, bytes, int]] = {
    "batch is no list": ("batch", b'{"batch": 5}', 400),
    "no object": ("track", b"[]", 400),
    "batch twice": ("batch", b'{"batch": [], "batch": []}', 400),
    "deep": ("track", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
    "a million messages": ("batch", b'{"batch":[' + b"{}," * 1_000_000 + b"{}]}", 413),
}


@pytest.mark.parametrize(("call", "body", "status"), SEGMENT.values(), ids=SEGMENT.keys())
def test_segment_refuses_a_body_whole(server: Server, call: str, body: bytes, status: int) -> None:
    check_problem(server.admin.post(f"/v1/{call}", body), status)


CALL = {"event": "LOGIN", "userId": "u", "context": {"groupId": "acme"}, "messageId": "m-1"}
SEGMENT_POISON: dict[str, tuple[bytes, str]] = {
    "key twice": (
        json.dumps(CALL).encode()[:-1] + b', "event": "EXPORT_GENERATED"}',
        "duplicate_key",
    ),
    "NaN": (json.dumps(CALL | {"properties": {"a": float("nan")}}).encode(), "number_out_of_range"),
    "huge integer": (
        json.dumps(CALL | {"properties": {"a": 10**30}}).encode(),
        "number_out_of_range",
    ),
    "lone surrogate": (json.dumps(CALL | {"userId": "\ud800"}).encode(), "lone_surrogate"),
    "a number": (b"5", "not_an_object"),
    "no tenant": (json.dumps(CALL | {"context": {}}).encode(), "missing_tenant_id"),
    "unknown event": (json.dumps(CALL | {"event": "Order Completed"}).encode(), "unmapped_event"),
    "price beyond belief": (
        json.dumps({"type": "group", "groupId": "acme", "traits": {"price_usd": "1e999"}}).encode(),
        "invalid_trait:price_usd",
    ),
}


@pytest.mark.parametrize(("raw", "reason"), SEGMENT_POISON.values(), ids=SEGMENT_POISON.keys())
def test_segment_sets_one_message_aside(server: Server, raw: bytes, reason: str) -> None:
    raw = raw if raw.startswith(b"5") or b'"type"' in raw else b'{"type": "track", ' + raw[1:]
    fine = json.dumps(CALL | {"type": "track", "messageId": event()["event_id"]}).encode()
    answer = server.admin.post("/v1/batch", b'{"batch": [' + fine + b"," + raw + b"]}")
    assert answer.results == ["stored", "quarantined"]
    assert answer.reasons[1] == reason


CLOUD = {
    "specversion": "1.0",
    "id": "1",
    "source": "/a",
    "type": "LOGIN",
    "subject": "acme",
    "time": "2026-03-12T11:00:00Z",
}
CLOUD_POISON: dict[str, tuple[bytes, str]] = {
    "key twice": (json.dumps(CLOUD).encode()[:-1] + b', "subject": "other"}', "duplicate_key"),
    "key twice in data": (
        json.dumps(CLOUD).encode()[:-1] + b', "data": {"a":1,"a":2}}',
        "duplicate_key",
    ),
    "huge integer": (json.dumps(CLOUD | {"data": {"a": 10**30}}).encode(), "number_out_of_range"),
    "old version": (json.dumps(CLOUD | {"specversion": "0.3"}).encode(), "unsupported_specversion"),
    "naive time": (json.dumps(CLOUD | {"time": "2026-03-12T11:00:00"}).encode(), "naive_timestamp"),
    "key twice in base64": (
        json.dumps(
            CLOUD
            | {
                "datacontenttype": "application/json",
                "data_base64": base64.b64encode(b'{"a":1,"a":2}').decode(),
            }
        ).encode(),
        "duplicate_key",
    ),
}


@pytest.mark.parametrize(("raw", "reason"), CLOUD_POISON.values(), ids=CLOUD_POISON.keys())
def test_cloudevents_sets_one_event_aside(server: Server, raw: bytes, reason: str) -> None:
    fine = json.dumps(CLOUD | {"id": event()["event_id"]}).encode()
    answer = server.admin.post(
        "/v1/cloudevents",
        b"[" + fine + b"," + raw + b"]",
        Content_Type="application/cloudevents-batch+json",
    )
    assert answer.results == ["stored", "quarantined"]
    assert answer.reasons[1] == reason
