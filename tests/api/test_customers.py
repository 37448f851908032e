"""Customers over HTTP: lists, profiles, explanations, for now and for any moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from api_server import NOON, Answer, Client, Server, event, open_server

from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import format_instant
from ebbtide.signals.explain import EXPLAINED

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SLASHED = "acme/eu 1%"


def at(days: float = 0, hours: float = 0) -> str:
    """So long before noon."""
    return format_instant(NOON - days * DAY - hours * HOUR)


def story() -> list[dict[str, Any]]:
    """Four customers: one that went silent, one steady, one cancelled, one gone."""
    events = []
    for tenant in ("silent", "steady", SLASHED):
        events += [
            event(
                tenant_id=tenant,
                event_type="SUBSCRIPTION_STARTED",
                timestamp=at(60),
                metadata={"plan": "pro", "price_usd": 99, "source": "friends"},
            ),
            event(
                tenant_id=tenant, event_type="INCIDENT_CREATED", timestamp=at(60, -2), severity=3
            ),
            event(
                tenant_id=tenant, event_type="EXPORT_GENERATED", timestamp=at(60, -18), user_id="u"
            ),
        ]
        for day in range(60):
            events.append(
                event(tenant_id=tenant, event_type="API_CALL_RECEIVED", timestamp=at(day, 1))
            )
            if tenant == "steady" or day >= 9:
                events.append(
                    event(
                        tenant_id=tenant,
                        event_type="INCIDENT_VIEWED",
                        timestamp=at(day, 2),
                        user_id="u",
                    )
                )
    events += [
        event(tenant_id="left", event_type="SUBSCRIPTION_STARTED", timestamp=at(90)),
        event(tenant_id="left", event_type="LOGIN", timestamp=at(10)),
        event(tenant_id="left", event_type="SUBSCRIPTION_CANCELLED", timestamp=at(5)),
        event(tenant_id="gone", event_type="LOGIN", timestamp=at(31)),
    ]
    return events


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server to which the story was told as it happened; the jobs have run at noon."""
    for server in open_server(tmp_path_factory.mktemp("data")):
        for one in sorted(story(), key=lambda one: str(one["timestamp"])):
            server.clock.now = datetime.fromisoformat(str(one["timestamp"])) + timedelta(seconds=1)
            assert server.admin.send(one).results == ["stored"]
        server.clock.now = NOON
        contacts = [{"name": "Ada", "email": "ada@example.com", "role": "CTO"}]
        server.admin.put("/v1/tenants/silent", {"name": "Silent & Sons", "contacts": contacts})
        run_jobs(server)
        yield server


def run_jobs(server: Server) -> None:
    for job in ("compute-stickiness", "detect-silent-churn", "evaluate-playbooks"):
        answer = server.admin.post(f"/ops/jobs/{job}", b"")
        assert answer.status == 200, answer.body


@pytest.fixture(autouse=True)
def at_noon(told: Server) -> Iterator[None]:
    """Every test starts at the same moment."""
    told.clock.now = NOON
    yield


