"""The event types that come with Ebbtide: which must be there, and what formulas ask of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import ebbtide.catalog
from ebbtide.catalog.loader import EVENT_FIELDS, SIGNALS, EventType, load_catalog
from ebbtide.domain.event import PROMOTED_METADATA

CANONICAL = {
    "API_CALL_RECEIVED",
    "INCIDENT_CREATED",
    "INCIDENT_VIEWED",
    "REPLAY_EXECUTED",
    "EXPORT_GENERATED",
    "CERT_VERIFIED",
    "POLICY_EVALUATED",
    "POLICY_BLOCKED",
    "LLM_CALL_MADE",
    "LLM_CALL_FAILED",
    "INFRA_LIMIT_HIT",
    "SUBSCRIPTION_STARTED",
    "SUBSCRIPTION_CANCELLED",
    "FREEZE_ACTIVATED",
    "LOGIN",
}
FRICTION_TAXONOMY = {
    "INCIDENT_VIEWED_NO_ACTION",
    "REPLAY_STARTED",
    "REPLAY_ABORTED",
    "REPLAY_FAILED",
    "EXPORT_STARTED",
    "EXPORT_ABORTED",
    "EXPORT_FAILED",
    "POLICY_BLOCK_REPEAT",
    "SESSION_STARTED",
    "SESSION_ENDED",
    "SESSION_IDLE_TIMEOUT",
}
FRICTION_SIGNALS = {
    "INCIDENT_VIEWED_NO_ACTION": "viewed_no_action",
    "REPLAY_ABORTED": "user_abort",
    "REPLAY_FAILED": "system_failure",
    "EXPORT_ABORTED": "user_abort",
    "EXPORT_FAILED": "system_failure",
    "POLICY_BLOCK_REPEAT": "policy_friction",
    "SESSION_IDLE_TIMEOUT": "idle_abandon",
}
# What formulas 9, 10 and 13 read, with the type that they need.
READ_BY_FORMULAS = {
    ("INCIDENT_CREATED", "call_id"): "string",
    ("INCIDENT_CREATED", "policies_fired"): "list",
    ("INCIDENT_CREATED", "context_empty"): "boolean",
    ("INCIDENT_CREATED", "input_violation"): "boolean",
    ("INCIDENT_CREATED", "error_type"): "string",
    ("INCIDENT_CREATED", "http_status"): "integer",
    ("INCIDENT_CREATED", "limit"): "string",
    ("INCIDENT_CREATED", "attribution"): "string",
    ("INCIDENT_CREATED", "model"): "string",
    ("INCIDENT_CREATED", "policy_id"): "string",
    ("INCIDENT_CREATED", "policy_version"): "string",
    ("POLICY_EVALUATED", "policy_id"): "string",
    ("POLICY_EVALUATED", "policy_version"): "string",
    ("POLICY_BLOCK_REPEAT", "policy_id"): "string",
    ("LLM_CALL_MADE", "model"): "string",
    ("LLM_CALL_MADE", "tokens_in"): "integer",
    ("LLM_CALL_MADE", "tokens_out"): "integer",
    ("LLM_CALL_FAILED", "model"): "string",
    ("LLM_CALL_FAILED", "error_type"): "string",
    ("LLM_CALL_FAILED", "http_status"): "integer",
    ("INFRA_LIMIT_HIT", "resource"): "string",
    ("INFRA_LIMIT_HIT", "current"): "number",
    ("INFRA_LIMIT_HIT", "limit"): "number",
    ("SUBSCRIPTION_STARTED", "plan"): "string",
    ("SUBSCRIPTION_STARTED", "price_usd"): "number",
    ("SUBSCRIPTION_CANCELLED", "tenure_days"): "number",
}

EVENT_TYPES = load_catalog().event_types
FILES = sorted((Path(ebbtide.catalog.__file__).parent / "event_types").iterdir())


def test_the_15_canonical_types_and_the_11_of_the_friction_taxonomy_are_there() -> None:
    assert (len(CANONICAL), len(FRICTION_TAXONOMY)) == (15, 11)
    assert set(EVENT_TYPES) >= CANONICAL | FRICTION_TAXONOMY
    assert list(EVENT_TYPES) == sorted(EVENT_TYPES)


def test_each_type_has_one_file_named_after_it() -> None:
    assert [file.name for file in FILES] == sorted(f"{name.lower()}.toml" for name in EVENT_TYPES)
    for file in FILES:  # what the loader found is what the files say, none twice and none left out
        said = tomllib.loads(file.read_text("utf-8"))["name"]
        assert EVENT_TYPES[said].name == said == file.stem.upper()


def test_friction_is_seven_types_and_each_says_of_which_kind() -> None:
    signals = {name: kind.friction_signal for name, kind in EVENT_TYPES.items()}
    assert {name: signal for name, signal in signals.items() if signal} == FRICTION_SIGNALS
    assert {n for n, kind in EVENT_TYPES.items() if kind.signal == "friction"} == set(
        FRICTION_SIGNALS
    )


def test_starts_and_sessions_are_intent() -> None:
    for name in ("REPLAY_STARTED", "EXPORT_STARTED", "SESSION_STARTED", "SESSION_ENDED"):
        assert EVENT_TYPES[name].signal == "intent"


def test_every_signal_is_used() -> None:
    assert {kind.signal for kind in EVENT_TYPES.values()} == set(SIGNALS)


def test_nothing_is_required_but_what_the_formulas_require() -> None:
    required = {n: set(k.required_metadata) for n, k in EVENT_TYPES.items() if k.required_metadata}
    assert required == {
        "POLICY_BLOCK_REPEAT": {"policy_id"},
        "INFRA_LIMIT_HIT": {"resource", "current", "limit"},
    }


@pytest.mark.parametrize(("name", "key"), READ_BY_FORMULAS, ids="-".join)
def test_what_the_formulas_read_is_listed_with_its_type(name: str, key: str) -> None:
    assert EVENT_TYPES[name].metadata[key].type == READ_BY_FORMULAS[name, key]


def test_a_key_with_a_column_is_listed_somewhere() -> None:
    listed = {key for kind in EVENT_TYPES.values() for key in kind.metadata}
    assert set(PROMOTED_METADATA) <= listed


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=lambda kind: kind.name)
def test_the_example_shows_most_of_the_type(kind: EventType) -> None:
    example = kind.example
    assert list(example) == [field for field in EVENT_FIELDS if field in example]
    assert example["source"]
    shown = set(example["metadata"])
    assert len(shown) >= len(kind.metadata) / 2


def test_examples_are_different_events() -> None:
    ids = [kind.example["event_id"] for kind in EVENT_TYPES.values()]
    assert len(set(ids)) == len(ids)


def test_an_example_changed_by_its_reader_stays_whole_for_the_next() -> None:
    kind = EVENT_TYPES["LOGIN"]
    kind.example["metadata"].clear()
    assert kind.example["metadata"]
