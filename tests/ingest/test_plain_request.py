"""The short cut for whole requests: where it answers, it answers what the validator would."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.event import Event
from ebbtide.ingest.decode import Records, decode_events
from ebbtide.ingest.plain_request import PlainRequest, PlainRequests
from ebbtide.ingest.token_cost import TokenPrices
from ebbtide.ingest.validate import Validator
from ebbtide.store.events.base import to_batch
from example_counts import examples

NOW = datetime(2026, 3, 12, 8, tzinfo=UTC)
UUID = "019b1237-b780-71fd-a09b-a4f60b384ba6"
VALIDATOR = Validator(load_catalog(), TokenPrices())
PLAIN = PlainRequests(VALIDATOR)


def read(items: list[Any]) -> PlainRequest | None:
    """The short cut's answer to a body, None also where the careful reader had to step in."""
    records = decode_events(json.dumps(items).encode())
    if not isinstance(records, Records):
        return None
    return PLAIN.read(
        records.items, holds_nul=records.holds_nul, received_at=NOW, default_source="api"
    )


def judge(items: list[Any]) -> list[Any]:
    """The validator's answer to each record of a body."""
    records = decode_events(json.dumps(items).encode())
    return [
        VALIDATOR.check(record.fields or {}, received_at=NOW, default_source="api")
        if record.reason is None
        else record.reason
        for record in records
    ]


def event(**changes: Any) -> dict[str, Any]:
    return {
        "event_id": UUID,
        "timestamp": "2026-03-12T07:59:59.123456Z",
        "tenant_id": "acme",
        "event_type": "LLM_CALL_MADE",
        "latency_ms": 812,
        "cost_usd": 0.0021,
        "metadata": {"model": "gpt-4o-mini", "tokens_in": 640, "tokens_out": 88},
    } | changes


ORDINARY = [
    event(),
    event(timestamp="2026-03-12T09:00:00+01:00", user_id="u-1", session_id="s"),
    event(event_id="call 17/Ä", cost_usd=0.00018510000000000002),
    event(cost_usd=1234567.8912345678, source="proxy"),
    event(cost_usd=0, metadata={}),
    event(cost_usd=None, metadata={"cost_usd": 0.25, "note": {"deep": [1, None]}}),
    event(cost_usd=None),
    event(cost_usd=None, metadata={"model": "nobody", "tokens_in": 640, "tokens_out": 88}),
    event(cost_usd=None, metadata={"model": "o3", "tokens_in": 7, "tokens_out": 1, "x": 1e300}),
    event(event_type="API_CALL_RECEIVED", cost_usd=None, severity=3, metadata=None),
    event(event_type="REPLAY_ABORTED", metadata={"reason": "slow"}),
    event(event_type="REPLAY_ABORTED", metadata={"friction_signal": "user_abort"}),
    event(event_type="POLICY_BLOCK_REPEAT", metadata={"policy_id": "PII_FILTER"}),
    event(event_type="LOGIN", metadata={"model": "a model that logins do not know"}),
    event(event_id=UUID.upper(), entity_type="incident", entity_id="inc/1"),
]


