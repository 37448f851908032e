"""Revenue over HTTP: money is exact, and what nobody knows is null with its reason."""

from __future__ import annotations

from typing import Any

from api_server import Server, event


def start(tenant: str, at: str = "2026-01-01T00:00:00Z", **metadata: Any) -> dict[str, Any]:
    return event(
        tenant_id=tenant, event_type="SUBSCRIPTION_STARTED", timestamp=at, metadata=metadata
    )


def call(tenant: str, **changes: Any) -> dict[str, Any]:
    return event(tenant_id=tenant, event_type="LLM_CALL_MADE") | changes


def tell(server: Server) -> None:
    """Four tenants: one earns, one costs more than it brings, one is unknown, one has left."""
    tokens = {"model": "gpt-4o-mini", "tokens_in": 1_000_000, "tokens_out": 0}
    answer = server.admin.send(
        start("acme", price_usd=49.9, plan="pro"),
        call("acme", cost_usd=0.1234567891),
        call("acme", metadata=tokens),
        start("beta", price_usd=10),
        call("beta", cost_usd=10.005),
        call("beta", metadata={"model": "nobody", "tokens_in": 5, "tokens_out": 5}),
        event(tenant_id="gamma"),
        event(tenant_id="platform", event_type="CHANGE_RECORDED", metadata={"kind": "deploy"}),
        start("delta", price_usd=20),
        event(
            tenant_id="delta",
            event_type="SUBSCRIPTION_CANCELLED",
            timestamp="2026-03-02T12:00:00Z",
            metadata={"reason": "switched_service"},
        ),
    )
    assert set(answer.results) == {"stored"}


def test_all_together(fresh: Server) -> None:
    tell(fresh)
    body = fresh.admin.get("/ops/revenue").json
    assert (body["mrr_usd"], body["mrr_reason"]) == (59.9, None)
    assert body["mrr"] == {"num_tenants": 2, "mrr_usd": 59.9, "num_without_price": 0}
    assert body["num_paying_unknown"] == 1
    assert (body["churned_mrr_30d_usd"], body["churned"]["num_tenants"]) == (20, 1)
    assert body["churn_labels"] == [
        {"label": "switched_service", "num_tenants": 1, "mrr_usd": 20, "num_without_price": 0}
    ]
    # 49.9 and 10 in full, and 20 of 30 days of 20; costs 0.27 and 10.01, one call unknown.
    assert body["revenue_30d_usd"] == 73.23
    assert (body["llm_cost_30d_usd"], body["num_calls_without_cost"]) == (10.28, 1)
    assert (body["margin_30d_usd"], body["margin_pct"]) == (62.95, 86.0)
    assert body["risk_flags"] == [
        {"flag": "margin_negative", "level": "critical", "num_tenants": 1}
    ]
    assert fresh.admin.get("/api/v1/ops/revenue").json["mrr_usd"] == 59.9


def test_each_by_itself_the_lowest_margin_first(fresh: Server) -> None:
    tell(fresh)
    body = fresh.admin.get("/ops/revenue/tenants").json
    assert [one["tenant_id"] for one in body["items"]] == ["beta", "gamma", "delta", "acme"]
    beta, gamma, _, acme = body["items"]
    assert (beta["margin_usd"], beta["margin_pct"]) == (-0.01, -0.1)
    assert beta["num_calls_without_cost"] == 1
    (flag,) = beta["risk_flags"]
    assert (flag["flag"], flag["level"]) == ("margin_negative", "critical")
    assert acme["llm_cost_usd"] == 0.27 and acme["price_usd"] == 49.9
    assert acme["prices"] == [{"price_usd": 49.9, "source": "event", "reason": None}]
    assert (gamma["paying"], gamma["mrr_usd"]) == ("unknown", None)
    assert gamma["prices"][0]["source"] == "default"
    kept = fresh.admin.get("/v1/events", tenant_id="acme").json["events"]
    tables = [one["metadata"].get("cost_table") for one in kept]
    assert sum(table is not None and table.startswith("genai-prices ") for table in tables) == 1