def read(answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return answer.json


def ids(page: dict[str, Any]) -> list[str]:
    return [one["tenant_id"] for one in page["items"]]


# -- lists -------------------------------------------------------------------------------------


def test_the_list_says_which_moment_it_is_for(told: Server) -> None:
    page = read(told.admin.get("/ops/customers"))
    assert page["as_of"] == page["known_at"] == page["computed_at"] == "2026-03-12T12:00:00Z"
    assert page["stored"] is True and page["kind"] == "heuristic"
    assert page["freshness"] == {
        "newest_event_at": at(0, 1),
        "newest_received_at": format_instant(NOON - HOUR + timedelta(seconds=1)),
    }
    assert (page["total"], page["next_cursor"]) == (5, None)


def test_the_worst_come_first_and_every_field_is_there(told: Server) -> None:
    page = read(told.admin.get("/ops/customers"))
    # The two that nothing is known of come last.
    assert ids(page) == [SLASHED, "silent", "steady", "gone", "left"]
    one = page["items"][1]
    assert one["tenant_uuid"] == to_uuid_text("silent")
    assert one["tenant_name"] == "Silent & Sons"
    assert (one["status"], one["paying"], one["is_silent_churn"]) == ("active", "yes", True)
    assert (one["stickiness_7d"], one["current_stickiness"]) == (0.0, 0.0)
    # 21 views of the last 30 days, at 0.2 each, brought to a week.
    assert one["stickiness_30d"] == 0.98
    assert (one["stickiness_delta"], one["stickiness_trend"]) == (0.0, "falling")
    assert one["inferred_buyer_type"] == "Legal/Compliance"
    assert (one["intent_confidence"], one["intent_provisional"]) == (0.95, False)
    assert (one["time_to_first_incident_h"], one["time_to_first_export_m"]) == (2.0, 18 * 60)
    assert one["investigation_gap_days"] == 9.08
    # 40 for the ratio, 15 for more than a week without investigation.
    assert (one["risk_level"], one["risk_signal_strength"]) == ("high", 55)
    assert "risk_score" not in one


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"status": "churned"}, ["left"]),
        ({"status": "gone"}, ["gone"]),
        ({"is_silent_churn": "true"}, [SLASHED, "silent"]),
        ({"is_at_risk": "true"}, [SLASHED, "silent"]),
        ({"playbook": "silent_churn"}, [SLASHED, "silent"]),
        ({"risk_level": "critical"}, []),
        ({"risk_level": "high,low", "status": "active"}, [SLASHED, "silent", "steady"]),
        ({"paying": "unknown"}, ["gone"]),
        ({"inferred_buyer_type": "Legal/Compliance", "sort": "tenant_id"},
         [SLASHED, "silent", "steady"]),
        ({"sort": "stickiness", "limit": 1}, ["steady"]),
        ({"sort": "tenant_id"}, [SLASHED, "gone", "left", "silent", "steady"]),
    ],
)  # fmt: skip
def test_filters_and_orders(told: Server, asked: dict[str, Any], found: list[str]) -> None:
    assert ids(read(told.admin.get("/ops/customers", **asked))) == found


