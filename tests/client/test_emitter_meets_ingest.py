"""What the client writes is what the server's own reader and validator accept, digit by digit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import EventType, load_catalog
from ebbtide.client.encode import encode_event
from ebbtide.domain.event import Event
from ebbtide.ingest.decode import decode_events
from ebbtide.ingest.validate import Rejection, Validator

CATALOG = load_catalog()
VALIDATOR = Validator(CATALOG)
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def receive(**fields: Any) -> Event | Rejection:
    """An event's way from the client's writer through the server's reader."""
    encoded = encode_event(fields, clock=lambda: NOON, tenant_id="acme")
    (incoming,) = decode_events(b'{"events":[' + encoded.body + b"]}")
    if incoming.fields is None:
        return Rejection(incoming.reason or "")
    return VALIDATOR.check(incoming.fields, received_at=NOON, default_source="http")


@settings(deadline=None)
@given(st.decimals(min_value=0, max_value=Decimal("99999999"), allow_nan=False))
def test_a_cost_keeps_its_digits_into_the_store(cost: Decimal) -> None:
    event = receive(event_type="LLM_CALL_MADE", cost_usd=cost)
    assert isinstance(event, Event)
    assert event.cost_usd == cost.quantize(Decimal("1e-10"), ROUND_HALF_EVEN)


@settings(deadline=None)
@given(st.decimals(min_value=0, max_value=Decimal("99999999"), places=10))
def test_ten_decimals_are_never_rounded(cost: Decimal) -> None:
    event = receive(event_type="LLM_CALL_MADE", cost_usd=cost)
    assert isinstance(event, Event)
    assert event.cost_usd == cost


@settings(deadline=None)
@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2), max_value=datetime(2026, 3, 12), timezones=st.just(UTC)
    )
)
def test_a_moment_keeps_its_microsecond(moment: datetime) -> None:
    event = receive(event_type="LOGIN", timestamp=moment)
    assert isinstance(event, Event)
    assert event.timestamp == moment


@settings(deadline=None)
@given(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200
    )
)
def test_any_text_is_an_id(text: str) -> None:
    event = receive(event_type="LOGIN", user_id=text, event_id=text, metadata={"note": text})
    assert isinstance(event, Event)
    assert (event.user_id, event.event_id) == (text, text)
    assert json.loads(event.metadata_json) == {"note": text}


@pytest.mark.parametrize("event_type", CATALOG.event_types.values(), ids=lambda t: t.name)
def test_every_example_is_accepted(event_type: EventType) -> None:
    assert isinstance(receive(**event_type.example), Event)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event_type": "NO_SUCH_TYPE"}, "unknown_event_type"),
        ({"event_type": "LOGIN", "severity": 99}, "invalid_severity"),
        ({"event_type": "LOGIN", "timestamp": NOON + timedelta(hours=1)}, "future_timestamp"),
        ({"event_type": "LOGIN", "user_id": "\ud800"}, "lone_surrogate"),
        ({"event_type": "LOGIN", "user_id": "\0"}, "nul_character"),
        ({"event_type": "LOGIN", "metadata": ["x"]}, "invalid_metadata"),
        ({"event_type": "LOGIN", "colour": "red"}, "unknown_field:colour"),
    ],
)
def test_the_server_judges_what_the_client_does_not(fields: dict[str, Any], reason: str) -> None:
    assert receive(**fields) == Rejection(reason)
