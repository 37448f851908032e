"""Ingest takes every example, and nothing that breaks what a definition says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebbtide.catalog.loader import EventType, MetadataField, load_catalog
from ebbtide.domain.event import PROMOTED_METADATA, Event
from ebbtide.domain.time import parse_instant
from ebbtide.ingest.validate import Rejection, Validator
from example_counts import examples

RECEIVED_AT = datetime(2026, 1, 1, tzinfo=UTC)
CATALOG = load_catalog()
VALIDATOR = Validator(CATALOG)
KINDS = pytest.mark.parametrize("kind", CATALOG.event_types.values(), ids=lambda kind: kind.name)
FIELDS = [
    pytest.param(kind, field, id=f"{kind.name}-{field.name}")
    for kind in CATALOG.event_types.values()
    for field in kind.metadata.values()
]

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=50),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "number": st.one_of(
        st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)
    ),
    "boolean": st.booleans(),
    "list": st.lists(st.text("abcXYZ_", max_size=20), max_size=3),
    "object": st.dictionaries(st.text("abc_", max_size=5), st.booleans(), max_size=3),
}

_COSTS = st.decimals(0, 10**6, places=6).map(float)  # an amount must also be one that can be paid


def check(fields: dict[str, Any]) -> Event | Rejection:
    return VALIDATOR.check(fields, received_at=RECEIVED_AT, default_source="test")


def accepted(fields: dict[str, Any]) -> Event:
    event = check(fields)
    assert isinstance(event, Event), event
    return event


@KINDS
def test_the_example_is_accepted_as_it_stands(kind: EventType) -> None:
    example = kind.example
    event = accepted(example)
    for name in ("event_id", "tenant_id", "event_type", "source"):
        assert getattr(event, name) == example[name]
    for name in ("user_id", "session_id", "entity_type", "entity_id", "severity", "latency_ms"):
        assert getattr(event, name) == example.get(name)
    assert event.timestamp == parse_instant(example["timestamp"])
    assert json.loads(event.metadata_json) == example["metadata"]
    for name in PROMOTED_METADATA:
        assert getattr(event, name) == example["metadata"].get(name)
    assert (event.cost_usd is None) == ("cost_usd" not in example)


@KINDS
@pytest.mark.parametrize("key", ["tenant_id", "timestamp", "event_type"])
def test_a_required_event_field_removed_is_refused(kind: EventType, key: str) -> None:
    example = kind.example
    del example[key]
    assert check(example) == Rejection(f"missing_{key}")


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_metadata_key_removed_is_refused_only_when_required(
    kind: EventType, field: MetadataField
) -> None:
    for lost in ("absent", "null"):
        example = kind.example
        example["metadata"].pop(field.name, None)
        if lost == "null":
            example["metadata"][field.name] = None
        if field.required:
            assert check(example) == Rejection(f"missing_metadata:{field.name}")
        else:
            accepted(example)


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_metadata_value_of_another_type_is_refused(kind: EventType, field: MetadataField) -> None:
    for wrong in ("n/a", 7, 7.5, True, ["n/a"], {"n": "a"}):
        if field.accepts(wrong):
            continue
        example = kind.example
        example["metadata"][field.name] = wrong
        assert check(example) == Rejection(f"invalid_metadata:{field.name}"), wrong


@KINDS
def test_the_kind_of_friction_is_filled_in_and_may_not_contradict(kind: EventType) -> None:
    example = kind.example
    example["metadata"].pop("friction_signal", None)
    metadata = json.loads(accepted(example).metadata_json)
    assert metadata.get("friction_signal") == kind.friction_signal
    if kind.friction_signal is not None:
        example["metadata"]["friction_signal"] = "something_else"
        assert check(example) == Rejection("friction_signal_contradicts")


@KINDS
def test_an_event_without_optional_parts_is_accepted(kind: EventType) -> None:
    example = kind.example
    bare = {key: example[key] for key in ("event_id", "timestamp", "tenant_id", "event_type")}
    if kind.required_metadata:
        bare["metadata"] = {key: example["metadata"][key] for key in kind.required_metadata}
    accepted(bare)


# The first text ever drawn on a machine takes seconds: the table of characters is built then.
@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_fits_the_definition_is_accepted(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(CATALOG.event_types.values())))
    metadata: dict[str, Any] = {"not_listed": data.draw(_VALUES["object"])}
    for field in kind.metadata.values():
        if field.name == "friction_signal":
            continue
        fitting = _COSTS if field.name == "cost_usd" else _VALUES[field.type]
        value = fitting if field.required else st.none() | fitting
        if field.required or data.draw(st.booleans()):
            metadata[field.name] = data.draw(value)
    event = accepted(kind.example | {"metadata": metadata})
    kept = json.loads(event.metadata_json)
    assert {key: kept[key] for key in metadata} == metadata