@pytest.mark.parametrize(
    "asked",
    [
        {"sort": "name"}, {"status": "fine"}, {"risk_level": "high,awful"}, {"limit": 0},
        {"limit": 201}, {"playbook": "nope"}, {"paying": "maybe"}, {"as_of": "yesterday"},
        {"as_of": "2026-03-12T12:00:00.000001Z"}, {"known_at": "2027-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(told: Server, asked: dict[str, Any]) -> None:
    answer = told.admin.get("/ops/customers", **asked)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("as_of", [None, at(3)])
def test_pages_hold_everybody_once_also_when_a_job_runs_between(
    told: Server, as_of: str | None
) -> None:
    asked: dict[str, Any] = {"limit": 2, "sort": "tenant_id"}
    page = read(told.admin.get("/ops/customers", **asked, **({"as_of": as_of} if as_of else {})))
    seen, moment = ids(page), page["as_of"]
    while page["next_cursor"]:
        told.clock.advance(minutes=15)
        page = read(told.admin.get("/ops/customers", **asked, cursor=page["next_cursor"]))
        seen += ids(page)
        assert page["as_of"] == moment and page["total"] == 5
    assert seen == [SLASHED, "gone", "left", "silent", "steady"]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA==", "W10=", "WzEsMiwzLDQsNV0="])
def test_a_foreign_cursor_is_refused(told: Server, cursor: str) -> None:
    assert told.admin.get("/ops/customers", cursor=cursor).status == 400


def test_who_to_call(told: Server) -> None:
    found = read(told.admin.get("/ops/customers/at-risk"))
    assert ids(found) == [SLASHED, "silent"] and found["total"] == 2
    one = found["items"][1]
    assert one["kind"] == "heuristic" and one["risk_signal_strength"] == 55
    assert one["primary_risk_reason"] and one["secondary_signals"]
    assert one["days_since_investigation"] == 9.08
    assert one["days_since_api_call"] == 0.04
    assert one["recent_changes"] == [] and one["decay_correlation"] is None
    assert one["contacts"] == [{"name": "Ada", "email": "ada@example.com", "role": "CTO"}]
    assert found["items"][0]["contacts"] is None
    kinds = [step["intervention_type"] for step in one["interventions"]]
    assert kinds[0] == "call"
    assert all(step["outcome_closes_at"] is None for step in one["interventions"])
    assert all(step["triggering_signals"] for step in one["interventions"])
    assert all(step["state"] == "suggested" for step in one["interventions"])
    assert [gone["tenant_id"] for gone in found["gone"]] == ["gone"]
    assert (found["num_gone"], found["gone"][0]["days_since_last_event"]) == (1, 31.0)
    limited = read(told.admin.get("/ops/customers/at-risk", limit=1))
    assert ids(limited) == [SLASHED] and limited["total"] == 2


def test_the_past_is_answered_as_it_was(told: Server) -> None:
    early = read(told.admin.get("/ops/customers/at-risk", as_of=at(3)))
    assert early["stored"] is False and early["as_of"] == at(3)
    one = {c["tenant_id"]: c for c in read(told.admin.get("/ops/customers", as_of=at(3)))["items"]}
    assert one["silent"]["investigation_gap_days"] == 6.08
    assert one["silent"]["is_silent_churn"] is False
    assert one["left"]["status"] == "churned"
    before = read(told.admin.get("/ops/customers", as_of=at(6)))
    assert {c["tenant_id"]: c["status"] for c in before["items"]}["left"] == "active"
    assert read(told.admin.get("/ops/customers", as_of=at(365)))["total"] == 0


def test_what_was_known_then_is_told_apart_from_what_happened(told: Server) -> None:
    view = event(tenant_id="late", event_type="INCIDENT_VIEWED", timestamp=at(20))
    assert told.admin.send(view).results == ["stored"]
    now = told.admin.get("/ops/customers/late", as_of=at(10))
    assert read(now)["stickiness"]["stickiness_30d"] == 0.14  # 0.2 in ten days
    assert told.admin.get("/ops/customers/late", as_of=at(10), known_at=at(9)).status == 404
    assert told.admin.get("/ops/customers/late", known_at=at(9)).status == 404
    known = read(told.admin.get("/ops/customers", known_at=at(9)))
    assert known["as_of"] == known["known_at"] == at(9)
    told.admin.delete("/v1/tenants/late", confirm="late")


# -- one customer ------------------------------------------------------------------------------


def test_the_profile_has_everything_on_one_page(told: Server) -> None:
    one = read(told.admin.get("/ops/customers/silent"))
    assert one["stored"] is True
    assert one["subscription"] == {
        "status": "active",
        "day": 61,
        "started_at": at(60),
        "cancelled_at": None,
        "plan": "pro",
        "price_usd": 99.0,
        "source": "friends",
        "paying": "yes",
    }
    assert one["intent"]["evidence"] == "export within 18 h of sign-up"
    assert one["time_to_value"]["time_to_first_export_h"] == 18.0
    assert one["stickiness"]["stickiness_7d"] == 0.0
    before = one["stickiness_last_week"]
    assert (before["as_of"], before["stickiness_7d"]) == (at(7), 1.0)  # five views by then
    assert one["usage"] == {
        "active_days_7d": 0,
        "active_days_30d": 21,
        "dau_mau": 0.0,
        "dau_mau_reason": None,
    }
    assert one["last_export"] == at(60, -18) and one["days_since_export"] == 59.25
    assert [match["id"] for match in one["playbooks"]] == ["silent_churn"]
    assert one["risk"]["components"] and one["risk"]["kind"] == "heuristic"
    lines = {line["name"]: line for line in one["timeline"]}
    assert (lines["API_CALL_RECEIVED"]["num_30d"], lines["API_CALL_RECEIVED"]["trend"]) == (
        30,
        "stable",
    )
    assert lines["INCIDENT_VIEWED"]["trend"] == "dropping"
    assert lines["EXPORT_GENERATED"]["trend"] == "stopped"
    assert (lines["REPLAY_EXECUTED"]["trend"], lines["REPLAY_EXECUTED"]["trend_reason"]) == (
        None,
        "no_activity",
    )
    assert sum(day["num"] for day in lines["API_CALL_RECEIVED"]["days"]) == 30
    assert len(one["interventions"]) >= 3


@pytest.mark.parametrize("path", ["", "/explain?metric=risk_level"])
def test_ids_with_slashes_and_uuids_work_in_paths(told: Server, path: str) -> None:
    for text in (SLASHED, to_uuid_text(SLASHED), to_uuid_text(SLASHED).upper()):
        answer = told.admin.ask("GET", f"/ops/customers/{quote(text, safe='')}{path}")
        assert read(answer)["tenant_id"] == SLASHED


#: Ids that read like a path, a query, or nothing; the last two name what is there already.
AWKWARD = [
    "x/explain",
    "at-risk",
    "..",
    ".",
    "a?b=c",
    "a#b",
    "%2F",
    "a b",
    "/",
    "ä/ö",
    "x",
    "explain",
]


def test_every_customer_is_reached_whatever_its_id(fresh: Server) -> None:
    fresh.admin.send(*[event(tenant_id=name) for name in AWKWARD])
    for name in AWKWARD:
        encoded = "".join(f"%{byte:02X}" for byte in name.encode())
        for path in (encoded, to_uuid_text(name)):
            for prefix in ("", "/api/v1"):
                found = fresh.admin.ask("GET", f"{prefix}/ops/customers/{path}")
                assert read(found)["tenant_id"] == name
                why = f"{prefix}/ops/customers/{path}/explain?metric=risk_level"
                assert read(fresh.admin.ask("GET", why))["tenant_id"] == name
    plain = fresh.admin.ask("GET", "/ops/customers/x/explain?metric=risk_level")
    assert read(plain)["tenant_id"] == "x"
    assert "items" in read(fresh.admin.ask("GET", "/ops/customers/at-risk"))
    bound = fresh.client("read", tenant="x/explain")
    assert bound.ask("GET", f"/ops/customers/{quote('x/explain', safe='')}").status == 200
    assert bound.ask("GET", "/ops/customers/%78").status == 404


@pytest.mark.parametrize("path", ["nobody", "a%00b", "x" * 300, "", "at-risk/", "%2e%2e"])
def test_an_unknown_customer_is_not_found(told: Server, path: str) -> None:
    answer = told.admin.ask("GET", f"/ops/customers/{path}")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_young_customer_has_no_last_week(told: Server) -> None:
    told.admin.send(event(tenant_id="new", event_type="LOGIN", timestamp=at(0, 1)))
    one = read(told.admin.get("/ops/customers/new", as_of=at(0)))
    assert one["stickiness_last_week"] is None
    assert (one["risk"]["risk_level"], one["risk"]["risk_level_reason"]) == (
        None,
        "insufficient_data",
    )
    assert one["stickiness"]["stickiness_delta_reason"] == "no_activity"
    assert one["usage"]["dau_mau_reason"] == "no_activity"
    assert one["subscription"]["status"] == "unknown"
    told.admin.delete("/v1/tenants/new", confirm="new")


def test_an_erased_customer_is_nowhere_at_once(fresh: Server) -> None:
    fresh.admin.send(*story())
    run_jobs(fresh)
    assert "silent" in ids(read(fresh.admin.get("/ops/customers/at-risk")))
    assert fresh.admin.delete("/v1/tenants/silent", confirm="silent").status == 200
    assert "silent" not in ids(read(fresh.admin.get("/ops/customers")))
    assert "silent" not in ids(read(fresh.admin.get("/ops/customers/at-risk")))
    assert fresh.admin.get("/ops/customers/silent").status == 404
    listed = read(fresh.admin.get("/ops/interventions"))
    assert {one["tenant_id"] for one in listed["items"]} == {SLASHED}


def test_before_the_first_job_it_is_computed_on_demand(fresh: Server) -> None:
    empty = read(fresh.admin.get("/ops/customers/at-risk"))
    assert (empty["stored"], empty["items"], empty["total"]) == (False, [], 0)
    assert empty["freshness"] == {"newest_event_at": None, "newest_received_at": None}
    fresh.admin.send(*story())
    found = read(fresh.admin.get("/ops/customers/at-risk"))
    assert found["stored"] is False and ids(found) == [SLASHED, "silent"]
    assert found["items"][0]["interventions"][0]["intervention_id"] is None
    profile = read(fresh.admin.get("/ops/customers/silent"))
    assert profile["stored"] is False
    run_jobs(fresh)
    stored = read(fresh.admin.get("/ops/customers/at-risk"))
    assert stored["stored"] is True
    strip = ("intervention_id", "state")
    for one in found["items"] + stored["items"]:
        for step in one["interventions"]:
            for name in strip:
                del step[name]
    assert stored["items"] == found["items"]


# -- explain -----------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", list(EXPLAINED))
def test_every_number_can_be_explained(told: Server, metric: str) -> None:
    found = read(told.admin.get("/ops/customers/silent/explain", metric=metric))
    assert found["metric"] == metric
    assert "/" in found["formula"]["id"] and found["formula"]["text"]
    assert found["value"] is not None or found["reason"]
    assert found["lineage"] and all(one["comes_from"] for one in found["lineage"])
    assert found["changed_since"]["num_late_events"] == 0
    assert found["changed_since"]["is_different"] is False
    listed = read(told.admin.ask("GET", f"{found['events_url']}&limit=20"))
    assert listed["total"] == found["num_events"]
    assert listed["items"] == found["events"]


@pytest.mark.parametrize("metric", list(EXPLAINED))
def test_an_explained_number_is_the_number_shown(told: Server, metric: str) -> None:
    one = read(told.admin.get("/ops/customers", limit=200))["items"]
    shown = {c["tenant_id"]: c for c in one}["silent"]
    profile = read(told.admin.get("/ops/customers/silent"))
    shown |= (
        profile["usage"]
        | profile["risk"]
        | {"days_since_investigation": shown["investigation_gap_days"]}
    )
    explained = read(told.admin.get("/ops/customers/silent/explain", metric=metric))
    assert explained["value"] == shown[metric]


def test_weighted_inputs_add_up(told: Server) -> None:
    for metric in ("stickiness_7d", "stickiness_30d", "stickiness_decayed", "friction_score"):
        found = read(told.admin.get("/ops/customers/steady/explain", metric=metric))
        parts = [part["contributes"] for part in found["inputs"] if part["contributes"] is not None]
        assert sum(parts) == pytest.approx(found["value"], abs=0.011)


def test_why_was_it_at_risk_is_one_call(told: Server) -> None:
    found = read(
        told.admin.get("/ops/customers/silent/explain", metric="risk_level", as_of=at(1), limit=3)
    )
    assert (found["value"], found["as_of"], len(found["events"])) == ("high", at(1), 3)
    parts = {part["name"]: part for part in found["inputs"]}
    assert parts["days_since_investigation"]["value"] == 8.08
    assert parts["days_since_investigation"]["contributes"] == 15.0
    assert parts["playbook silent_churn"]["value"] == "high"


def test_late_events_are_told(told: Server) -> None:
    late = event(tenant_id="steady", event_type="EXPORT_GENERATED", timestamp=at(2))
    told.admin.send(late)
    found = read(
        told.admin.get("/ops/customers/steady/explain", metric="stickiness_7d", as_of=at(1))
    )
    since = found["changed_since"]
    assert (since["num_late_events"], since["is_different"]) == (1, True)
    assert found["value"] == pytest.approx(since["value_then"] + 0.5)
    then = read(
        told.admin.get(
            "/ops/customers/steady/explain",
            metric="stickiness_7d",
            as_of=at(1),
            known_at=at(1),
        )
    )
    assert then["value"] == since["value_then"] and then["changed_since"] is None


def test_an_unknown_number_is_refused_with_the_nearest(told: Server) -> None:
    answer = told.admin.get("/ops/customers/silent/explain", metric="stickyness_7d")
    assert answer.status == 422 and "did you mean stickiness_7d?" in answer.json["detail"]


# -- what changed ------------------------------------------------------------------------------


def change(tenant: str, days: float, **said: str) -> dict[str, Any]:
    return event(tenant_id=tenant, event_type="CHANGE_RECORDED", timestamp=at(days), metadata=said)


def test_the_change_before_a_decline_is_named_with_those_it_did_not_harm(fresh: Server) -> None:
    events = []
    for tenant in ("falling", "steady", "falling-too", "elsewhere"):
        falls = tenant.startswith("falling")
        for day in range(60):
            events.append(
                event(tenant_id=tenant, event_type="API_CALL_RECEIVED", timestamp=at(day, 1))
            )
            if not falls or day >= 8 or day % 7 == 1:
                events += [
                    event(tenant_id=tenant, event_type="INCIDENT_VIEWED", timestamp=at(day, hour))
                    for hour in (2, 3)
                ]
        if tenant != "elsewhere":
            events.append(
                change(tenant, 10, kind="policy_version", policy_id="PII", policy_version="v2")
            )
    events.append(
        change("falling", 30, kind="policy_version", policy_id="PII", policy_version="v1")
    )
    events.append(change("platform", 1, kind="deploy", subject="proxy", value="r7"))
    fresh.admin.send(*events)
    items = read(fresh.admin.get("/ops/customers/at-risk"))["items"]
    one = next(item for item in items if item["tenant_id"] == "falling")
    assert one["recent_changes"] == [
        "deploy proxy r7, 1 day ago",
        "version v2 of policy PII, 10 days ago",
    ]
    detail = one["decay_correlation_detail"]
    assert detail["change"] == "version v2 of policy PII"
    assert (detail["change_kind"], detail["changed_at"]) == ("policy_version", at(10))
    assert detail["declined_from"] > detail["changed_at"]
    assert (detail["num_others_with_decline"], detail["num_others_without_decline"]) == (1, 1)
    assert one["decay_correlation"].endswith("of 2 others who saw the same, 1 did not decline")
    # One customer by itself says the same as the list of all.
    alone = read(fresh.admin.get("/ops/customers/falling", as_of=at(0)))
    assert alone["risk"]["decay_correlation"] == one["decay_correlation"]
    bound = read(fresh.client("read", tenant="falling").get("/ops/customers/falling"))
    assert bound["risk"]["decay_correlation_detail"]["num_others_with_decline"] is None
    assert "others" not in bound["risk"]["decay_correlation"]


RECORDED: dict[str, tuple[dict[str, Any], str, str]] = {
    "policy_version": (
        {"policy_id": "PII", "policy_version": "v9"},
        "policy_version",
        "version v9 of policy PII",
    ),
    "model": ({"model": "heath-2"}, "model_switch", "first use of model heath-2"),
    "price": ({"value": "199"}, "price_change", "price changed to 199 USD"),
    "rate_limit": (
        {"subject": "api", "value": "50/s"},
        "rate_limit",
        "rate limit of api changed to 50/s",
    ),
    "deploy": ({"subject": "proxy", "value": "r8"}, "deploy", "deploy proxy r8"),
    "plan": ({"plan": "solo"}, "plan_change", "plan changed to solo"),
}


def test_a_recorded_change_of_any_kind_reaches_reasons_and_timelines(fresh: Server) -> None:
    """Each of six customers declines after its own kind of change; a deploy touched all."""
    events = [
        event(tenant_id=kind, event_type=name, timestamp=at(day, hours))
        for kind in RECORDED
        for day in range(40)
        for name, hours in (("API_CALL_RECEIVED", 1), ("INCIDENT_VIEWED", 2))
        if name == "API_CALL_RECEIVED" or day >= 8
    ]
    fresh.admin.send(*events)
    for kind, (said, _, _) in RECORDED.items():
        body = {"kind": kind, "tenants": [kind], "at": at(10)} | said
        assert fresh.admin.post("/v1/changes", body).results == ["stored"]
    everybody = {"kind": "deploy", "value": "r9", "at": at(1)}
    assert fresh.admin.post("/v1/changes", everybody).results == ["stored"]
    run_jobs(fresh)
    listed = read(fresh.admin.get("/ops/customers/at-risk"))["items"]
    assert {one["tenant_id"] for one in listed} == set(RECORDED)
    for one in listed:
        kind, what = RECORDED[one["tenant_id"]][1:]
        assert one["recent_changes"] == ["deploy r9, 1 day ago", f"{what}, 10 days ago"]
        assert one["decay_correlation"].startswith(f"{what}, ")
        assert one["decay_correlation_detail"]["change_kind"] == kind
        profile = read(fresh.admin.get(f"/ops/customers/{one['tenant_id']}"))
        assert profile["risk"]["recent_changes"] == one["recent_changes"]
        assert profile["changes"] == [
            {"at": at(1), "kind": "deploy", "what": "deploy r9", "is_everybodys": True},
            {"at": at(10), "kind": kind, "what": what, "is_everybodys": False},
        ]
    before = read(fresh.admin.get("/ops/customers/plan", as_of=at(5)))
    assert [change["what"] for change in before["changes"]] == ["plan changed to solo"]
    known = read(fresh.admin.get("/ops/customers/plan", as_of=at(0), known_at=at(0)))
    assert len(known["changes"]) == 2


# -- who sees what -----------------------------------------------------------------------------


@pytest.fixture
def bound(told: Server) -> Client:
    """A key for the silent customer alone."""
    return told.client("read", tenant="silent")


def test_a_bound_key_sees_its_own_customer_only(told: Server, bound: Client) -> None:
    assert ids(read(bound.get("/ops/customers"))) == ["silent"]
    assert read(bound.get("/ops/customers"))["total"] == 1
    found = read(bound.get("/ops/customers/at-risk"))
    assert ids(found) == ["silent"] and (found["total"], found["num_gone"]) == (1, 0)
    assert read(bound.get("/ops/customers/silent"))["tenant_id"] == "silent"
    for path in ("steady", "steady/explain?metric=risk_level", to_uuid_text("steady"), "nobody"):
        assert bound.ask("GET", f"/ops/customers/{path}").status == 404
    books = read(bound.get("/ops/playbooks"))
    matching = {book["id"]: book["matching"] for book in books["items"]}
    assert matching["silent_churn"] == ["silent"]
    assert all(book["summary"] is None for book in books["items"])
    rows = read(bound.get("/ops/interventions"))
    assert {row["tenant_id"] for row in rows["items"]} == {"silent"}
    assert read(bound.get("/ops/interventions", tenant_id="steady"))["items"] == []
    events = read(bound.get("/ops/events", hours=168))
    assert {one["tenant_id"] for one in events["items"]} == {"silent"}
    assert bound.get("/ops/events", tenant_id="steady").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/ops/customers", "/ops/customers/at-risk", "/ops/customers/silent", "/ops/playbooks",
        "/ops/customers/silent/explain?metric=risk_level", "/ops/playbooks/silent_churn",
        "/ops/interventions", "/ops/events",
    ],
)  # fmt: skip
def test_the_longer_path_answers_the_same(told: Server, path: str) -> None:
    assert read(told.admin.ask("GET", f"/api/v1{path}")) == read(told.admin.ask("GET", path))


# -- events ------------------------------------------------------------------------------------


def test_events_of_a_window_with_their_total(told: Server) -> None:
    day = read(told.admin.get("/ops/events", event_type="API_CALL_RECEIVED"))
    assert (day["since"], day["as_of"], day["total"]) == (at(1), at(0), 3)
    week = read(
        told.admin.get("/ops/events", tenant_id="silent", since=at(7), as_of=at(1), limit=2)
    )
    seen, num = list(week["items"]), week["total"]
    while week["next_cursor"]:
        week = read(
            told.admin.get(
                "/ops/events",
                tenant_id="silent",
                since=at(7),
                as_of=at(1),
                limit=2,
                cursor=week["next_cursor"],
            )
        )
        seen += week["items"]
    assert len(seen) == num == len({one["event_id"] for one in seen}) == 6
    both = read(
        told.admin.get(
            "/ops/events",
            tenant_id="steady",
            hours=24,
            event_type="API_CALL_RECEIVED,INCIDENT_VIEWED",
        )
    )
    assert {one["event_type"] for one in both["items"]} == {"API_CALL_RECEIVED", "INCIDENT_VIEWED"}
    assert read(told.admin.get("/ops/events", user_id="u", hours=24))["total"] == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"hours": 0}, {"hours": 169}, {"hours": 5, "since": "2026-03-12T00:00:00Z"},
        {"event_type": "NOPE"}, {"limit": 1001},
    ],
)  # fmt: skip
def test_events_asked_for_wrongly_are_refused(told: Server, asked: dict[str, Any]) -> None:
    assert told.admin.get("/ops/events", **asked).status == 422
