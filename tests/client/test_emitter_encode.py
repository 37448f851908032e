"""What an application hands over arrives digit by digit, or is refused with the field's name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.client.encode import encode_event
from ebbtide.client.errors import InvalidEvent
from ebbtide.client.uuid7 import uuid7

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def encode(**fields: Any) -> dict[str, Any]:
    return json.loads(encode_event(fields, clock=lambda: NOON).body, parse_float=Decimal)


def encode_metadata(value: Any) -> Any:
    return encode(event_type="LOGIN", metadata={"value": value})["metadata"]["value"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_every_json_value_comes_back_as_it_was(metadata: dict[str, Any]) -> None:
    event = encode_event({"event_type": "LOGIN", "metadata": metadata}, clock=lambda: NOON)
    assert json.loads(event.body)["metadata"] == metadata


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_keep_every_digit(value: Decimal) -> None:
    event = encode_event({"metadata": {"value": value}}, clock=lambda: NOON)
    text = event.body.decode().split('"value":')[1].rstrip("}")
    assert Decimal(text).as_tuple() == value.as_tuple()
    json.loads(event.body)  # and the text is JSON, whatever the exponent


@settings(deadline=None)
@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),
        max_value=datetime(9998, 1, 1),
        timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_moments_keep_their_instant(moment: datetime) -> None:
    sent = encode(timestamp=moment)["timestamp"]
    assert sent.endswith("Z")
    assert datetime.fromisoformat(sent) == moment


def test_an_event_gets_an_id_and_a_time_of_its_own() -> None:
    event = encode(event_type="LOGIN")
    assert event["timestamp"] == "2026-03-12T12:00:00Z"
    assert UUID(event["event_id"]).version == 7
    assert list(event) == ["event_id", "timestamp", "event_type"]  # absent fields stay absent


def test_own_values_win_over_defaults_and_unknown_names_travel_on() -> None:
    event = encode_event(
        {"event_id": "e-1", "tenant_id": "b", "source": "s", "colour": "red"},
        clock=lambda: NOON,
        tenant_id="a",
        source="default",
    )
    sent = json.loads(event.body)
    assert event.event_id == "e-1"
    assert (sent["tenant_id"], sent["source"], sent["colour"]) == ("b", "s", "red")


def test_values_of_other_libraries_and_enums() -> None:
    class Level(Enum):
        HIGH = "high"

    assert encode_metadata(np.int64(7)) == 7
    assert encode_metadata(np.float64(0.25)) == Decimal("0.25")
    assert encode_metadata(np.float32(0.5)) == Decimal("0.5")
    assert encode_metadata(Level.HIGH) == "high"
    assert encode_metadata(UUID(int=5)) == str(UUID(int=5))
    assert encode_metadata(NOON) == "2026-03-12T12:00:00Z"
    assert encode_metadata(NOON.date()) == "2026-03-12"
    assert encode_metadata((1, "a")) == [1, "a"]


def test_text_that_is_no_unicode_still_makes_valid_json() -> None:
    odd = 'a\ud800\x00\\"\n\U0001f600\udfffz'
    assert encode_metadata(odd) == odd  # the server says what it thinks of it


def test_other_scripts_travel_as_they_are() -> None:
    body = encode_event({"user_id": "Zo\u00eb \u6f6e"}, clock=lambda: NOON).body
    assert "Zo\u00eb \u6f6e".encode() in body  # escapes would double their size


def test_an_amount_beyond_a_double_travels_as_text() -> None:
    assert encode(cost_usd=Decimal("0.0019"))["cost_usd"] == Decimal("0.0019")
    assert encode(cost_usd=Decimal("12345678.0123456789"))["cost_usd"] == "12345678.0123456789"
    assert encode(cost_usd=Decimal("1E-7"))["cost_usd"] == Decimal("1E-7")
    assert encode(cost_usd=Decimal("0." + "3" * 60))["cost_usd"] == Decimal("0." + "3" * 60)


cycle: list[Any] = []
cycle.append(cycle)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"timestamp": datetime(2026, 3, 12)}, "timestamp names no time zone"),
        ({"timestamp": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}, "timestamp"),
        ({"metadata": {"at": datetime(2026, 3, 12)}}, "metadata.at names no time zone"),
        ({"cost_usd": float("nan")}, "cost_usd is not a finite number"),
        ({"cost_usd": Decimal("Infinity")}, "cost_usd is not a finite number"),
        ({"metadata": {"a": [1, {"b": float("inf")}]}}, r"metadata\.a\[1\]\.b is not a finite"),
        ({"metadata": {"a": b"bytes"}}, "metadata.a is a bytes"),
        ({"metadata": {"a": {1, 2}}}, "metadata.a is a set"),
        ({"metadata": {1: 2}}, "metadata has a key that is not text"),
        ({"metadata": {"a": cycle}}, "nested more than 100 levels"),
        ({"metadata": {"n": 10**5000}}, "metadata.n has too many digits"),
        ({"event_id": 7}, "event_id must be text or a UUID"),
    ],
)
def test_what_json_cannot_say_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        encode_event(fields, clock=lambda: NOON)


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))
def test_an_id_holds_its_millisecond(moment: datetime) -> None:
    made = uuid7(moment)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        milliseconds=1
    )


def test_ids_sort_by_time_and_never_repeat() -> None:
    moments = [NOON + timedelta(microseconds=i) for i in range(3000)]
    ids = [str(uuid7(moment)) for moment in moments]
    assert ids == sorted(ids)
    assert len({uuid7(NOON) for _ in range(3000)}) == 3000
