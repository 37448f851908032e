"""``/v1/changes`` and ``/ops/changes`` over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from api_server import Server

V12 = {
    "kind": "policy_version",
    "policy_id": "CONTENT_ACCURACY",
    "policy_version": "v12",
    "previous": "v11",
}


def test_a_change_is_stored_for_each_tenant_and_a_retry_is_safe(fresh: Server) -> None:
    body = V12 | {"event_id": "r-1", "tenants": ["acme", "beta", "acme"], "at": "2026-03-12T10:00Z"}
    assert fresh.admin.post("/v1/changes", body).results == ["stored", "stored"]
    assert fresh.admin.post("/v1/changes", body).results == ["duplicate", "duplicate"]
    page = fresh.admin.get("/ops/changes").json
    assert {one["tenant_id"] for one in page["items"]} == {"acme", "beta"}
    assert {one["policy_version"] for one in page["items"]} == {"v12"}
    # It is an event as any other: its column is filled, so every reader of versions finds it.
    rows = fresh.house.services.events.query(
        "SELECT tenant_id, policy_id, policy_version, source FROM events ORDER BY tenant_id"
    )
    assert rows == [
        ("acme", "CONTENT_ACCURACY", "v12", "changes"),
        ("beta", "CONTENT_ACCURACY", "v12", "changes"),
    ]
    fresh.check_identity()


def test_without_tenants_it_touches_everybody_now(fresh: Server) -> None:
    assert fresh.admin.post("/v1/changes", {"kind": "deploy", "value": "1.8"}).results == ["stored"]
    (one,) = fresh.admin.get("/api/v1/ops/changes").json["items"]
    assert (one["tenant_id"], one["at"], one["value"]) == (None, "2026-03-12T12:00:00Z", "1.8")
    assert fresh.admin.get("/ops/changes", as_of="2026-03-12T11:59:59Z").json["items"] == []


def test_a_bound_key_speaks_for_its_tenant_alone(fresh: Server) -> None:
    key = fresh.client("ingest", "read", tenant="acme")
    assert key.post("/v1/changes", {"kind": "plan", "plan": "team"}).results == ["stored"]
    body = {"kind": "plan", "plan": "team", "tenants": ["beta"]}
    assert key.post("/v1/changes", body).results == ["refused"]
    fresh.admin.post("/v1/changes", {"kind": "deploy"})
    assert [one["tenant_id"] for one in key.get("/ops/changes").json["items"]] == ["acme"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "polcy_version"},
        {"kind": "policy_version", "policy_id": "P"},
        {"kind": "model"},
        {"kind": "deploy", "tenants": []},
        {"kind": "deploy", "what": "x"},
        {"kind": "deploy", "at": "yesterday"},
    ],
)
def test_what_says_nothing_is_refused(server: Server, body: dict[str, Any]) -> None:
    assert server.admin.post("/v1/changes", body).status == 422
    assert server.num_stored() == 0