@pytest.mark.parametrize("one", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_events_take_the_short_cut(one: dict[str, Any]) -> None:
    found, (expected,) = read([one]), judge([one])
    assert found is not None
    assert isinstance(expected, Event)
    assert found.batch.to_pylist() == to_batch([expected]).to_pylist()


def test_a_mixed_request_takes_it_as_a_whole() -> None:
    found = read(ORDINARY)
    assert found is not None
    assert found.batch.equals(to_batch(judge(ORDINARY)))
    assert found.event_ids == [one["event_id"] for one in ORDINARY]
    assert found.tenant_ids == {"acme"}
    assert "LOGIN" in found.event_types


ODD = {
    "no id": {"event_id": None},
    "empty id": {"event_id": ""},
    "long id": {"event_id": "x" * 201},
    "number as id": {"event_id": 7},
    "NUL": {"user_id": "a\0b"},
    "empty user": {"user_id": ""},
    "naive": {"timestamp": "2026-03-12T07:59:59"},
    "no moment": {"timestamp": "yesterday"},
    "number as moment": {"timestamp": 1773302400},
    "future": {"timestamp": "2026-03-12T08:05:00.000001Z"},
    "before 1970": {"timestamp": "1969-12-31T23:59:59Z"},
    "year 1": {"timestamp": "0001-01-01T00:00:00+14:00"},
    "unknown type": {"event_type": "NOPE"},
    "empty tenant": {"tenant_id": ""},
    "severity word": {"severity": "high"},
    "severity 6": {"severity": 6},
    "severity true": {"severity": True},
    "latency 1.5": {"latency_ms": 1.5},
    "latency -1": {"latency_ms": -1},
    "latency 2**60": {"latency_ms": 2**60},
    "negative cost": {"cost_usd": -0.1},
    "cost in words": {"cost_usd": "0.10"},
    "cost too large": {"cost_usd": 1e8},
    "cost true": {"cost_usd": True},
    "negative cost in metadata": {"cost_usd": None, "metadata": {"cost_usd": -1}},
    "metadata list": {"metadata": []},
    "metadata number": {"metadata": 5},
    "tokens as text": {"metadata": {"tokens_in": "640"}},
    "tokens too many": {"metadata": {"tokens_in": 2**31}},
    "model number": {"metadata": {"model": 4}},
    "long model": {"metadata": {"model": "m" * 1001}},
    "large metadata": {"metadata": {"note": "x" * 300_000}},
    "required missing": {"event_type": "POLICY_BLOCK_REPEAT", "metadata": {}},
    "required null": {"event_type": "POLICY_BLOCK_REPEAT", "metadata": {"policy_id": None}},
    "contradiction": {"event_type": "REPLAY_ABORTED", "metadata": {"friction_signal": "x"}},
    "unknown field": {"colour": "blue"},
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD.keys())
def test_what_needs_judgement_is_left_to_the_validator(change: dict[str, Any]) -> None:
    assert read([event(), event(**change), event()]) is None


def test_what_is_no_object_is_left_to_the_validator() -> None:
    assert read([event(), 5]) is None
    assert read([]) is None


def test_five_minutes_ahead_is_believed_to_the_microsecond() -> None:
    edge = NOW + timedelta(minutes=5)
    assert read([event(timestamp=edge.isoformat())]) is not None


TEXTS = st.one_of(
    st.sampled_from(["acme", "", "x" * 200, "x" * 201, "Ä", UUID, UUID.upper(), "a\0", "é\u0301"]),
    st.text(max_size=5),
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 5, -1, 12.0, 0.1, 0.30000000000000004, 1e-11, 5e-11, 99999998.5, 1e15]),
    st.floats(0, 1e9, allow_nan=False),
    st.integers(-2, 2**62),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), TEXTS, NUMBERS, st.lists(st.integers(0, 3), max_size=2)
)
KEYS = ["model", "tokens_in", "status_code", "cost_usd", "policy_id", "friction_signal", "reason"]
PRICED = st.fixed_dictionaries(
    {"model": st.sampled_from(["gpt-4o-mini", "claude-sonnet-4-5", "nobody"])},
    optional={
        "provider": st.sampled_from(["openai", "anthropic", "nobody"]),
        "tokens_in": st.integers(-1, 300_000),
        "tokens_out": st.integers(0, 10_000),
        "tokens_cache_read": st.integers(0, 1_000),
        "cost_usd": st.none() | st.floats(0, 1),
        "cost_table": st.none() | TEXTS,
    },
)
METADATA = st.one_of(
    st.none(),
    PRICED,
    st.dictionaries(st.sampled_from(KEYS) | TEXTS, VALUES, max_size=4),
    VALUES,
)
MOMENTS = st.one_of(
    st.datetimes(datetime(1969, 12, 31), datetime(2026, 3, 12, 8, 6), timezones=st.just(UTC)).map(
        datetime.isoformat
    ),
    st.sampled_from(
        [
            "2026-03-12T08:05:00Z",
            "2026-03-12 07:00+01:00",
            "20260312T070000Z",
            "2026-W11-1T00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-03-12T07:00:00.1234567Z",
        ]
    ),
)
EVENTS = st.fixed_dictionaries(
    {
        "event_id": st.one_of(st.uuids().map(str), TEXTS),
        "timestamp": MOMENTS,
        "tenant_id": TEXTS,
        "event_type": st.sampled_from(
            ["LLM_CALL_MADE", "API_CALL_RECEIVED", "REPLAY_ABORTED", "POLICY_BLOCK_REPEAT"]
        ),
    },
    optional={
        "user_id": st.none() | TEXTS,
        "entity_id": st.none() | TEXTS,
        "source": st.none() | TEXTS,
        "severity": st.none() | st.integers(0, 6),
        "latency_ms": st.none() | NUMBERS,
        "cost_usd": st.none() | NUMBERS,
        "metadata": METADATA,
        "received_at": st.just("ignored"),
    },
)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=3))
@example([event(cost_usd=5e-11)])
@example([event(cost_usd=99_999_998.999999)])
def test_it_agrees_with_the_validator(items: list[dict[str, Any]]) -> None:
    try:
        expected = judge(items)
    except BadRequest:
        return
    found = read(items)
    if found is None:
        return
    assert all(isinstance(one, Event) for one in expected), expected
    assert found.batch.to_pylist() == to_batch(expected).to_pylist()
    assert found.event_ids == [one.event_id for one in expected]
    assert found.tenant_ids == {one.tenant_id for one in expected}
    assert found.event_types == {one.event_type for one in expected}
