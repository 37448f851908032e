"""``replay`` and ``replay-policy``: begun, waited for, and told."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import Command

from ebbtide.app.house import House
from ebbtide.app.main import connect
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings
from ebbtide.domain.call import Call, Message
from scripted_models import ScriptedModels, answer

NOW = datetime.now(UTC)
POLICY = {
    "id": "CLAIMS",
    "version": "v12",
    "title": "Claims",
    "meaning": "A claim.",
    "stages": ["output"],
    "action": "block",
    "severity": 4,
    "rules": [{"name": "yes", "says": "It says yes.", "when": "output.startsWith('Yes')"}],
}
CALL = Call(
    call_id="call_1",
    tenant_id="acme",
    at=NOW - timedelta(minutes=5),
    model="gpt-4o-mini",
    provider="house",
    messages=(Message("user", "Does it renew?"),),
    output="Yes \x1b[31mit[/] does.",
)


@pytest.fixture
def ebbtide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """The command beside a server with a provider, a policy in force and a recorded call."""
    models = ScriptedModels()
    models.say = lambda _: answer("No <b>idea</b>.")
    upstreams = tmp_path / "upstreams.toml"
    upstreams.write_text(
        f'[[upstream]]\nid = "house"\nallow_private = true\nmodels = ["gpt-4o*"]\n'
        f'base_url = "http://127.0.0.1:{models.port}/v1"\n'
    )
    folder = tmp_path / "data"
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "300")
    key = b64encode(b"k" * 32).decode()
    settings = Settings(data_dir=folder, upstreams=upstreams, recording_key=key)  # type: ignore[arg-type]
    with House(settings) as house, serving_aside(house):
        recorder = house.services.guard.recorder
        recorder.choose("acme", is_on=True, retention_days=30, at=NOW, by="t")
        recorder.keep([(CALL, ["CLAIMS"]), (replace(CALL, call_id="call_2"), ["CLAIMS"])])
        with connect() as door:
            for version in ("v12", "v13"):
                rules = (
                    POLICY["rules"]
                    if version == "v12"
                    else [{"name": "no", "says": "It says no.", "when": "output.startsWith('No')"}]
                )
                one = POLICY | {"version": version, "rules": rules}
                door.post("/ops/policies", {"definition": json.dumps(one)})
            incident = {
                "tenant_id": "acme",
                "event_type": "INCIDENT_CREATED",
                "timestamp": (NOW - timedelta(minutes=4)).isoformat(),
                "entity_id": "inc_1",
                "severity": 4,
                "metadata": {"call_id": "call_1"},
            }
            assert door.post("/v1/events", [incident])["stored"] == 1
        yield Command(folder, "beside a server")
    models.close()


def test_an_incident_is_replayed_a_policy_tried_and_what_cannot_be_is_refused(
    ebbtide: Command,
) -> None:
    told = ebbtide("replay", "inc_1", "--policy", "CLAIMS=v13", "--samples", "2")
    assert "Yes \\x1b[31mit[/] does." in told  # foreign text stays text
    assert "No <b>idea</b>." in told
    assert "CLAIMS v13 blocked" in told
    assert "done; " in told
    found = ebbtide.json("replay", "inc_1", "--model", "gpt-4o")
    assert found["samples"][0]["comparison"]["determinism"]["reason"] == "another model"

    told = ebbtide("replay-policy", "CLAIMS", "--before", "v12", "--after", "v13")
    assert "2 calls judged; prp_" in told
    found = ebbtide.json("replay-policy", "CLAIMS", "--before", "v12", "--after", "v13")
    assert (found["total"]["num_blocked_before"], found["total"]["num_blocked_after"]) == (2, 0)

    assert "takes ID=VERSION" in ebbtide.run("replay", "inc_1", "--policy", "CLAIMS").output
    for words in (("replay", "nothing"), ("replay", "inc_1", "--model", "llama")):
        assert ebbtide.run(*words).exit_code == 1
