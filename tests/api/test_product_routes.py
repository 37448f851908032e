"""``/ops/stickiness``, ``/ops/funnel`` and ``/ops/cohorts`` over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_server import NOON, Server, event, open_server

from ebbtide.domain.time import format_instant

DAY = timedelta(days=1)
STEPS = (
    "INCIDENT_CREATED",
    "INCIDENT_VIEWED",
    "REPLAY_EXECUTED",
    "EXPORT_GENERATED",
    "CERT_VERIFIED",
)


def happened(event_type: str, tenant: str, days_ago: float, **more: Any) -> dict[str, Any]:
    """An event so many days before noon of Thursday, 12 March 2026."""
    at = format_instant(NOON - days_ago * DAY)
    return event(event_type=event_type, tenant_id=tenant, timestamp=at, **more)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with four customers and a word about everybody; nobody writes to it."""
    for server in open_server(tmp_path_factory.mktemp("product")):
        sent = [
            # All five steps, in order.
            *(happened(step, "acme", 20 - n) for n, step in enumerate(STEPS)),
            # A replay before the view: three steps in any order, two in order.
            happened("REPLAY_EXECUTED", "beta", 10),
            happened("INCIDENT_CREATED", "beta", 9),
            happened("INCIDENT_VIEWED", "beta", 8),
            # Only an incident, and too long ago the rest.
            happened("INCIDENT_CREATED", "gamma", 5),
            happened("EXPORT_GENERATED", "gamma", 31),
            # A view at the very moment of the incident is not later.
            happened("INCIDENT_CREATED", "delta/1", 3),
            happened("INCIDENT_VIEWED", "delta/1", 3),
            happened("CHANGE_RECORDED", "platform", 1, metadata={"kind": "deploy"}),
            happened("INCIDENT_CREATED", "platform", 1),
        ]
        answer = server.admin.send(*sent)
        assert set(answer.results) == {"stored"}, answer.reasons
        yield server


def get(server: Server, path: str, **params: Any) -> dict[str, Any]:
    answer = server.admin.get(path, **params)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


def counts(path: dict[str, Any]) -> list[int]:
    """Customers at each step."""
    return [step["num_tenants"] for step in path["steps"]]


def rates(path: dict[str, Any]) -> list[float | None]:
    """The four rates."""
    return [step["rate_pct"] for step in path["steps"][1:]]


def test_the_funnel_in_any_order_and_in_order(product: Server) -> None:
    body = get(product, "/ops/funnel")
    assert body["formula"] == "funnel/1"
    assert body["since"] == "2026-02-10T12:00:00Z"
    assert counts(body["loose"]) == [4, 3, 2, 1, 1]
    assert rates(body["loose"]) == [75.0, 66.7, 50.0, 100.0]
    assert body["loose"]["drop_off"] == {
        "event_type": "EXPORT_GENERATED",
        "rate": "export_rate",
        "rate_pct": 50.0,
        "interpretation": "Unclear export value",
        "action": "Better export CTA",
    }
    assert counts(body["ordered"]) == [4, 2, 1, 1, 1]
    assert rates(body["ordered"]) == [50.0, 50.0, 100.0, 100.0]
    assert body["ordered"]["drop_off"]["action"] == "Improve notifications"
    assert get(product, "/api/v1/ops/funnel")["ordered"] == body["ordered"]


def test_before_anything_there_is_no_rate_and_no_advice(product: Server) -> None:
    body = get(product, "/ops/funnel", as_of=format_instant(NOON - 60 * DAY))
    assert counts(body["ordered"]) == [0, 0, 0, 0, 0]
    assert rates(body["ordered"]) == [None, None, None, None]
    assert {step["rate_reason"] for step in body["loose"]["steps"][1:]} == {"no_activity"}
    assert body["loose"]["drop_off"] is None
    assert body["newest_received_at"] is None
    # All was received at noon, so before that nothing was known.
    early = format_instant(NOON - timedelta(minutes=1))
    assert counts(get(product, "/ops/funnel", known_at=early)["loose"]) == [0, 0, 0, 0, 0]
    # 31 days after her incident gamma has fallen out of the window.
    later = format_instant(NOON + 26 * DAY)
    assert counts(get(product, "/ops/funnel", as_of=later)["loose"])[0] == 1


