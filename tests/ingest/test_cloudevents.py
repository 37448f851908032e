"""The CloudEvents door: three content modes, one identity, and hostile requests."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import load_mappings
from ebbtide.domain.errors import BadRequest, UnsupportedEncoding
from ebbtide.domain.event import Event, Outcome
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.ingest import cloudevents
from ebbtide.ingest.cloudevents import BATCHED, STRUCTURED, event_id_of
from ebbtide.ingest.incoming import Aside, Incoming, Reading
from ebbtide.ingest.validate import Rejection, Validator
from example_counts import examples

MAPPING = load_mappings()["cloudevents"]
VALIDATOR = Validator(load_catalog())
RECEIVED = datetime(2025, 12, 12, 8, 0, 10, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/replay/eu",
    "type": "com.acme.ops.REPLAY_EXECUTED",
    "subject": "acme",
    "time": "2025-12-12T08:00:00Z",
    "datacontenttype": "application/json",
    "data": {"incident_id": "inc-1", "user_id": "u-1", "cost_usd": 0.25},
}
BINARY = [
    ("ce-specversion", "1.0"),
    ("ce-id", "A-1"),
    ("ce-source", "/replay/eu"),
    ("ce-type", "com.acme.ops.REPLAY_EXECUTED"),
    ("ce-subject", "acme"),
    ("ce-time", "2025-12-12T08:00:00Z"),
    ("content-type", "application/json"),
]


def structured(event: object) -> Incoming | Aside:
    body = json.dumps(event).encode()
    (message,) = cloudevents.read(body, [("Content-Type", STRUCTURED)], mapping=MAPPING).messages
    return message


def binary(body: bytes, headers: list[tuple[str, str]]) -> Incoming | Aside:
    (message,) = cloudevents.read(body, headers, mapping=MAPPING).messages
    return message


def fields_of(message: Incoming | Aside) -> dict[str, Any]:
    assert isinstance(message, Incoming)
    assert message.reason is None
    assert message.fields is not None
    return message.fields


def check(message: Incoming | Aside) -> Event | Rejection:
    return VALIDATOR.check(fields_of(message), received_at=RECEIVED, default_source="cloudevents")


def reason_of(message: Incoming | Aside) -> str | None:
    if isinstance(message, Aside) or message.reason is not None:
        return message.reason
    checked = check(message)
    return checked.reason if isinstance(checked, Rejection) else None


# -- three modes, one event --------------------------------------------------------------------


def test_a_structured_event() -> None:
    fields = fields_of(structured(EVENT))
    assert fields == {
        "event_type": "REPLAY_EXECUTED",
        "event_id": "/replay/eu#A-1",
        "timestamp": "2025-12-12T08:00:00+00:00",
        "tenant_id": "acme",
        "source": "/replay/eu",
        "user_id": "u-1",
        "cost_usd": 0.25,
        "metadata": {
            "ce_id": "A-1",
            "ce_type": "com.acme.ops.REPLAY_EXECUTED",
            "incident_id": "inc-1",
        },
    }
    event = check(structured(EVENT))
    assert isinstance(event, Event)
    assert event.cost_usd == Decimal("0.25")


def test_all_modes_say_the_same() -> None:
    body = json.dumps(EVENT["data"]).encode()
    in_binary = binary(body, BINARY)
    batch = cloudevents.read(
        json.dumps([EVENT, EVENT]).encode(),
        [("content-type", f"{BATCHED}; charset=UTF-8")],
        mapping=MAPPING,
    )
    assert [fields_of(one) for one in batch.messages] == [fields_of(structured(EVENT))] * 2
    assert fields_of(in_binary) == fields_of(structured(EVENT))
    in_base64 = {k: v for k, v in EVENT.items() if k != "data"}
    in_base64["data_base64"] = base64.b64encode(body).decode()
    assert fields_of(structured(in_base64)) == fields_of(structured(EVENT))


def test_what_is_kept_can_be_read_again_whatever_the_mode() -> None:
    odd = [pair for pair in BINARY if pair[0] != "ce-type"] + [("ce-type", "order.paid")]
    for message in (
        binary(b'{"n":1}', odd),
        binary(b"\xff\x00", [*odd[:-2], odd[-1], ("content-type", "image/png")]),
        structured(EVENT | {"type": "order.paid"}),
    ):
        assert isinstance(message, Incoming)
        assert (message.fields, message.reason) == (None, "unmapped_event")
        assert cloudevents.reread(message.raw, mapping=MAPPING).messages == (message,)


def test_an_empty_batch_is_valid() -> None:
    assert cloudevents.read(b"[]", [("content-type", BATCHED)], mapping=MAPPING) == Reading(())


# -- attributes --------------------------------------------------------------------------------


def test_extensions_fill_our_fields_and_the_rest_is_metadata() -> None:
    event = {k: v for k, v in EVENT.items() if k not in ("data", "subject")} | {
        "partitionkey": "acme",
        "userid": "u-2",
        "sessionid": "s-1",
        "entitytype": "incident",
        "entityid": "inc-1",
        "severity": 4,
        "latencyms": "120",
        "costusd": "0.0000000001",
        "traceparent": "00-ab-cd-01",
        "dataschema": "https://acme.example/schema",
        "nothing": None,
    }
    stored = check(structured(event))
    assert isinstance(stored, Event)
    assert (stored.tenant_id, stored.user_id, stored.session_id) == ("acme", "u-2", "s-1")
    assert (stored.entity_type, stored.entity_id) == ("incident", "inc-1")
    assert (stored.severity, stored.latency_ms) == (4, 120)
    assert stored.cost_usd == Decimal("0.0000000001")
    metadata = json.loads(stored.metadata_json)
    assert metadata["traceparent"] == "00-ab-cd-01"
    assert metadata["dataschema"] == "https://acme.example/schema"
    assert not {"specversion", "datacontenttype", "nothing", "time"} & set(metadata)


def test_data_comes_before_extensions_and_loses_nothing() -> None:
    fields = fields_of(structured(EVENT | {"userid": "other", "subject": "", "partitionkey": "p"}))
    assert (fields["user_id"], fields["tenant_id"]) == ("u-1", "p")
    assert fields["metadata"]["userid"] == "other"
    both = fields_of(structured(EVENT | {"data": {"tenant_id": "in-data", "traceparent": 1}}))
    assert both["tenant_id"] == "acme"
    assert both["metadata"]["tenant_id"] == "in-data"


@pytest.mark.parametrize(
    ("named", "ours"),
    [
        ("LOGIN", "LOGIN"),
        ("com.acme.LOGIN", "LOGIN"),
        ("com.acme.login", None),
        ("LOGIN.v1", None),
        ("com/acme/LOGIN", None),
        ("LOGIN.", None),
    ],
)
def test_the_type_is_ours_bare_or_as_last_part(named: str, ours: str | None) -> None:
    message = structured(EVENT | {"type": named})
    if ours is None:
        assert reason_of(message) == "unmapped_event"
    else:
        assert fields_of(message)["event_type"] == ours


def test_a_mapping_of_ones_own_names_other_types(tmp_path: Path) -> None:
    (tmp_path / "ce.toml").write_text(
        '[source]\nname = "cloudevents"\notherwise = "skip"\n[[events]]\n'
        'type = "SUBSCRIPTION_STARTED"\nwhen = { type = { prefix = "order.paid" } }\n'
        'columns = { metadata.plan = "data.plan" }\n'
    )
    own = load_mappings(tmp_path)["cloudevents"]
    paid = EVENT | {"type": "order.paid.v2", "data": {"plan": "pro"}}
    skipped = EVENT | {"type": "order.seen"}
    reading = cloudevents.read_parsed([paid, skipped], batched=True, mapping=own)
    event = check(reading.messages[0])
    assert isinstance(event, Event)
    assert (event.event_type, event.plan) == ("SUBSCRIPTION_STARTED", "pro")
    assert reading.messages[1] == Aside("/replay/eu#A-1", Outcome.REFUSED, "skipped_by_mapping")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"specversion": None}, "missing_specversion"),
        ({"specversion": "0.3"}, "unsupported_specversion"),
        ({"specversion": "1.1"}, "unsupported_specversion"),
        ({"specversion": 1.0}, "invalid_specversion"),
        ({"id": ""}, "missing_id"),
        ({"id": 7}, "invalid_id"),
        ({"source": None}, "missing_source"),
        ({"source": []}, "invalid_source"),
        ({"type": ""}, "missing_type"),
        ({"type": {}}, "invalid_type"),
        ({"data_base64": "e30="}, "data_and_data_base64"),
        ({"data": None, "data_base64": "e30"}, "invalid_data_base64"),
        ({"data": None, "data_base64": "e\n30="}, "invalid_data_base64"),
        ({"data": None, "data_base64": "äöü="}, "invalid_data_base64"),
        ({"data": None, "data_base64": 7}, "invalid_data_base64"),
        ({"data": None, "data_base64": "e30x"}, "invalid_json"),
        ({"data": None, "data_base64": "eyJ4IjpOYU59"}, "number_out_of_range"),
        ({"time": None}, "missing_timestamp"),
        ({"time": "2025-12-12T08:00:00"}, "naive_timestamp"),
        ({"time": 7}, "invalid_timestamp"),
        ({"subject": None}, "missing_tenant_id"),
        ({"subject": ["x"]}, "invalid_tenant_id"),
        ({"data": {"severity": 9}}, "invalid_severity"),
        ({"type": "INFRA_LIMIT_HIT"}, "missing_metadata:resource"),
    ],
)
def test_each_fault_has_its_reason(change: dict[str, Any], reason: str) -> None:
    message = structured(EVENT | change)
    assert reason_of(message) == reason
    assert isinstance(message, Incoming)
    assert json.loads(message.raw) == EVENT | change


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        ({"data": [1, 2]}, {"data": [1, 2]}),
        ({"data": "text"}, {"data": "text"}),
        ({"data": False}, {"data": False}),
        ({"data": None}, {}),
        (
            {"data": None, "data_base64": "/wA=", "datacontenttype": "image/png"},
            {"data_base64": "/wA="},
        ),
    ],
)
def test_a_payload_that_is_no_object_is_kept_whole(
    event: dict[str, Any], kept: dict[str, Any]
) -> None:
    metadata = fields_of(structured(EVENT | event))["metadata"]
    assert {k: v for k, v in metadata.items() if not k.startswith("ce_")} == kept


# -- identity ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "identifier", "event_id"),
    [
        ("/sensors/7", "A-1", "/sensors/7#A-1"),
        ("/sensors/7", "A-1#2", "/sensors/7#A-1#2"),
        ("/sensors#7", "A-1", "/sensors%237#A-1"),
        ("/sensors%237", "A-1", "/sensors%25237#A-1"),
        ("s" * 100, "i" * 99, "s" * 100 + "#" + "i" * 99),
        (
            "s" * 100,
            "i" * 100,
            "ce-sha256-" + sha256(b"s" * 100 + b"#" + b"i" * 100).hexdigest(),
        ),
    ],
)
def test_source_and_id_make_one_id(source: str, identifier: str, event_id: str) -> None:
    assert event_id_of(source, identifier) == event_id


parts = st.text(st.sampled_from("a#%25\ud800é"), min_size=1, max_size=6) | st.text(min_size=150)


@given(one=st.tuples(parts, parts), other=st.tuples(parts, parts))
@example(one=("a#", "b"), other=("a", "#b"))
@example(one=("a%23", "b"), other=("a#", "b"))
def test_different_pairs_have_different_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (event_id_of(*one) == event_id_of(*other)) == (one == other)
    assert 0 < len(event_id_of(*one)) <= ID_MAX_CHARS


# -- binary mode -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("acme", "acme"),
        ("Caf%C3%A9%20%22x%22", 'Café "x"'),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("100%25", "100%"),
        ("%2541", "%41"),  # decoded once
        ("a+b", "a+b"),
        ("100%", "100%"),
        ('"in quotes \\" and \\\\"', 'in quotes " and \\'),
        ("Caf\xc3\xa9", "Café"),  # bytes of UTF-8 as servers hand them on
        ("%41cme", "Acme"),
    ],
)
def test_header_values_are_decoded_once(sent: str, text: str) -> None:
    headers = [pair for pair in BINARY if pair[0] != "ce-subject"]
    for name in ("ce-subject", "CE-Subject", "Ce-subject"):
        assert fields_of(binary(b"", [*headers, (name, sent)]))["tenant_id"] == text


@pytest.mark.parametrize("sent", ["%C0%A0", "%FF", "caf\xe9", "%ED%A0%80"])
def test_header_values_that_are_not_utf8_wait(sent: str) -> None:
    headers = [pair for pair in BINARY if pair[0] != "ce-subject"]
    assert reason_of(binary(b"", [*headers, ("ce-subject", sent)])) == "invalid_subject"


@pytest.mark.parametrize(
    ("content_type", "body", "kept"),
    [
        ("application/json", b"", {}),
        ("application/json; charset=utf-8", b'{"a":1}', {"a": 1}),
        ("application/vnd.acme+json", b'{"a":1}', {"a": 1}),
        (None, b'{"a":1}', {"a": 1}),
        (None, b"\xff", {"data_base64": "/w=="}),
        ("text/plain", b"hi", {"data": "hi"}),
        ("application/xml", b"<a/>", {"data": "<a/>"}),
        ("text/plain; charset=latin-1", b"\xe9", {"data_base64": "6Q=="}),
        ("application/octet-stream", b"hi", {"data_base64": "aGk="}),
    ],
)
def test_the_body_by_its_content_type(
    content_type: str | None, body: bytes, kept: dict[str, Any]
) -> None:
    headers = [pair for pair in BINARY if pair[0] != "content-type"]
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    metadata = fields_of(binary(body, headers))["metadata"]
    assert {k: v for k, v in metadata.items() if not k.startswith("ce_")} == kept


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"{", BINARY, "invalid_json"),
        (b"NaN", BINARY, "number_out_of_range"),
        (b"", [*BINARY, ("ce-id", "A-2")], "duplicate_key"),
        (b"", [*BINARY, ("ce-data", "x")], "duplicate_key"),
        (b"", [*BINARY, ("ce-data_base64", "x")], "duplicate_key"),
        (b"", BINARY[1:], "missing_specversion"),
        (b"", [("ce-specversion", "1.0")], "missing_id"),
    ],
)
def test_binary_faults_wait(body: bytes, headers: list[tuple[str, str]], reason: str) -> None:
    message = binary(body, headers)
    assert reason_of(message) == reason
    assert isinstance(message, Incoming)
    assert message.raw


# -- requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "application/json")],
        [("content-type", "application/cloudevents+avro"), *BINARY[:-1]],
        [("content-type", "application/cloudevents")],
        [("content-type", "text/plain")],
    ],
)
def test_a_request_that_names_no_cloudevent_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(UnsupportedEncoding):
        cloudevents.read(json.dumps(EVENT).encode(), headers, mapping=MAPPING)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (STRUCTURED, b""),
        (STRUCTURED, b"[]"),
        (STRUCTURED, b"7"),
        (STRUCTURED, b"{"),
        (BATCHED, b"{}"),
        (BATCHED, b"null"),
        (BATCHED, b"[" * 100_000),
    ],
)
def test_a_body_of_another_shape_is_a_bad_request(content_type: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        cloudevents.read(body, [("content-type", content_type)], mapping=MAPPING)


NAMES = [*EVENT, "data_base64", "partitionkey", "userid", "severity", "event_id", "event_type"]
texts = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["1.0", "LOGIN", "2025-12-12T07:00:00Z", "\0", "\ud800", "e30=", "application/json"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=5)
    ),
    max_leaves=10,
)
events = values | st.builds(
    lambda change: EVENT | change, st.dictionaries(st.sampled_from(NAMES), values, max_size=3)
)


@settings(max_examples=examples(250))
@given(body=st.lists(events, max_size=3) | values, batched=st.booleans())
def test_no_body_is_too_odd(body: Any, batched: bool) -> None:
    try:
        reading = cloudevents.read_parsed(body, batched=batched, mapping=MAPPING)
    except BadRequest:
        assert not isinstance(body, list if batched else dict)
        return
    assert len(reading.messages) == (len(body) if batched else 1)
    for message in reading.incoming:
        assert (message.fields is None) == (message.reason is not None)
        assert message.raw
        if message.fields is not None:
            checked = VALIDATOR.check(message.fields, received_at=RECEIVED, default_source="x")
            assert isinstance(checked, Event | Rejection)
            again = cloudevents.reread(message.raw, mapping=MAPPING)
            assert fields_of(again.messages[0]) == message.fields


header_names = st.sampled_from(["ce-id", "ce-type", "ce-", "ce-time", "Content-Type", "CE-DATA"])


@settings(max_examples=examples(250))
@given(
    body=st.binary(max_size=20) | values.map(lambda v: json.dumps(v).encode()),
    headers=st.lists(st.tuples(header_names | st.text(max_size=4), texts), max_size=5),
    base=st.sampled_from([BINARY, BINARY[:3], [], [("content-type", STRUCTURED)]]),
)
def test_no_request_is_too_odd(
    body: bytes, headers: list[tuple[str, str]], base: list[tuple[str, str]]
) -> None:
    try:
        reading = cloudevents.read(body, base + headers, mapping=MAPPING)
    except BadRequest:
        return
    for message in reading.incoming:
        if message.fields is not None:
            checked = VALIDATOR.check(message.fields, received_at=RECEIVED, default_source="x")
            assert isinstance(checked, Event | Rejection)
