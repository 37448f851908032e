"""Each type's JSON Schema accepts its example and refuses the example with one thing wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ebbtide.catalog.json_schema import DIALECT, json_schema
from ebbtide.catalog.loader import EventType, load_catalog

EVENT_TYPES = load_catalog().event_types
KINDS = pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.name)

_PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
# What this little reader understands, and what it may pass over because it says nothing to check.
_CHECKED = {
    *("type", "const", "enum", "minimum", "maximum", "minLength", "maxLength"),
    *("properties", "required", "additionalProperties"),
}
_SILENT = {"$schema", "$id", "title", "description", "examples", "format"}


def faults(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Where a value breaks a schema; a reader of the keywords that we write, and of no others."""
    assert set(schema) <= _CHECKED | _SILENT, f"cannot check {set(schema) - _CHECKED - _SILENT}"
    words = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(
        isinstance(value, _PYTHON_TYPES[word])
        and (word == "boolean" or not isinstance(value, bool))
        for word in words
    ):
        return [f"{path}: type"]
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{path}: const")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: enum")
    if isinstance(value, int | float) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        found.append(f"{path}: range")
    if isinstance(value, str) and not (
        schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    ):
        found.append(f"{path}: length")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [
            f"{path}/{key}: required" for key in schema.get("required", []) if key not in value
        ]
        for key, inner in value.items():
            if key in properties:
                found += faults(inner, properties[key], f"{path}/{key}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{path}/{key}: unknown")
    return found


@KINDS
def test_the_example_conforms(kind: EventType) -> None:
    schema = json_schema(kind)
    assert schema["$schema"] == DIALECT
    assert schema["title"] == kind.name
    assert json.loads(json.dumps(schema)) == schema
    assert faults(kind.example, schema) == []
    assert schema["examples"] == [kind.example]


@KINDS
def test_every_metadata_field_is_in_the_schema(kind: EventType) -> None:
    metadata = json_schema(kind)["properties"]["metadata"]
    assert set(metadata["properties"]) == set(kind.metadata)
    assert tuple(metadata["required"]) == kind.required_metadata


@KINDS
def test_a_wrong_type_is_found_at_each_field(kind: EventType) -> None:
    schema = json_schema(kind)
    for name, field in kind.metadata.items():
        example = kind.example
        example["metadata"][name] = 0 if field.type == "string" else "n/a"
        assert f"/metadata/{name}: type" in faults(example, schema)
        example["metadata"][name] = None
        assert bool(faults(example, schema)) is field.required


@KINDS
def test_required_fields_cannot_be_left_out(kind: EventType) -> None:
    schema = json_schema(kind)
    for key in ("tenant_id", "timestamp", "event_type"):
        example = kind.example
        del example[key]
        assert faults(example, schema) == [f"/{key}: required"]
    for key in kind.required_metadata:
        example = kind.example
        del example["metadata"][key]
        assert faults(example, schema) == [f"/metadata/{key}: required"]
    if kind.required_metadata:
        example = kind.example
        del example["metadata"]
        assert faults(example, schema) == ["/metadata: required"]


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("event_type", "LOGIN", "const"),
        ("severity", 6, "range"),
        ("severity", 0, "range"),
        ("latency_ms", -1, "range"),
        ("cost_usd", -0.01, "range"),
        ("tenant_id", "", "length"),
        ("tenant_id", None, "type"),
        ("event_id", "x" * 201, "length"),
        ("session_id", "x" * 201, "length"),
        ("tenant", "acme-ai", "unknown"),
    ],
)
def test_limits_of_the_event_fields(key: str, value: object, fault: str) -> None:
    kind = EVENT_TYPES["REPLAY_ABORTED"]
    assert faults(kind.example | {key: value}, json_schema(kind)) == [f"/{key}: {fault}"]


def test_what_is_not_known_may_be_null() -> None:
    kind = EVENT_TYPES["REPLAY_ABORTED"]
    nulls = dict.fromkeys(("event_id", "user_id", "session_id", "severity", "cost_usd", "metadata"))
    assert faults(kind.example | nulls, json_schema(kind)) == []


def test_a_friction_type_allows_only_its_own_kind() -> None:
    kind = EVENT_TYPES["REPLAY_ABORTED"]
    example = kind.example
    example["metadata"]["friction_signal"] = "idle_abandon"
    assert faults(example, json_schema(kind)) == ["/metadata/friction_signal: enum"]


def test_keys_that_are_not_listed_are_allowed_inside_metadata() -> None:
    kind = EVENT_TYPES["LOGIN"]
    example = kind.example
    example["metadata"]["favourite_colour"] = "green"
    assert faults(example, json_schema(kind)) == []