def test_who_stopped_where_and_one_way_down_to_its_events(product: Server) -> None:
    def who(**params: Any) -> list[str]:
        found: list[str] = get(product, "/ops/funnel/tenants", **params)["tenants"]
        return found

    assert who(step="INCIDENT_CREATED", stopped=True) == ["delta/1", "gamma"]
    assert who(step="INCIDENT_VIEWED", stopped=True) == ["beta"]
    assert who(step="REPLAY_EXECUTED", ordered=False) == ["acme", "beta"]
    assert who(step="CERT_VERIFIED", stopped=True) == ["acme"]
    cut = get(product, "/ops/funnel/tenants", step="INCIDENT_CREATED", limit=1)
    assert (cut["tenants"], cut["total"]) == (["acme"], 4)
    way = get(product, "/ops/funnel/tenants/beta")
    assert [(step["num_events"], step["reached_at"]) for step in way["steps"]] == [
        (1, "2026-03-03T12:00:00Z"),
        (1, "2026-03-04T12:00:00Z"),
        (1, None),
        (0, None),
        (0, None),
    ]
    assert way["steps"][1]["event"]["event_type"] == "INCIDENT_VIEWED"
    assert way["steps"][1]["event"]["timestamp"] == "2026-03-04T12:00:00Z"
    assert way["steps"][2]["event"] is None
    assert get(product, "/ops/funnel/tenants/delta%2F1")["steps"][1]["reached_at"] is None


def test_features_by_how_many_use_them(product: Server) -> None:
    body = get(product, "/ops/stickiness")
    assert body["active_tenants_30d"] == 4  # what is told of everybody is no customer
    assert [
        (
            one["feature"],
            one["total_actions_30d"],
            one["unique_tenants"],
            one["avg_per_tenant"],
            one["pct_of_active_tenants"],
        )
        for one in body["items"]
    ] == [
        ("incidents", 3, 3, 1.0, 75.0),
        ("replays", 2, 2, 1.0, 50.0),
        ("exports", 1, 1, 1.0, 25.0),
        ("certs", 1, 1, 1.0, 25.0),
    ]
    retention = body["items"][2]["retention"]
    assert retention["verdict"] == retention["reason"] == "insufficient_data"
    assert retention["message"].startswith("Not enough data: 1 customers used it and 0 did not")
    assert retention["difference_points"] is None
    assert "correlation, not a cause" in body["retention_note"]
    nothing = get(product, "/ops/stickiness", as_of="2025-01-01T00:00:00Z")["items"][0]
    assert (nothing["avg_per_tenant"], nothing["pct_of_active_tenants"]) == (None, None)
    assert nothing["reason"] == "no_activity"
    assert get(product, "/ops/stickiness/tenants", feature="exports")["tenants"] == ["gamma"]
    others = {"feature": "exports", "used": False, "stayed": False}
    assert get(product, "/ops/stickiness/tenants", **others)["tenants"] == []


