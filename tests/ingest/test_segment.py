"""The Segment door: the clock-skew rule to the microsecond, every call, and hostile bodies."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.mapping import load_mappings
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import Event, Outcome
from ebbtide.domain.tenant import Contact, Sighting
from ebbtide.ingest import segment
from ebbtide.ingest.decode import decode_json
from ebbtide.ingest.incoming import Aside, Incoming, Reading
from ebbtide.ingest.validate import Rejection, Validator
from ebbtide.store.events.base import EVENT_COLUMNS, same_content, to_batch
from example_counts import examples

MAPPING = load_mappings()["segment"]
VALIDATOR = Validator(load_catalog())
RECEIVED = datetime(2025, 12, 12, 8, 0, 10, 500_000, tzinfo=UTC)
SIGNED_IN: dict[str, Any] = {
    "event": "Signed In",
    "userId": "u-1",
    "messageId": "m-1",
    "timestamp": "2025-12-12T07:00:00.000Z",
    "context": {"groupId": "acme"},
}


def read(call: str, body: object, **options: Any) -> Reading:
    return segment.read(call, body, received_at=RECEIVED, mapping=MAPPING, **options)


def one(call: str, body: object, **options: Any) -> Incoming | Aside:
    (message,) = read(call, body, **options).messages
    return message


def fields_of(message: Incoming | Aside) -> dict[str, Any]:
    assert isinstance(message, Incoming)
    assert message.reason is None
    assert message.fields is not None
    return message.fields


def reason_of(message: Incoming | Aside) -> str | None:
    """Why a message does not become an event, from the door or from the validator."""
    if isinstance(message, Aside) or message.reason is not None:
        return message.reason
    checked = check(message)
    return checked.reason if isinstance(checked, Rejection) else None


def check(message: Incoming | Aside, received_at: datetime = RECEIVED) -> Event | Rejection:
    return VALIDATOR.check(fields_of(message), received_at=received_at, default_source="segment")


# -- the clock-skew rule -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        # The sender's clock is an hour slow; the event is 5 s older than its sending.
        (
            {"timestamp": "2025-12-12T07:00:00.000Z", "sentAt": "2025-12-12T07:00:05.000Z"},
            "2025-12-12T08:00:05.500Z",
        ),
        # A year fast, with an offset, and to the microsecond.
        (
            {
                "timestamp": "2026-12-12T09:00:00.000001+01:00",
                "sentAt": "2026-12-12T08:00:00.000003Z",
            },
            "2025-12-12T08:00:10.499998Z",
        ),
        # originalTimestamp is the sender's own word, timestamp then is not.
        (
            {
                "originalTimestamp": "2025-12-12T07:00:00Z",
                "timestamp": "2001-01-01T00:00:00Z",
                "sentAt": "2025-12-12T07:00:05Z",
            },
            "2025-12-12T08:00:05.500Z",
        ),
        (
            {"originalTimestamp": "2025-12-12T07:00:00Z", "sentAt": "2025-12-12T07:00:05Z"},
            "2025-12-12T08:00:05.500Z",
        ),
        # The event after its sending: the rule still holds, the validator judges the future.
        (
            {"timestamp": "2025-12-12T07:00:05Z", "sentAt": "2025-12-12T07:00:00Z"},
            "2025-12-12T08:00:15.500Z",
        ),
        # Already corrected by a Segment server on its way here.
        (
            {
                "originalTimestamp": "2025-12-11T07:00:00Z",
                "sentAt": "2025-12-11T07:00:05Z",
                "receivedAt": "2025-12-11T07:30:05Z",
                "timestamp": "2025-12-11T07:30:00Z",
            },
            "2025-12-11T07:30:00Z",
        ),
        # Nothing to correct with: believed as sent.
        ({"timestamp": "2025-12-12T07:00:00Z"}, "2025-12-12T07:00:00Z"),
        ({"timestamp": "2025-12-12T07:00:00Z", "sentAt": None}, "2025-12-12T07:00:00Z"),
        ({"timestamp": "2025-12-12T07:00:00Z", "sentAt": "soon"}, "2025-12-12T07:00:00Z"),
        ({"timestamp": "2025-12-12T07:00:00Z", "sentAt": 7}, "2025-12-12T07:00:00Z"),
        (
            {"timestamp": "2025-12-12T07:00:00Z", "sentAt": "2025-12-12T07:00:05"},
            "2025-12-12T07:00:00Z",
        ),
        # No time at all: it happened when it came.
        ({}, "2025-12-12T08:00:10.500Z"),
        ({"sentAt": "2025-12-12T07:00:05Z"}, "2025-12-12T08:00:10.500Z"),
        ({"timestamp": None}, "2025-12-12T08:00:10.500Z"),
        ({"timestamp": ""}, "2025-12-12T08:00:10.500Z"),
        # receivedAt of a sender alone means nothing.
        (
            {"timestamp": "2025-12-12T07:00:00Z", "receivedAt": "2001-01-01T00:00:00Z"},
            "2025-12-12T07:00:00Z",
        ),
        # Times that are none.
        ({"timestamp": "2025-12-12T07:00:00", "sentAt": "2025-12-12T07:00:05Z"}, None),
        ({"timestamp": "yesterday", "sentAt": "2025-12-12T07:00:05Z"}, None),
        ({"timestamp": 1765526400, "sentAt": "2025-12-12T07:00:05Z"}, None),
        ({"timestamp": ["x"]}, None),
        ({"originalTimestamp": "x", "timestamp": "2025-12-12T07:00:00Z"}, None),
    ],
)
def test_when_it_happened(message: dict[str, Any], expected: str | None) -> None:
    moment = segment.happened_at(message, RECEIVED)
    assert moment == (None if expected is None else datetime.fromisoformat(expected))
    stored = check(one("track", {k: v for k, v in SIGNED_IN.items() if k != "timestamp"} | message))
    if moment is None:
        assert isinstance(stored, Rejection)
        assert stored.reason in ("naive_timestamp", "invalid_timestamp")
    else:
        assert isinstance(stored, Event)
        assert stored.timestamp == moment


@pytest.mark.parametrize(
    ("sent_at", "timestamp", "reason"),
    [
        ("9999-12-31T23:59:59Z", "0001-01-02T00:00:00Z", "timestamp_before_1970"),
        ("0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z", "future_timestamp"),
        ("2025-12-12T07:00:00Z", "2025-12-12T07:10:00Z", "future_timestamp"),
        ("2025-12-12T07:00:00Z", "1925-12-12T07:00:00Z", "timestamp_before_1970"),
    ],
)
def test_absurd_clocks_are_quarantined(sent_at: str, timestamp: str, reason: str) -> None:
    message = SIGNED_IN | {"sentAt": sent_at, "timestamp": timestamp}
    assert reason_of(one("track", message)) == reason
    assert reason_of(one("group", {**message, "groupId": "acme"})) == reason


def test_the_sent_time_of_a_batch_counts_for_messages_without_one() -> None:
    own = SIGNED_IN | {"type": "track", "sentAt": "2025-12-12T07:00:01Z"}
    reading = read(
        "batch", {"sentAt": "2025-12-12T07:00:05Z", "batch": [SIGNED_IN | {"type": "track"}, own]}
    )
    assert [fields_of(message)["timestamp"] for message in reading.messages] == [
        "2025-12-12T08:00:05.500000+00:00",
        "2025-12-12T08:00:09.500000+00:00",
    ]


def test_what_the_sender_said_is_kept_beside_a_computed_time() -> None:
    corrected = fields_of(one("track", SIGNED_IN | {"sentAt": "2025-12-12T07:00:05Z"}))
    assert corrected["metadata"] == {"original_timestamp": "2025-12-12T07:00:00.000Z"}
    without = {k: v for k, v in SIGNED_IN.items() if k != "timestamp"}
    assert fields_of(one("track", without))["metadata"] == {"original_timestamp": None}
    assert "metadata" not in fields_of(one("track", SIGNED_IN))


@pytest.mark.parametrize("message", [SIGNED_IN, {**SIGNED_IN, "timestamp": None}])
def test_a_retry_is_the_same_event_although_it_came_later(message: dict[str, Any]) -> None:
    def row(delay_s: float, sent_at: str) -> dict[str, Any]:
        received_at = RECEIVED + timedelta(seconds=delay_s)
        reading = segment.read(
            "track", message | {"sentAt": sent_at}, received_at=received_at, mapping=MAPPING
        )
        event = check(reading.messages[0], received_at)
        assert isinstance(event, Event)
        return dict(to_batch([event]).to_pylist()[0])

    first = row(0, "2025-12-12T07:00:05Z")
    assert set(first) == set(EVENT_COLUMNS)
    again = row(31.7, "2025-12-12T07:00:36Z")
    assert first["timestamp"] != again["timestamp"]
    assert same_content(first, again)
    assert not same_content(first, {**again, "user_id": "other"})
    other = {**again, "metadata": '{"original_timestamp":"2025-12-12T07:00:01.000Z"}'}
    assert not same_content(first, other)


# -- every call --------------------------------------------------------------------------------


def test_track_becomes_an_event() -> None:
    body = SIGNED_IN | {"properties": {"source": "guard", "severity": 2}, "anonymousId": "a-9"}
    assert fields_of(one("track", body)) == {
        "event_type": "LOGIN",
        "event_id": "m-1",
        "timestamp": "2025-12-12T07:00:00+00:00",
        "tenant_id": "acme",
        "user_id": "u-1",
        "severity": 2,
        "source": "segment",
        "metadata": {"source": "guard"},
    }
    assert isinstance(check(one("track", body)), Event)


def test_ids_come_from_where_they_stand() -> None:
    anonymous = fields_of(
        one("track", {"event": "Signed In", "anonymousId": 9, "context": {"groupId": 42}})
    )
    assert (anonymous["user_id"], anonymous["tenant_id"]) == ("9", "42")
    assert "event_id" not in anonymous
    bound = one("track", {"event": "Signed In", "userId": "u"}, bound_tenant="acme")
    assert "tenant_id" not in fields_of(bound)  # the one path of every event fills it in


@pytest.mark.parametrize("name", ["REPLAY_EXECUTED", "EXPORT_GENERATED", "LLM_CALL_MADE"])
def test_our_own_names_are_themselves(name: str) -> None:
    event = check(one("track", SIGNED_IN | {"event": name, "properties": {"cost_usd": 0.5}}))
    assert isinstance(event, Event)
    assert event.event_type == name
    assert event.cost_usd == Decimal("0.5")


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("track", {"event": "Trial Started"}),
        ("track", {"event": "signed in"}),
        ("track", {"event": 7}),
        ("track", {}),
        ("page", {"name": "Home", "properties": {"path": "/"}}),
        ("page", {"name": "Home", "event": "LOGIN"}),
        ("screen", {"name": "Home"}),
        ("alias", {"previousId": "a", "userId": "b"}),
    ],
)
def test_what_no_rule_names_waits_and_can_be_read_again(call: str, body: dict[str, Any]) -> None:
    message = one(call, {**body, "writeKey": "secret", "sentAt": "2025-12-12T08:00:00Z"})
    assert isinstance(message, Incoming)
    assert (message.fields, message.reason) == (None, "unmapped_event")
    kept = json.loads(message.raw)
    assert kept == {**body, "type": call, "sentAt": "2025-12-12T08:00:00Z"}


def test_a_mapping_of_ones_own_releases_what_waited(tmp_path: Path) -> None:
    waiting = one(
        "batch",
        {
            "sentAt": "2025-12-12T08:00:10Z",
            "context": {"groupId": "acme"},
            "batch": [
                {
                    "type": "track",
                    "event": "Trial Started",
                    "messageId": "m-2",
                    "timestamp": "2025-12-12T08:00:00Z",
                    "properties": {"trial_plan_name": "pro"},
                }
            ],
        },
    )
    assert isinstance(waiting, Incoming)
    (tmp_path / "segment.toml").write_text(
        '[source]\nname = "segment"\n[[events]]\ntype = "SUBSCRIPTION_STARTED"\n'
        'when = { event = "Trial Started" }\n'
        'columns = { metadata.plan = "properties.trial_plan_name" }\n'
    )
    own = load_mappings(tmp_path)["segment"]
    released = segment.reread(waiting.raw, received_at=RECEIVED, mapping=own)
    event = check(released.messages[0])
    assert isinstance(event, Event)
    assert (event.tenant_id, event.event_id, event.plan) == ("acme", "m-2", "pro")
    assert event.timestamp == datetime(2025, 12, 12, 8, 0, 0, 500_000, tzinfo=UTC)


def test_skipping_is_answered_not_silent(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[source]\nname = "segment"\notherwise = "skip"\n')
    own = load_mappings(tmp_path)["segment"]
    reading = segment.read(
        "page", {"name": "Home", "messageId": "m"}, received_at=RECEIVED, mapping=own
    )
    assert reading.messages == (Aside("m", Outcome.REFUSED, "skipped_by_mapping"),)


# -- directory facts ---------------------------------------------------------------------------


def facts(sighting: Sighting) -> dict[str, Any]:
    return {fact.field: fact.value for fact in sighting.facts}


def test_group_says_who_the_customer_is() -> None:
    body = {
        "groupId": "acme",
        "messageId": "m",
        "timestamp": "2025-12-12T07:00:00Z",
        "traits": {
            "name": "Acme AI",
            "plan": "pro",
            "email": "hello@acme.example",
            "price_usd": 49.5,
            "employees": 12,
        },
    }
    reading = read("group", body)
    assert reading.messages == (Aside("m", Outcome.STORED, "tenant_directory"),)
    (sighting,) = reading.sightings
    assert (sighting.tenant_id, sighting.seen_at) == ("acme", RECEIVED)
    assert facts(sighting) == {
        "name": "Acme AI",
        "plan": "pro",
        "contacts": (Contact(email="hello@acme.example"),),
        "price_usd": Decimal("49.5"),
    }
    assert {fact.at for fact in sighting.facts} == {datetime(2025, 12, 12, 7, tzinfo=UTC)}


def test_identify_speaks_of_the_company_not_of_the_person() -> None:
    body = {
        "userId": "u",
        "context": {"groupId": "acme"},
        "traits": {
            "name": "Priya",
            "email": "priya@acme.example",
            "plan": "personal",
            "company": {"name": "Acme AI", "plan": "pro"},
        },
    }
    (sighting,) = read("identify", body).sightings
    assert (sighting.tenant_id, facts(sighting)) == ("acme", {"name": "Acme AI", "plan": "pro"})
    body["traits"]["company"]["id"] = "other"
    (sighting,) = read("identify", body).sightings
    assert facts(sighting) == {}
    body["traits"]["company"] = "Acme"
    (sighting,) = read("identify", body).sightings
    assert facts(sighting) == {}


@pytest.mark.parametrize(
    ("call", "body", "reason"),
    [
        ("identify", {"userId": "u", "traits": {"name": "x"}}, "missing_tenant_id"),
        ("group", {"traits": {"name": "x"}}, "missing_tenant_id"),
        ("group", {"groupId": "", "traits": {}}, "missing_tenant_id"),
        ("group", {"groupId": ["x"]}, "missing_tenant_id"),
        ("group", {"groupId": "x" * 201}, "invalid_tenant_id"),
        ("group", {"groupId": "a\0"}, "nul_character"),
        ("group", {"groupId": "a", "traits": []}, "invalid_traits"),
        ("group", {"groupId": "a", "traits": {"name": 7}}, "invalid_trait:name"),
        ("group", {"groupId": "a", "traits": {"name": "x" * 201}}, "invalid_trait:name"),
        ("group", {"groupId": "a", "traits": {"name": "x\0"}}, "nul_character"),
        ("group", {"groupId": "a", "traits": {"email": {}}}, "invalid_trait:email"),
        ("group", {"groupId": "a", "traits": {"price_usd": -1}}, "invalid_trait:price_usd"),
        ("group", {"groupId": "a", "timestamp": "2025-12-12T07:00:00"}, "naive_timestamp"),
        ("group", {"groupId": "a", "timestamp": "x"}, "invalid_timestamp"),
        ("group", {"groupId": "a", "timestamp": "2035-12-12T07:00:00Z"}, "future_timestamp"),
    ],
)
def test_facts_that_cannot_be_believed_wait(call: str, body: dict[str, Any], reason: str) -> None:
    reading = read(call, body)
    (message,) = reading.messages
    assert isinstance(message, Incoming)
    assert (message.fields, message.reason) == (None, reason)
    assert json.loads(message.raw) == {**body, "type": call}
    assert reading.sightings == ()


def test_a_bound_key_speaks_for_its_tenant_alone() -> None:
    body = {"groupId": "Acme", "messageId": "m", "traits": {"name": "x"}}
    other = read("group", body, bound_tenant="globex")
    assert other.messages == (Aside("m", Outcome.REFUSED, "tenant_mismatch"),)
    assert other.sightings == ()
    (own,) = read("group", {"traits": {"name": "x"}}, bound_tenant="acme").sightings
    assert own.tenant_id == "acme"
    uuid = "6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55"
    assert read("group", {"groupId": uuid.upper()}, bound_tenant=uuid).sightings


def test_a_group_call_that_a_rule_names_is_an_event_and_a_fact(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        '[source]\nname = "segment"\n[[events]]\ntype = "LOGIN"\nwhen = { type = "group" }\n'
    )
    own = load_mappings(tmp_path)["segment"]
    body = {"groupId": "acme", "traits": {"name": "x"}}
    reading = segment.read("group", body, received_at=RECEIVED, mapping=own)
    assert fields_of(reading.messages[0])["tenant_id"] == "acme"
    assert len(reading.sightings) == 1


# -- batches and bodies ------------------------------------------------------------------------


def test_a_batch_keeps_its_order_and_isolates_each_message() -> None:
    reading = read(
        "batch",
        {
            "writeKey": "secret",
            "context": {"groupId": "acme", "locale": "de"},
            "batch": [
                {"type": "track", "event": "Signed In", "messageId": "1"},
                7,
                {"type": "group", "groupId": "acme", "messageId": "3"},
                {"type": "track", "event": "Signed In", "context": {"groupId": "own"}},
                {"event": "Signed In"},
                {"type": "dance"},
                {"type": "track", "event": "Signed In", "context": "odd", "writeKey": "secret"},
            ],
        },
    )
    assert [reason_of(message) for message in reading.messages] == [
        None,
        "not_an_object",
        "tenant_directory",
        None,
        "missing_type",
        "invalid_type",
        "missing_tenant_id",
    ]
    assert fields_of(reading.messages[0])["tenant_id"] == "acme"
    assert fields_of(reading.messages[3])["tenant_id"] == "own"
    assert len(reading.incoming) == 6
    assert b"secret" not in b"".join(message.raw for message in reading.incoming)
    answers = reading.in_order(["a", "b", "c", "d", "e", "f"])
    assert answers[:2] == ["a", "b"]
    assert isinstance(answers[2], Aside)
    assert answers[3:] == ["c", "d", "e", "f"]


def test_answers_must_fit_the_messages() -> None:
    reading = read("track", SIGNED_IN)
    for results in ([], ["a", "b"]):
        with pytest.raises(ValueError, match="one result"):
            reading.in_order(results)


def test_a_type_that_contradicts_the_path_waits() -> None:
    assert reason_of(one("track", SIGNED_IN | {"type": "page"})) == "type_contradicts"
    assert reason_of(one("track", SIGNED_IN | {"type": "track"})) is None
    assert reason_of(one("track", SIGNED_IN | {"type": None})) is None


@pytest.mark.parametrize("call", segment.CALLS)
@pytest.mark.parametrize("body", [None, 7, "x", [], [{}], True])
def test_a_body_that_is_no_object_is_a_bad_request(call: str, body: object) -> None:
    with pytest.raises(BadRequest):
        read(call, body)


@pytest.mark.parametrize("batch", [None, {}, "x", 7])
def test_a_batch_without_a_list_is_a_bad_request(batch: object) -> None:
    with pytest.raises(BadRequest):
        read("batch", {"batch": batch})
    assert read("batch", {"batch": []}).messages == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"event":"LOGIN","x":NaN}', "number_out_of_range"),
        ('{"event":"LOGIN","x":"\\ud800"}', "lone_surrogate"),
        ('{"event":"LOGIN","x":1,"x":NaN}', "duplicate_key"),
        ('{"event":"LOGIN","properties":{"x":1,"x":NaN}}', "duplicate_key"),
        ('{"event":"LOGIN","x":' + "9" * 5000 + "}", "number_out_of_range"),
        ('{"event":"LOGIN","x":' + "[" * 600 + "1" + "]" * 600 + "}", "too_deep"),
    ],
)
def test_poison_is_kept_with_its_reason(text: str, reason: str) -> None:
    message = one("track", decode_json(text.encode()))
    assert isinstance(message, Incoming)
    assert message.reason == reason
    assert b"LOGIN" in message.raw
    batch = f'{{"batch":[{text[:-1]},"type":"track"}}, {{"type":"track","event":"LOGIN"}}]}}'
    first, second = read("batch", decode_json(batch.encode())).messages
    assert reason_of(first) == reason
    assert fields_of(second)["event_type"] == "LOGIN"
    around = f'{{"context":{text},"batch":[{{"type":"track","event":"LOGIN"}}]}}'
    assert reason_of(one("batch", decode_json(around.encode()))) == reason


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"writeKey": "k"}, "k"),
        ({"writeKey": ""}, None),
        ({"writeKey": 7}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_write_key_of_a_body(body: object, key: str | None) -> None:
    assert segment.write_key(body) == key


# -- any JSON at all ---------------------------------------------------------------------------

NAMES = [
    "type", "event", "userId", "anonymousId", "messageId", "timestamp", "sentAt", "receivedAt",
    "originalTimestamp", "context", "groupId", "traits", "company", "properties", "batch", "name",
    "plan", "email", "price_usd", "id", "writeKey", "severity",
]  # fmt: skip
texts = st.text(st.characters(), max_size=8) | st.sampled_from(
    [*segment.CALLS, "LOGIN", "Signed In", "2025-12-12T07:00:00Z", "2025-12-12T07:00:00",
     "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\0", "\ud800"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=8)
    ),
    max_leaves=12,
)
messages = st.dictionaries(st.sampled_from(NAMES), values, max_size=10)


@settings(max_examples=examples(250))
@given(
    call=st.sampled_from(segment.CALLS),
    body=values | messages | st.fixed_dictionaries({"batch": st.lists(messages, max_size=3)}),
)
def test_no_body_is_too_odd(call: str, body: Any) -> None:
    try:
        reading = read(call, body)
    except BadRequest:
        assert not isinstance(body, dict) or call == "batch"
        return
    expected = len(body["batch"]) if call == "batch" else 1
    assert len(reading.messages) == expected
    for message in reading.messages:
        if isinstance(message, Aside):
            continue
        assert (message.fields is None) == (message.reason is not None)
        if message.fields is not None:
            checked = VALIDATOR.check(message.fields, received_at=RECEIVED, default_source="x")
            assert isinstance(checked, Event | Rejection)
            again = segment.reread(message.raw, received_at=RECEIVED, mapping=MAPPING)
            assert fields_of(again.messages[0]) == message.fields
        else:
            assert message.raw
    for sighting in reading.sightings:
        assert sighting.tenant_uuid