def test_pages_join_without_a_gap(fresh: Server) -> None:
    tell(fresh)
    seen: list[str] = []
    page = fresh.admin.get("/ops/revenue/tenants", limit=1).json
    while True:
        seen += [one["tenant_id"] for one in page["items"]]
        assert page["total"] == 4
        if page["next_cursor"] is None:
            break
        page = fresh.admin.get("/ops/revenue/tenants", limit=1, cursor=page["next_cursor"]).json
    assert seen == ["beta", "gamma", "delta", "acme"]
    assert fresh.admin.get("/ops/revenue/tenants", cursor="x").status == 400


def test_the_past_is_answered_as_it_was_known(fresh: Server) -> None:
    tell(fresh)
    fresh.clock.advance(hours=1)
    fresh.admin.send(start("late", "2026-02-01T00:00:00Z", price_usd=5))
    asked = {"as_of": "2026-03-01T00:00:00Z"}
    assert fresh.admin.get("/ops/revenue", **asked).json["mrr_usd"] == 84.9
    asked["known_at"] = "2026-03-12T12:30:00Z"
    body = fresh.admin.get("/ops/revenue", **asked).json
    assert (body["mrr_usd"], body["known_at"]) == (79.9, "2026-03-12T12:30:00Z")
    units = fresh.admin.get("/ops/revenue/tenants", **asked).json
    assert "late" not in [one["tenant_id"] for one in units["items"]]
    assert fresh.admin.get("/ops/revenue", as_of="2027-01-01T00:00:00Z").status == 422


def test_nothing_known_is_null_with_a_reason(fresh: Server) -> None:
    body = fresh.admin.get("/ops/revenue").json
    assert (body["mrr_usd"], body["mrr_reason"]) == (None, "no_activity")
    assert (body["margin_30d_usd"], body["margin_reason"]) == (None, "no_activity")
    assert fresh.admin.get("/ops/revenue/tenants").json["items"] == []
    fresh.admin.send(
        start("acme", subscription_id="s", status="active", currency="eur"), call("acme")
    )
    body = fresh.admin.get("/ops/revenue").json
    assert (body["mrr_usd"], body["mrr_reason"]) == (None, "insufficient_data")
    (one,) = fresh.admin.get("/ops/revenue/tenants").json["items"]
    assert (one["price_usd"], one["margin_reason"]) == (None, "price_unknown")
    assert one["prices"] == [{"price_usd": None, "source": "unknown", "reason": "in_eur"}]
    assert one["llm_cost_usd"] is None


def test_what_comes_late_and_what_is_erased_is_seen_at_once(fresh: Server) -> None:
    tell(fresh)

    def units() -> dict[str, Any]:
        items = fresh.admin.get("/ops/revenue/tenants").json["items"]
        return {one["tenant_id"]: one for one in items}

    assert units()["acme"]["llm_cost_usd"] == 0.27
    fresh.admin.send(call("acme", timestamp="2026-02-20T08:00:00Z", cost_usd=1))
    assert units()["acme"]["llm_cost_usd"] == 1.27
    fresh.admin.put("/v1/tenants/gamma", {"price_usd": 12})
    assert units()["gamma"]["prices"][0] == {
        "price_usd": 12, "source": "directory", "reason": None,
    }  # fmt: skip
    fresh.admin.delete("/v1/tenants/acme", confirm="acme")
    assert "acme" not in units()
    fresh.admin.send(event(tenant_id="acme", timestamp="2026-03-12T12:00:01Z"))
    fresh.clock.advance(minutes=1)
    assert units()["acme"]["llm_cost_usd"] == 0


def test_a_key_of_one_tenant_sees_that_one(fresh: Server) -> None:
    tell(fresh)
    own = fresh.client("read", tenant="acme")
    assert own.get("/ops/revenue").status == 403
    body = own.get("/ops/revenue/tenants").json
    assert ([one["tenant_id"] for one in body["items"]], body["total"]) == (["acme"], 1)


def test_only_those_with_a_flag(fresh: Server) -> None:
    tell(fresh)
    for flag in ("any", "margin_negative"):
        body = fresh.admin.get("/ops/revenue/tenants", flag=flag).json
        assert [one["tenant_id"] for one in body["items"]] == ["beta"]
    assert fresh.admin.get("/ops/revenue/tenants", flag="resource_share").json["items"] == []
    answer = fresh.admin.get("/ops/revenue/tenants", flag="margin_negativ")
    assert answer.status == 422 and "margin_negative" in answer.json["detail"]