def test_the_triangle(product: Server) -> None:
    body = get(product, "/ops/cohorts", weeks=4)
    assert body["num_earlier_tenants"] == 1  # gamma's export of 9 February
    assert [(one["cohort_week"], one["num_tenants"]) for one in body["cohorts"]] == [
        ("2026-02-16", 1),
        ("2026-02-23", 0),
        ("2026-03-02", 1),
        ("2026-03-09", 1),
    ]
    acme = body["cohorts"][0]["retention"]
    assert [(one["week"], one["share_pct"], one["is_complete"]) for one in acme] == [
        (0, 100.0, True),
        (1, 100.0, True),
        (2, 0.0, True),
        (3, 0.0, False),
    ]
    assert body["cohorts"][1]["retention"][0]["share_pct"] is None
    assert [(one["week"], one["num_active"], one["share_pct"]) for one in body["overall"]] == [
        (0, 2, 100.0),
        (1, 1, 100.0),
        (2, 0, 0.0),
    ]
    exports = get(product, "/ops/cohorts", weeks=5, activity="exports")
    assert [one["num_tenants"] for one in exports["cohorts"]] == [1, 0, 1, 0, 0]
    lost = {"cohort_week": "2026-02-16", "week": 3, "active": False}
    assert get(product, "/ops/cohorts/tenants", **lost)["tenants"] == ["acme"]
    known = format_instant(NOON)
    assert get(product, "/ops/cohorts", weeks=4, known_at=known)["cohorts"] == body["cohorts"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/ops/funnel/tenants?step=INCIDENT_VIEW", "INCIDENT_VIEWED"),
        ("/ops/stickiness/tenants?feature=export", "exports"),
        ("/ops/cohorts?activity=replay", "replays"),
        ("/ops/cohorts?weeks=0", "weeks"),
        ("/ops/cohorts/tenants?cohort_week=2026-03-10", "Monday"),
        ("/ops/cohorts/tenants?cohort_week=2026-03-16", "after as_of"),
        ("/ops/cohorts/tenants?cohort_week=2026-03-09&week=1", "after as_of"),
        ("/ops/cohorts/tenants?cohort_week=0001-01-01", "before it"),
        ("/ops/cohorts/tenants?cohort_week=2026-03-99", "cohort_week"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_why(product: Server, path: str, says: str) -> None:
    answer = product.admin.ask("GET", path)
    assert answer.status == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert says in answer.body.decode()


def test_a_bound_key_sees_its_own_way_only(product: Server) -> None:
    bound = product.client("read", tenant="acme")
    for path in ("/ops/funnel", "/ops/stickiness", "/ops/cohorts"):
        assert bound.get(path).status == 403
    assert bound.get("/ops/funnel/tenants", step="CERT_VERIFIED").status == 403
    assert bound.get("/ops/funnel/tenants/acme").json["steps"][4]["num_events"] == 1
    assert bound.get("/ops/funnel/tenants/beta").status == 404
    assert product.admin.get("/ops/funnel/tenants/nobody").status == 404


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00Z", "8999-12-31T23:59:59Z"])
def test_moments_at_the_ends_of_the_calendar(product: Server, moment: str) -> None:
    for path in ("/ops/funnel", "/ops/stickiness", "/ops/cohorts"):
        assert get(product, path, as_of=moment)["as_of"] == moment


def test_what_comes_late_and_what_is_erased_is_seen(fresh: Server) -> None:
    late = datetime(2026, 2, 4, 9, tzinfo=UTC)
    fresh.admin.send(happened("LOGIN", "acme", 40), happened("LOGIN", "beta", 40))

    def cells(tenant_week: str = "2026-01-26") -> list[int]:
        (row,) = (
            one
            for one in get(fresh, "/ops/cohorts", weeks=8)["cohorts"]
            if one["cohort_week"] == tenant_week
        )
        return [cell["num_active"] for cell in row["retention"]]

    assert cells() == [2, 0, 0, 0, 0, 0, 0]
    fresh.admin.send(event(tenant_id="acme", event_type="LOGIN", timestamp=format_instant(late)))
    assert cells() == [2, 1, 0, 0, 0, 0, 0]
    assert get(fresh, "/ops/cohorts", weeks=8)["num_earlier_tenants"] == 0
    fresh.admin.send(happened("LOGIN", "beta", 400))
    assert get(fresh, "/ops/cohorts", weeks=8)["num_earlier_tenants"] == 1
    assert cells() == [1, 1, 0, 0, 0, 0, 0]
    assert fresh.admin.delete("/v1/tenants/acme", confirm="acme").status == 200
    assert cells() == [0, 0, 0, 0, 0, 0, 0]
