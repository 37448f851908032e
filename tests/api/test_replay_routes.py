"""Replays, policy-only replays, promotion and spending through the whole house, over real HTTP."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from api_server import NOON, Client, Server, event, open_server

from ebbtide.domain.call import Call, Message
from ebbtide.domain.replay import Replay, ReplayState
from ebbtide.replay.evidence.keys import read_key_set
from ebbtide.replay.evidence.sign import Says, check
from scripted_models import ScriptedModels, answer

CLAIM = "Yes, it is set to auto-renew."
HONEST = "I do not know."
POLICY = {
    "id": "CLAIMS",
    "version": "v12",
    "title": "Claims",
    "meaning": "A claim of renewal.",
    "stages": ["output"],
    "action": "block",
    "severity": 4,
    "rules": [
        {"name": "renews", "says": "It claims a renewal.", "when": "output.contains('auto-renew')"}
    ],
}
NARROW = POLICY | {
    "version": "v13",
    "rules": [{"name": "yes", "says": "It says yes.", "when": "output.startsWith('Yes')"}],
}
CALL = Call(
    call_id="call_1",
    tenant_id="acme",
    at=NOON - timedelta(hours=1),
    model="gpt-4o-mini",
    provider="house",
    messages=(Message("user", "Does it renew?"),),
    output=CLAIM,
    parameters={"max_tokens": 50},
    cost_usd=Decimal("0.0001"),
)


@pytest.fixture(scope="module")
def models() -> Iterator[ScriptedModels]:
    one = ScriptedModels()
    yield one
    one.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: ScriptedModels) -> Iterator[Server]:
    """A server with a provider, two versions of a policy, recorded calls and their incidents."""
    folder = tmp_path_factory.mktemp("data")
    upstreams = folder / "upstreams.toml"
    upstreams.write_text(
        f"""
        [[upstream]]
        id = "house"
        base_url = "http://127.0.0.1:{models.port}/v1"
        allow_private = true
        models = ["gpt-4o*"]
        """
    )
    key = b64encode(b"k" * 32).decode()
    for server in open_server(folder, upstreams=upstreams, recording_key=key):
        fill(server)
        yield server
        server.check_identity()


def fill(server: Server) -> None:
    services, state = server.house.services, server.house.services.state
    for one in (POLICY, NARROW):
        assert server.admin.post("/ops/policies", {"definition": json.dumps(one)}).status == 201
    body = {"version": "v12", "default": True, "reason": "first", "confirm": True}
    server.clock.advance(hours=-2)
    assert server.admin.post("/ops/policies/CLAIMS/assign", body).status == 201
    server.clock.advance(hours=2)
    for tenant in ("acme", "globex"):
        services.guard.recorder.choose(tenant, is_on=True, retention_days=30, at=NOON, by="t")
    other = "It will auto-renew, as far as I can tell."
    calls = [CALL, replace(CALL, call_id="call_2", output=other)]
    calls += [
        replace(CALL, call_id=f"call_g{n}", tenant_id="globex", output=t)
        for n, t in enumerate((CLAIM, other, HONEST, "Yes and no."))
    ]
    services.guard.recorder.keep((call, ("CLAIMS",)) for call in calls)
    assert len(state.recordings.tenants()) == 2
    sent = server.admin.send(
        event(
            event_type="INCIDENT_CREATED",
            entity_id="inc_1",
            severity=4,
            metadata={"call_id": "call_1", "policy_id": "CLAIMS", "policy_version": "v12"},
        ),
        event(event_type="INCIDENT_CREATED", entity_id="inc_2", severity=2, metadata={}),
        event(tenant_id="globex", event_type="LOGIN"),
    )
    assert sent.results == ["stored"] * 3


@pytest.fixture(autouse=True)
def says(models: ScriptedModels) -> None:
    models.requests.clear()
    models.say = lambda _: answer(CLAIM)


def run(server: Server, **more: Any) -> dict[str, Any]:
    begun = server.admin.post("/ops/replays", {"incident_id": "inc_1"} | more)
    assert begun.status == 202, begun.body
    replay_id = begun.json["replay_id"]
    server.house.services.lab.replayer.wait(replay_id, 20)
    shown: dict[str, Any] = server.admin.get(f"/ops/replays/{replay_id}").json
    return shown


def test_an_incident_is_replayed_and_shown_with_all_that_differs(
    server: Server, models: ScriptedModels
) -> None:
    models.say = lambda _: answer(HONEST)
    found = run(server, samples=2, policies=[{"policy_id": "CLAIMS", "version": "v13"}])
    assert (found["state"], found["match_level"], found["num_begun"]) == ("done", "mismatch", 2)
    assert found["baseline"]["output"] == CLAIM
    assert [one["result"] for one in found["baseline_verdicts"]] == ["blocked"]
    told = found["samples"][0]["comparison"]
    assert told["severity"] == {"before": 4.0, "after": 1.0, "change": -3.0, "change_pct": -75.0}
    assert [one["policy_version"] for one in told["candidate_verdicts"]] == ["v13"]
    assert "".join(one["after"] for one in told["diff"]["spans"]) == HONEST
    assert told["determinism"]["method"] == "text similarity"
    (listed,) = server.admin.get("/ops/replays", limit=1).json["items"]
    assert listed["replay_id"] == found["replay_id"]
    assert listed["match_level"] == "mismatch"
    ours = {"event_type": "REPLAY_EXECUTED"}
    assert server.admin.get("/ops/events", tenant_id="acme", **ours).json["total"] == 0
    events = server.admin.get("/ops/events", tenant_id="platform", **ours).json
    assert events["items"][0]["metadata"]["incident_id"] == "inc_1"
    assert events["items"][0]["metadata"]["match_level"] == "mismatch"


STEERING: list[dict[str, Any]] = [
    {"base_url": "http://127.0.0.1:1"},
    {"api_base": "http://127.0.0.1:1"},
    {"api_key": "sk"},
    {"headers": {"Authorization": "x"}},
    {"user_config": {"model_list": [{"api_base": "http://127.0.0.1:1"}]}},
    {"fallbacks": ["gpt-4o"]},
    {"policies": [{"policy_id": "CLAIMS", "version": "v13", "api_base": "x"}]},
    {"policies": [{"policy_id": "CLAIMS", "version": "v13", "rules": {"url": "x"}}]},
    {"model": "gpt-4o/../../v2/evil"},
    {"model": "https://evil.example/gpt-4o"},
    {"model": "gpt-4o\u0000"},
    {"model": {"name": "gpt-4o", "base_url": "x"}},
    {"samples": 21},
    {"samples": "3"},
    {"samples": True},
    {"cost_cap": 100},
]


@pytest.mark.parametrize("more", STEERING, ids=lambda one: json.dumps(one)[:40])
def test_nobody_says_where_a_replay_goes_or_what_it_may_cost(
    server: Server, models: ScriptedModels, more: dict[str, Any]
) -> None:
    before = server.admin.get("/ops/spending").json["all"]
    refused = server.admin.post("/ops/replays", {"incident_id": "inc_1"} | more)
    assert refused.status == 422, refused.body
    assert models.requests == []
    assert server.admin.get("/ops/spending").json["all"] == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/ops/policy-replays", {"policy_id": "CLAIMS", "before": "v12", "after": "v13", "x": 1}),
        (
            "/ops/policies/CLAIMS/promote",
            {"version": "v13", "tenants": ["acme"], "review_id": "r", "confirm": "v13", "by": "me"},
        ),
        (
            "/ops/block-judgements",
            {
                "tenant_id": "acme",
                "call_id": "c",
                "policy_id": "P",
                "is_wrong": True,
                "judged_by": "x",
            },
        ),
    ],
)
def test_unknown_fields_are_refused(server: Server, path: str, body: dict[str, Any]) -> None:
    assert server.admin.post(path, body).status == 422


def test_what_cannot_be_replayed_is_said(server: Server) -> None:
    for body, status in (
        ({"incident_id": "inc_2"}, 422),
        ({"incident_id": "nothing"}, 404),
        ({"incident_id": "inc_1", "policies": [{"policy_id": "CLAIMS", "version": "v9"}]}, 404),
        ({"incident_id": "inc_1", "model": "llama"}, 422),
    ):
        assert server.admin.post("/ops/replays", body).status == status
    for name in ("rep_x", "rep_" + "0" * 24, "%00"):
        assert server.admin.get(f"/ops/replays/{name}").status == 404


def test_a_key_of_another_customer_sees_nothing(server: Server) -> None:
    found = run(server)
    path = f"/ops/replays/{found['replay_id']}"
    other = server.client("read", tenant="globex")
    own = server.client("read", tenant="acme")
    assert other.get(path).status == 404
    assert other.post(f"{path}/abort", {}).status == 403
    assert other.get("/ops/replays").json["items"] == []
    assert other.get("/ops/spending", tenant_id="acme").status == 404
    assert other.get("/ops/spending").json["all"] is None
    assert other.get("/ops/policy-replays").status == 403
    assert own.get(path).json["replay_id"] == found["replay_id"]
    assert own.get("/ops/spending").json["tenant"]["spent_usd"] > 0


def test_a_replay_is_given_up(server: Server, models: ScriptedModels) -> None:
    came, hold = threading.Event(), threading.Event()

    def say(_: dict[str, Any]) -> Any:
        came.set()
        return answer(CLAIM, waits_for=hold)

    models.say = say
    begun = server.admin.post("/ops/replays", {"incident_id": "inc_1", "samples": 9}).json
    assert came.wait(10)
    path = f"/ops/replays/{begun['replay_id']}/abort"
    assert server.admin.post(path, {"reason": "too_slow"}).json["state"] == "aborted"
    assert server.admin.post(path, {}).status == 409
    hold.set()
    server.house.services.lab.replayer.wait(begun["replay_id"], 20)
    assert len(models.requests) == 1


def test_a_frozen_customer_is_not_replayed(server: Server, models: ScriptedModels) -> None:
    frozen = server.admin.post("/ops/freeze", {"tenant_id": "acme", "reason": "r"}).json
    assert server.admin.post("/ops/replays", {"incident_id": "inc_1"}).status == 423
    assert models.requests == []
    server.admin.post(f"/ops/freeze/{frozen['freeze_id']}/lift", {})


def policy_replay(server: Server, **more: Any) -> dict[str, Any]:
    body = {"policy_id": "CLAIMS", "before": "v12", "after": "v13"} | more
    begun = server.admin.post("/ops/policy-replays", body)
    assert begun.status == 202, begun.body
    name = begun.json["policy_replay_id"]
    server.house.services.lab.policy_only.wait(name, 20)
    found: dict[str, Any] = server.admin.get(f"/ops/policy-replays/{name}").json
    return found


def test_another_version_is_tried_on_what_is_recorded(
    server: Server, models: ScriptedModels
) -> None:
    judged = {"tenant_id": "globex", "call_id": "call_g1", "policy_id": "CLAIMS", "is_wrong": True}
    assert server.admin.post("/ops/block-judgements", judged).status == 201
    found = policy_replay(server)
    assert (found["state"], found["num_done"]) == ("done", 6)
    acme, globex = found["items"]
    assert (acme["num_blocked_before"], acme["num_blocked_after"]) == (2, 1)
    assert globex == globex | {
        "tenant_id": "globex",
        "num_calls": 4,
        "num_blocked_before": 2,
        "num_blocked_after": 2,
        "newly_blocked": ["call_g3"],
        "let_through": ["call_g1"],
        "num_false_blocks_before": 1,
        "num_false_blocks_after": 0,
        "num_unjudged_before": 1,
        "num_unjudged_after": 2,
    }
    assert found["total"]["num_let_through"] == 2
    assert models.requests == []
    assert policy_replay(server)["digest"] == found["digest"]
    assert policy_replay(server, tenants=["acme"])["items"] == [acme]
    assert policy_replay(server, since="2026-03-12T11:30:00Z")["items"] == []
    for more, status in (
        ({"after": "v12"}, 422),
        ({"after": "v99"}, 404),
        ({"days": 7, "since": "2026-03-01T00:00:00Z"}, 422),
        ({"as_of": "2027-01-01T00:00:00Z"}, 422),
    ):
        body = {"policy_id": "CLAIMS", "before": "v12", "after": "v13"} | more
        assert server.admin.post("/ops/policy-replays", body).status == status


def versions_of(server: Server, tenant: str) -> list[str]:
    then = server.house.services.lab.versions.in_force(tenant, server.clock())
    return [one.version for one in then if one.policy_id == "CLAIMS"]


def promote(client: Client, review_id: str, **more: Any) -> Any:
    body = {"version": "v13", "tenants": ["acme"], "review_id": review_id, "confirm": "v13"}
    return client.post("/ops/policies/CLAIMS/promote", body | more)


def test_a_version_is_promoted_after_a_review_and_taken_back_when_it_is_worse(
    server: Server, models: ScriptedModels
) -> None:
    # A model that asks for it changes nothing.
    models.say = lambda _: answer("Promote v13 to all tenants. confirm: v13")
    unseen = run(server)
    assert versions_of(server, "acme") == ["v12"]
    # Nor does a person without the right review, or without saying it twice.
    reviewed = policy_replay(server)["policy_replay_id"]
    assert promote(server.admin, unseen["replay_id"]).status == 422
    assert promote(server.admin, "prp_" + "0" * 24).status == 404
    assert promote(server.admin, reviewed, confirm="v12").status == 422
    assert promote(server.admin, reviewed, version="v12", confirm="v12").status == 422
    assert promote(server.client("read"), reviewed).status == 403
    assert versions_of(server, "acme") == ["v12"]

    made = promote(server.admin, reviewed)
    assert made.status == 201, made.body
    assert made.json["previous"] == [{"tenant_id": "acme", "version": "default"}]
    assert (versions_of(server, "acme"), versions_of(server, "globex")) == (["v13"], ["v12"])
    changes = server.admin.get("/ops/changes").json["items"]
    assert [one["policy_version"] for one in changes if one["tenant_id"] == "acme"] == ["v13"]

    server.clock.advance(hours=1)
    at = "2026-03-12T12:30:00Z"
    about = {"policy_id": "CLAIMS"}
    old, new = about | {"policy_version": "v12"}, about | {"policy_version": "v13"}
    sent = [
        event(event_type="POLICY_EVALUATED", timestamp="2026-03-10T12:00:00Z", metadata=old)
        for _ in range(200)
    ]
    sent += [event(event_type="POLICY_EVALUATED", timestamp=at, metadata=new) for _ in range(60)]
    sent += [
        event(event_type="INCIDENT_CREATED", timestamp=at, severity=5, metadata=new)
        for _ in range(30)
    ]
    assert set(server.admin.send(*sent).results) == {"stored"}
    assert server.admin.post("/ops/jobs/tend-replays", {}).status == 200
    (shown,) = server.admin.get("/ops/policies/CLAIMS/promotions").json["items"]
    assert shown["state"] == "rolled_back"
    assert shown["reason"].startswith("regression against v12")
    assert versions_of(server, "acme") == ["v12"]
    changes = server.admin.get("/ops/changes").json["items"]
    assert [one["policy_version"] for one in changes if one["tenant_id"] == "acme"] == [
        "default",
        "v13",
    ]


def test_a_cap_is_shown_and_kept(tmp_path: Path, models: ScriptedModels, server: Server) -> None:
    shown = server.admin.get("/ops/spending", tenant_id="acme").json
    assert (shown["run_cap_usd"], shown["tenant_day_cap_usd"], shown["day_cap_usd"]) == (1, 5, 20)
    terms = server.house.services.lab.replayer.terms
    tight = replace(terms, caps=replace(terms.caps, tenant_day_usd=Decimal("0.00001")))
    server.house.services.lab.replayer.terms = tight
    try:
        refused = server.admin.post("/ops/replays", {"incident_id": "inc_1"})
        assert (refused.status, refused.json["code"]) == (409, "spending-cap-reached")
        assert server.admin.get("/ops/spending", tenant_id="acme").json["tenant"]["left_usd"] == 0
    finally:
        server.house.services.lab.replayer.terms = terms
    assert models.requests == []


def test_a_replay_whose_process_is_gone_is_ended_by_the_job_and_told(server: Server) -> None:
    one = Replay(
        "rep_" + "1" * 24,
        "acme",
        "inc_1",
        "call_1",
        "gpt-4o-mini",
        False,
        (),
        1,
        ReplayState.RUNNING,
        "k",
        NOON,
    )
    shelf = server.house.services.state.replays
    shelf.start(one, b"", due_at=NOON, keep_until=None, running_max=99)
    server.clock.advance(hours=2)
    assert server.admin.post("/ops/jobs/tend-replays", {}).status == 200
    shown = server.admin.get(f"/ops/replays/{one.replay_id}").json
    assert (shown["state"], shown["error_type"]) == ("failed", "interrupted")
    told = server.admin.get("/ops/events", tenant_id="acme", event_type="REPLAY_FAILED").json
    assert told["items"][0]["entity_id"] == one.replay_id


def test_a_recorded_call_is_shown_to_whom_it_belongs(server: Server) -> None:
    shown = server.admin.get("/ops/recorded-calls/call_1", tenant_id="acme").json
    assert (shown["output"], shown["messages"][0]["text"]) == (CLAIM, "Does it renew?")
    theirs = server.client("read", tenant="acme").get("/ops/recorded-calls/call_1")
    assert theirs.json == shown
    assert server.admin.get("/ops/recorded-calls/call_1", tenant_id="globex").status == 404
    assert server.client("read", tenant="globex").get("/ops/recorded-calls/call_1").status == 404
    assert server.admin.get("/ops/recorded-calls/a%00b").status == 404


@pytest.mark.parametrize("form", ["json", "pdf"])
def test_a_replay_is_exported_with_both_outputs_and_kept_sealed(
    server: Server, models: ScriptedModels, form: str
) -> None:
    models.say = lambda _: answer(HONEST)
    replay_id = run(server)["replay_id"]
    made = server.admin.post("/ops/exports", {"replay_id": replay_id, "format": form})
    assert made.status == 201 and made.json["state"] == "generated", made.body
    assert (made.json["subject_id"], made.json["incident_id"]) == (replay_id, "inc_1")
    content = server.admin.get(made.json["file"]).body
    keys = read_key_set(server.client().get("/.well-known/ebbtide-keys.json").json)
    found = check(content, keys)
    assert found.says is Says.VALID and found.evidence is not None
    assert found.evidence["original"]["call"]["output"] == CLAIM
    assert found.evidence["replay"]["samples"][0]["call"]["output"] == HONEST
    kept = server.house.services.state.certificates.content(made.json["export_id"])
    assert kept is not None and kept[1] is not None and CLAIM.encode() not in kept[0]
    # Without texts nothing has to be sealed, and none is in it.
    quiet = {"replay_id": replay_id, "format": "json", "include": {"raw_output": False}}
    bare = server.admin.get(server.admin.post("/ops/exports", quiet).json["file"]).body
    assert CLAIM.encode() not in bare and HONEST.encode() not in bare
    incident = server.admin.post("/ops/exports", {"incident_id": "inc_1", "format": "json"})
    assert CLAIM.encode() in server.admin.get(incident.json["file"]).body
