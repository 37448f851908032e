"""``/ops/incidents``: heatmap, causes, patterns, regressions and stories over real HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from api_server import NOON, Server, event

from ebbtide.domain.time import format_instant

MINUTE = timedelta(minutes=1)


def incident(minutes_ago: int, name: str, tenant: str = "acme", **more: Any) -> dict[str, Any]:
    """An incident so many minutes before noon; the other words are its metadata."""
    severity = more.pop("severity", 3)
    return event(
        event_id=f"event of {name}",
        timestamp=format_instant(NOON - minutes_ago * MINUTE),
        tenant_id=tenant,
        event_type="INCIDENT_CREATED",
        entity_id=name,
        severity=severity,
        metadata=more,
    )


def send(server: Server, *events: dict[str, Any]) -> None:
    assert set(server.admin.send(*events).results) == {"stored"}


def get(server: Server, path: str, **params: Any) -> dict[str, Any]:
    answer = server.admin.get(path, **params)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


def test_the_heatmap_adds_up_and_shows_the_unknown(fresh: Server) -> None:
    p = {"policy_id": "P", "policy_version": "v1"}
    send(
        fresh,
        incident(10, "i-1", model="m1", severity=4, **p),
        incident(20, "i-2", model="m1", severity=1, **p),
        incident(30, "i-3", model="m2", severity=5),
        incident(24 * 60, "too-old", model="m2"),
    )
    body = get(fresh, "/ops/incidents/heatmap")
    assert body["num_incidents"] == 3
    assert [
        (row["model"], row["num_incidents"], row["share_pct"], row["mean_severity"])
        for row in body["by_model"]
    ] == [("m1", 2, 66.7, 2.5), ("m2", 1, 33.3, 5.0)]
    assert [row["policy_id"] for row in body["by_policy"]] == ["P", None]
    assert len(body["by_model_and_policy"]) == 2
    assert get(fresh, "/api/v1/ops/incidents/heatmap", hours=48)["num_incidents"] == 4
    since = format_instant(NOON - 15 * MINUTE)
    assert get(fresh, "/ops/incidents/heatmap", since=since)["num_incidents"] == 1


def test_every_incident_has_a_cause_and_a_person_can_correct_it(fresh: Server) -> None:
    send(
        fresh,
        incident(10, "i-1", limit="cost"),
        incident(20, "i-2", limit="cost"),
        incident(5, "i-3", trigger_type="user_report"),
    )
    body = get(fresh, "/ops/incidents/attribution")
    assert body["num_incidents"] == 3
    assert [(one["attribution"], one["num_incidents"]) for one in body["shares"]] == [
        ("BUDGET_EXCEEDED", 3)
    ]
    assert body["num_in_review"] == 1
    (waiting,) = body["review_queue"]
    assert waiting["incident_id"] == "i-3"
    assert waiting["cause"]["attribution_rule"] == "fallback"
    assert waiting["cause"]["attribution_confidence"] == 0.2
    before = format_instant(fresh.clock())
    fresh.clock.advance(minutes=1)
    said = {"attribution": "CONTEXT_MISSING", "note": "The index was stale."}
    answer = fresh.admin.post("/ops/incidents/i-3/attribution", said)
    assert answer.status == 200, answer.body
    assert answer.json["cause"] == {
        "attribution": "CONTEXT_MISSING",
        "attribution_rule": "corrected",
        "attribution_confidence": 1.0,
        "evidence": "The index was stale.",
        "needs_review": False,
        "by_rule": "BUDGET_EXCEEDED",
    }
    assert get(fresh, "/ops/incidents/attribution")["num_in_review"] == 0
    # What was known before the correction stays as it was.
    assert get(fresh, "/ops/incidents/attribution", known_at=before)["num_in_review"] == 1
    assert get(fresh, "/ops/incidents/i-3")["incident"]["cause"]["attribution"] == (
        "CONTEXT_MISSING"
    )


def test_a_correction_must_be_one_of_six_about_one_incident(fresh: Server) -> None:
    send(fresh, incident(1, "same", "acme"), incident(1, "same/2", "beta"))
    send(fresh, incident(2, "same/2", "gamma"))
    path = "/ops/incidents/same/attribution"
    assert fresh.admin.post(path, {"attribution": "BAD_LUCK"}).status == 422
    good = {"attribution": "USER_MISUSE"}
    assert fresh.client("read").post(path, good).status == 403
    assert fresh.admin.post("/ops/incidents/none/attribution", good).status == 404
    assert fresh.admin.post("/ops/incidents/same/2/attribution", good).status == 422
    path = "/ops/incidents/same/2/attribution?tenant_id=beta"
    assert fresh.admin.post(path, good).json["tenant_id"] == "beta"


def test_the_story_of_an_incident(fresh: Server) -> None:
    call = {"call_id": "call-1", "policy_id": "P", "policy_version": "v2", "model": "m1"}
    at = format_instant(NOON - 10 * MINUTE)
    send(
        fresh,
        incident(10, "i-1", context_empty=True, **call),
        event(event_type="POLICY_EVALUATED", timestamp=at, metadata=call),
        event(event_type="LLM_CALL_MADE", timestamp=at, entity_id="call-1", cost_usd=0.5),
        event(event_type="LLM_CALL_MADE", timestamp=at, entity_id="call-2", cost_usd=8),
        incident(60, "i-2", policy_id="P", policy_version="v2", model="m1"),
        incident(60, "i-3", "beta", policy_id="P", policy_version="v2", model="m1"),
        incident(60, "i-4", policy_id="P", policy_version="v1", model="m1"),
    )
    body = get(fresh, "/ops/incidents/i-1")
    assert body["incident"]["cause"]["attribution"] == "CONTEXT_MISSING"
    assert sorted(one["event_type"] for one in body["call"]) == [
        "LLM_CALL_MADE",
        "POLICY_EVALUATED",
    ]
    assert body["cost_usd"] == 0.5
    assert (body["num_similar_30d"], body["num_similar_all_tenants_30d"]) == (1, 2)
    assert [one["incident_id"] for one in body["similar"]] == ["i-2"]
    bound = fresh.client("read", tenant="acme")
    assert bound.get("/ops/incidents/i-1").json["num_similar_all_tenants_30d"] == 1
    assert bound.get("/ops/incidents/i-3").status == 404
    assert bound.get("/ops/incidents/heatmap").status == 403
    assert fresh.admin.get("/ops/incidents/i-1", as_of="2026-03-12T11:49:59Z").status == 404


def test_the_list_is_in_pages_with_causes(fresh: Server) -> None:
    send(fresh, *(incident(n, f"i-{n}", "beta" if n % 2 else "acme") for n in range(1, 6)))
    first = get(fresh, "/ops/incidents", limit=3)
    assert [one["incident_id"] for one in first["items"]] == ["i-1", "i-2", "i-3"]
    rest = get(fresh, "/ops/incidents", limit=3, cursor=first["next_cursor"], as_of=first["as_of"])
    assert [one["incident_id"] for one in rest["items"]] == ["i-4", "i-5"]
    assert rest["next_cursor"] is None
    bound = fresh.client("read", tenant="acme").get("/ops/incidents").json
    assert {one["tenant_id"] for one in bound["items"]} == {"acme"}


def test_patterns_rank_tenants_and_show_samples(fresh: Server) -> None:
    for tenant, num in (("acme", 2), ("beta", 5), ("gamma", 1), ("delta", 3)):
        blocked = {"event_type": "POLICY_BLOCKED", "tenant_id": tenant}
        send(fresh, *(event(**blocked) for _ in range(num)))
    body = get(fresh, "/ops/incidents/patterns")
    rows = {one["pattern"]: one for one in body["patterns"]}
    assert list(rows) == ["policy_block", "llm_failure", "infra_limit", "freeze"]
    block = rows["policy_block"]
    assert (block["count_24h"], block["count_7d"], block["trend"]) == (11, 11, "increasing")
    assert [one["tenant_id"] for one in block["top_tenants"]] == ["beta", "delta", "acme"]
    assert len(block["samples"]) == 5
    assert (rows["freeze"]["trend"], rows["freeze"]["trend_reason"]) == (None, "no_activity")


def test_a_bad_version_is_named_with_whom_it_hit_and_what_to_do(fresh: Server) -> None:
    def checked(minutes_ago: int, version: str) -> dict[str, Any]:
        at = format_instant(NOON - minutes_ago * MINUTE)
        metadata = {"policy_id": "P", "policy_version": version}
        return event(event_type="POLICY_EVALUATED", timestamp=at, metadata=metadata)

    old = {"policy_id": "P", "policy_version": "v11"}
    new = {"policy_id": "P", "policy_version": "v12"}
    send(fresh, *(checked(3 * 24 * 60 + n, "v11") for n in range(400)))
    send(fresh, *(incident(2 * 24 * 60 + n, f"old-{n}", severity=2, **old) for n in range(8)))
    send(fresh, *(checked(n, "v12") for n in range(50)))
    assert get(fresh, "/ops/incidents/regressions")["regressions"] == []
    send(fresh, *(incident(2 * n, f"new-{n}", severity=4, **new) for n in range(10)))
    body = get(fresh, "/ops/incidents/regressions")
    (found,) = body["regressions"]
    assert (found["policy_id"], found["new"]["policy_version"]) == ("P", "v12")
    assert found["found_by"] == ["rate", "severity"]
    assert found["affected_tenants"] == [{"tenant_id": "acme", "num_incidents": 10}]
    assert found["mean_severity_change"] == 2.0
    assert found["first_seen_at"] == "2026-03-12T11:11:00Z"
    assert found["first_hour"] == "2026-03-12T11:00:00Z"
    assert 30 < found["minutes_to_detect"] < 49
    assert found["rollback_hint"].startswith("Go back to v11 of P for the 1 tenant affected")
    assert [one["policy_id"] for one in body["day_over_day"]] == ["P"]
    earlier = get(fresh, "/ops/incidents/regressions", as_of=found["detected_at"])
    assert len(earlier["regressions"]) == 1
