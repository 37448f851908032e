"""Policies over HTTP: versions, who has which, going back, and what is recorded of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from api_server import Answer, Server

from ebbtide.catalog.policy import load_policies

LONG = {
    "id": "LONG",
    "version": "v1",
    "title": "Long answers",
    "meaning": "The answer is long.",
    "stages": ["output"],
    "action": "warn",
    "severity": 2,
    "rules": [{"name": "long", "when": "size(output) > 10", "says": "It is long."}],
}


def add(server: Server, **changes: Any) -> Answer:
    return server.admin.post("/ops/policies", {"definition": json.dumps(LONG | changes)})


def assign(server: Server, version: str, policy: str = "LONG", **body: Any) -> Answer:
    whom = {} if "tenants" in body else {"default": True}
    said = {"version": version, "reason": "a try", "confirm": True} | whom | body
    server.clock.advance(minutes=1)
    return server.admin.post(f"/ops/policies/{policy}/assign", said)


def held(server: Server, tenant: str) -> dict[str, str]:
    """What a tenant has, as the proxy is told."""
    found = server.house.services.policies.versions_for(tenant)
    return {one.policy_id: one.version for one in found}


@pytest.fixture(scope="module", autouse=True)
def versions(server: Server) -> Iterator[None]:
    """Three versions of one policy."""
    for number in (1, 2, 3):
        assert add(server, version=f"v{number}", severity=number).status == 201
    yield


def test_those_that_come_along_hold_for_all_from_the_start(server: Server) -> None:
    ours = {one.policy_id: one.version for one in load_policies()}
    assert held(server, "anybody") == ours
    listed = {one["policy_id"]: one for one in server.admin.get("/ops/policies").json["items"]}
    assert {name: listed[name]["default_version"] for name in ours} == ours
    shown = server.admin.get("/ops/policies/PII_FILTER").json
    (version,) = shown["versions"]
    assert [rule["detector"] for rule in version["rules"]] == ["pii", "pii"]
    assert shown["assignments"][0]["assigned_by"] == "ebbtide"


def test_a_version_never_changes(server: Server) -> None:
    again = add(server, version="v1", severity=1)
    assert (again.status, again.json["is_new"]) == (200, False)
    other = add(server, version="v1", severity=5)
    assert other.status == 409 and "never changes" in other.json["detail"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"severity": 9}, "severity"),
        ({"rules": [{"name": "a", "says": "b", "when": "price > 1"}]}, "no variable"),
        ({"rules": [{"name": "a", "says": "b", "when": "(" * 90 + "1"}]}, "deep"),
        ({"id": "lower"}, "id"),
        ({"title": "a\0"}, "character"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(
    server: Server, changes: dict[str, Any], said: str
) -> None:
    answer = add(server, version="v9", **changes)
    assert answer.status == 422 and said in answer.json["detail"]


def test_an_assignment_holds_at_once_and_stands_among_the_changes(server: Server) -> None:
    made = assign(server, "v1", tenants=["acme", "beta"])
    assert made.status == 201 and made.json["is_recorded"]
    assert held(server, "acme")["LONG"] == "v1" and "LONG" not in held(server, "gamma")
    assign(server, "v2", tenants=["acme"])
    assert held(server, "acme")["LONG"] == "v2" and held(server, "beta")["LONG"] == "v1"
    changes = server.admin.get("/ops/changes").json["items"]
    mine = [one for one in changes if one["tenant_id"] == "acme" and one["policy_id"] == "LONG"]
    assert [(one["policy_version"], one["previous"]) for one in mine[:2]] == [
        ("v2", "v1"),
        ("v1", "off"),
    ]
    assert mine[0]["kind"] == "policy_version" and mine[0]["note"] == "a try"


def test_going_back_goes_back_and_not_to_and_fro(server: Server) -> None:
    for version in ("v1", "v2", "v3"):
        assert assign(server, version, tenants=["delta"]).status == 201
    body = {"tenants": ["delta"], "reason": "worse", "confirm": True}
    for expected in ("v2", "v1"):
        answer = server.admin.post("/ops/policies/LONG/rollback", body)
        assert answer.status == 201 and held(server, "delta")["LONG"] == expected
    answer = server.admin.post("/ops/policies/LONG/rollback", body)
    assert answer.status == 409 and held(server, "delta")["LONG"] == "v1"


def test_an_act_is_taken_back_whole_unless_more_was_decided(server: Server) -> None:
    assign(server, "v1", tenants=["one"])
    act = assign(server, "v2", tenants=["one", "two"]).json["assignment_id"]
    body = {"reason": "a slip", "confirm": True}
    undone = server.admin.post(f"/ops/policies/assignments/{act}/undo", body)
    assert undone.status == 201
    assert held(server, "one")["LONG"] == "v1" and "LONG" not in held(server, "two")
    assert {one["undoes"] for one in undone.json["items"]} == {act}
    again = server.admin.post(f"/ops/policies/assignments/{act}/undo", body)
    assert again.status == 409
    back = undone.json["assignment_id"]
    assert server.admin.post(f"/ops/policies/assignments/{back}/undo", body).status == 201
    assert held(server, "two")["LONG"] == "v2"
    assert server.admin.post("/ops/policies/assignments/none/undo", body).status == 404


def test_off_and_default_are_words_of_their_own(server: Server) -> None:
    assign(server, "v1")
    assert held(server, "somebody")["LONG"] == "v1"
    assign(server, "off", tenants=["quiet"])
    assert "LONG" not in held(server, "quiet")
    assign(server, "default", tenants=["quiet"])
    assert held(server, "quiet")["LONG"] == "v1"
    assert assign(server, "default").status == 422
    assert assign(server, "off").status == 201
    assert "LONG" not in held(server, "quiet")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"confirm": False}, 422),
        ({"tenants": ["a"], "default": True}, 422),
        ({"tenants": []}, 422),
        ({"default": False}, 422),
        ({"reason": "  "}, 422),
        ({"reason": "a\0"}, 422),
        ({"tenant_id": "b"}, 422),
    ],
)
def test_who_does_not_say_it_whole_changes_nothing(
    server: Server, body: dict[str, Any], status: int
) -> None:
    before = server.admin.get("/ops/policies/LONG").json["assignments"]
    assert assign(server, "v1", **body).status == status
    assert server.admin.get("/ops/policies/LONG").json["assignments"] == before


def test_what_there_is_not_is_not_found(server: Server) -> None:
    assert assign(server, "v77").status == 404
    assert assign(server, "v1", policy="NOTHING").status == 404
    assert assign(server, "off", policy="NOTHING").status == 404
    assert server.admin.get("/ops/policies/NOTHING").status == 404


def test_the_past_is_as_it_was(server: Server) -> None:
    assign(server, "v1", tenants=["past"])
    then = server.clock.now
    assign(server, "v3", tenants=["past"])
    services = server.house.services
    assert "v1" in [one.version for one in services.policies.in_force("past", then)]
    shown = server.admin.get("/ops/policies/LONG", as_of=then.isoformat()).json
    assert shown["tenants"]["past"] == "v1"
    earlier = (then - timedelta(days=900)).isoformat()
    assert server.admin.get("/ops/policies", as_of=earlier).json["items"] == []
    assert server.admin.get("/ops/policies/LONG", as_of=earlier).status == 404


def test_a_change_of_another_process_holds_soon(server: Server) -> None:
    """Another process writes to the same store; this one looks once a second."""
    from ebbtide.guard.assigned import AssignedPolicies

    other = AssignedPolicies(server.house.services.state)
    assert "LONG" not in {one.policy_id for one in other.versions_for("soon")}
    assign(server, "v2", tenants=["soon"])
    assert "LONG" not in {one.policy_id for one in other.versions_for("soon")}
    other._renew_at = 0.0  # the second is over
    assert "v2" in {one.version for one in other.versions_for("soon") if one.policy_id == "LONG"}


def test_an_erased_tenant_leaves_no_assignment(server: Server) -> None:
    assign(server, "v2", tenants=["forgotten"])
    server.house.services.state.erase_tenant("forgotten", server.clock.now)
    assert "forgotten" not in server.admin.get("/ops/policies/LONG").json["tenants"]
