"""The methods per event type say exactly what the catalog says, and send what they were given."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from event_server import EventServer

from ebbtide import Emitter
from ebbtide.catalog.loader import EVENT_FIELDS, EventType, load_catalog
from ebbtide.client import generate, typed_methods
from ebbtide.client.typed_methods import TypedMethods

MakeEmitter = Callable[..., Emitter]
EVENT_TYPES = load_catalog().event_types


def parameters(method: Any) -> dict[str, inspect.Parameter]:
    named = dict(inspect.signature(method).parameters)
    for name in ("self", "tenant_id", "event"):
        del named[name]
    return named


def test_the_committed_file_is_up_to_date() -> None:
    committed = Path(typed_methods.__file__).read_text(encoding="utf-8")
    assert committed == generate.generate(), "run python -m ebbtide.client.generate"


def test_it_does_not_read_the_catalog_at_run_time() -> None:
    script = (
        "import sys, ebbtide.client.emitter;"
        "assert not [m for m in sys.modules if m.startswith('ebbtide.catalog')]"
    )
    source_dir = Path(typed_methods.__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(source_dir)}, check=True, timeout=30
    )


def test_there_is_one_method_per_event_type() -> None:
    methods = {
        name
        for name, value in vars(TypedMethods).items()
        if inspect.isfunction(value) and not name.startswith("_") and name != "emit"
    }
    assert methods == {name.lower() for name in EVENT_TYPES}


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda t: t.name)
def test_parameters_are_the_metadata_keys(event_type: EventType) -> None:
    named = parameters(getattr(TypedMethods, event_type.name.lower()))
    # What is not a parameter is filled in by the server, or is a field of the event itself.
    left_out = {"friction_signal", "cost_table"} | (set(EVENT_FIELDS) - {"source"})
    assert set(named) == set(event_type.metadata) - left_out
    for name, parameter in named.items():
        is_required = parameter.default is inspect.Parameter.empty
        assert is_required == event_type.metadata[name].required
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda t: t.name)
def test_the_catalogs_example_can_be_sent_by_its_method(
    server: EventServer, make_emitter: MakeEmitter, event_type: EventType
) -> None:
    example = event_type.example
    fields = {k: v for k, v in example.items() if k not in ("event_type", "metadata", "source")}
    method = parameters(getattr(TypedMethods, event_type.name.lower()))
    given = dict(example.get("metadata", {}))
    typed = {key: given.pop(key) for key in list(given) if key in method}
    emitter = make_emitter(source=example.get("source"))
    send = getattr(emitter, event_type.name.lower())
    assert send(fields.pop("tenant_id"), **typed, **fields, metadata=given) == example["event_id"]
    assert emitter.flush()
    (arrived,) = server.stored.values()
    example.setdefault("metadata", {})
    assert arrived == example


def test_absent_metadata_is_left_out_and_own_keys_travel_along(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    emitter = make_emitter()
    own = {"colour": "red", "incident_id": "overridden"}
    emitter.replay_executed("beta", incident_id="inc_1", cost_usd=Decimal("0.0019"), metadata=own)
    emitter.login(user_id=UUID(int=1))
    assert emitter.flush()
    replay, login = server.stored.values()
    assert replay["tenant_id"] == "beta"
    assert replay["event_type"] == "REPLAY_EXECUTED"
    assert replay["metadata"] == {"colour": "red", "incident_id": "inc_1"}
    assert replay["cost_usd"] == 0.0019
    assert login["tenant_id"] == "acme"
    assert login["metadata"] == {}
    assert own == {"colour": "red", "incident_id": "overridden"}


def test_metadata_of_a_wrong_kind_is_the_servers_to_judge(
    server: EventServer, make_emitter: MakeEmitter
) -> None:
    emitter = make_emitter()
    emitter.login(metadata=["not", "a", "mapping"])  # type: ignore[arg-type]
    assert emitter.flush()
    assert next(iter(server.stored.values()))["metadata"] == ["not", "a", "mapping"]


def test_a_misspelt_keyword_is_a_type_error(make_emitter: MakeEmitter) -> None:
    with pytest.raises(TypeError, match="incidentid"):
        make_emitter().replay_executed(incidentid="x")  # type: ignore[call-arg]


def test_check_notices_an_outdated_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "typed_methods.py"
    monkeypatch.setattr(generate, "TARGET", target)
    target.write_text("old")
    assert generate.main(["--check"]) == 1
    assert "not up to date" in capsys.readouterr().out
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert json.dumps("REPLAY_EXECUTED") in target.read_text()
