"""``/ops/pulse`` and ``/ops/thresholds`` over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from api_server import NOON, Server, event

from ebbtide.domain.errors import StoreUnavailable
from ebbtide.domain.time import format_instant

AS_OF = "2026-03-12T12:00:00Z"


def send(server: Server, num: int, kind: str, at: str, **more: Any) -> None:
    """Send some events of one type and moment."""
    events = [event(event_type=kind, timestamp=at, **more) for _ in range(num)]
    assert set(server.admin.send(*events).results) == {"stored"}


def pulse(server: Server, **params: str) -> dict[str, Any]:
    """The answer, which must be one."""
    answer = server.admin.get("/ops/pulse", **params)
    assert answer.status == 200, answer.body
    body: dict[str, Any] = answer.json
    return body


def test_a_fall_of_exports_is_seen_and_explained(fresh: Server) -> None:
    send(fresh, 10, "EXPORT_GENERATED", "2026-03-11T10:00:00Z")
    send(fresh, 5, "EXPORT_GENERATED", "2026-03-12T10:00:00Z")
    send(fresh, 4, "EXPORT_GENERATED", "2026-03-05T10:00:00Z")
    send(fresh, 1, "API_CALL_RECEIVED", "2026-03-12T11:58:00Z", latency_ms=10)
    send(fresh, 1, "API_CALL_RECEIVED", "2026-03-12T11:59:00Z", latency_ms=20, source="proxy")
    send(fresh, 1, "LLM_CALL_MADE", "2026-03-12T00:00:00Z", cost_usd=1.25)
    send(fresh, 1, "LLM_CALL_MADE", "2026-03-11T23:59:59Z", cost_usd=8)
    body = pulse(fresh)
    assert body["system_state"] == "SILENT_DEGRADATION"
    assert body["reasons"] == ["Exports fell by 50 % against the 24 hours before (5 after 10)."]
    assert [alert["name"] for alert in body["alerts"]] == ["exports_generated"]
    assert body["exports_generated_24h"] == 5
    assert body["exports_delta_pct"] == -50.0
    exports = next(one for one in body["comparisons"] if one["name"] == "exports_generated")
    assert (exports["last_week"], exports["change_last_week_pct"]) == (4, 25.0)
    assert body["replays_delta_pct"] is None
    assert body["latency_ms_p95"] == 19.5
    assert body["cost_today_usd"] == 1.25
    assert body["total_cost_24h_usd"] == 9.25
    assert body["events_per_minute"] == 0.4
    assert body["llm_failure_rate_pct"] == 0.0
    assert (body["infra_saturation_pct"], body["infra_saturation_reason"]) == (None, "no_activity")
    assert {one["source"]: one["age_s"] for one in body["producers"]} == {"api": 120, "proxy": 60}
    assert body["freshness"]["newest_event_at"] == "2026-03-12T11:59:00Z"
    assert body == fresh.admin.get("/api/v1/ops/pulse").json


def test_any_past_moment_answers_as_it_was_known(fresh: Server) -> None:
    send(fresh, 6, "REPLAY_EXECUTED", "2026-03-12T10:00:00Z")
    fresh.clock.advance(hours=1)
    send(fresh, 6, "REPLAY_EXECUTED", "2026-03-12T09:00:00Z")
    assert pulse(fresh, as_of=AS_OF)["replays_executed_24h"] == 12
    assert pulse(fresh, as_of=AS_OF, known_at=AS_OF)["replays_executed_24h"] == 6
    assert pulse(fresh, as_of="2026-03-12T08:59:59Z")["system_state"] == "UNKNOWN"


def test_an_empty_installation_is_unknown_not_stable(fresh: Server) -> None:
    body = pulse(fresh)
    assert body["system_state"] == "UNKNOWN"
    assert body["alerts"] == []
    assert body["latency_ms_p95"] is None
    assert body["cost_today_usd"] == 0.0  # the store was asked, and there was no call


def test_a_store_that_cannot_answer_is_unknown_and_gives_no_number(
    fresh: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(fresh, 1, "LOGIN", "2026-03-12T10:00:00Z")

    def fail(*_: object) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(type(fresh.house.services.events), "query", fail)
        body = pulse(fresh)
        assert body["system_state"] == "UNKNOWN"
        assert body["unavailable"] == ["events"]
        moments = {"as_of", "known_at", "computed_at", "formula", "system_state"}
        said = {key: value for key, value in body.items() if key not in moments}
        assert {key for key, value in said.items() if isinstance(value, int | float)} == set()
        assert body["latency_reason"] == "unavailable"
    assert pulse(fresh)["system_state"] == "STABLE"
    with monkeypatch.context() as patch:
        patch.setattr(type(fresh.house.services.state.thresholds), "effective", fail)
        body = pulse(fresh)
        assert (body["system_state"], body["unavailable"]) == ("UNKNOWN", ["state"])
        assert body["active_tenants_24h"] == 1


def test_infra_counts_the_newest_report(fresh: Server) -> None:
    for at, current in (("10:00", 255), ("11:00", 210.5)):
        metadata = {"resource": "redis", "current": current, "limit": 256}
        send(fresh, 1, "INFRA_LIMIT_HIT", f"2026-03-12T{at}:00Z", metadata=metadata)
    metadata = {"resource": "broken", "current": 5, "limit": 0}
    send(fresh, 1, "INFRA_LIMIT_HIT", "2026-03-12T11:00:00Z", metadata=metadata)
    body = pulse(fresh)
    assert body["infra_saturation_pct"] == 82.2
    assert [one["resource"] for one in body["resources"]] == ["redis"]
    assert body["system_state"] == "ACTIVE_FAILURE"
    assert body["reasons"] == ["redis is 82 % full."]


def test_samples_and_gauges_count_beside_reports(fresh: Server) -> None:
    """What was sampled on schedule fills a resource as much as an event that says so."""
    send(fresh, 1, "LOGIN", "2026-03-12T11:59:00Z")
    report = {"resource": "redis", "current": 230, "limit": 256}
    send(fresh, 1, "INFRA_LIMIT_HIT", "2026-03-12T10:00:00Z", metadata=report)
    gauges = [
        {"resource": "redis", "used": 100, "limit": 256, "at": "2026-03-12T11:00:00Z"},
        {"resource": "queue", "used": 95, "limit": 100, "at": "2026-03-12T11:00:00Z"},
        {"resource": "old", "used": 99, "limit": 100, "at": "2026-03-11T11:00:00Z"},
        {"resource": "endless", "used": 99, "at": "2026-03-12T11:00:00Z"},
    ]
    before = fresh.clock.now
    fresh.clock.advance(seconds=1)
    assert fresh.admin.post("/v1/gauges", {"gauges": gauges}).status == 200
    body = pulse(fresh)
    assert [(one["resource"], one["saturation_pct"]) for one in body["resources"]] == [
        ("queue", 95.0),
        ("redis", 39.1),
    ]
    assert (body["system_state"], body["reasons"]) == ("ACTIVE_FAILURE", ["queue is 95 % full."])
    known = pulse(fresh, known_at=format_instant(before), as_of=AS_OF)
    assert [one["resource"] for one in known["resources"]] == ["redis"]
    earlier = pulse(fresh, as_of="2026-03-12T10:30:00Z")
    assert [one["saturation_pct"] for one in earlier["resources"]] == [99.0, 89.8]


def test_old_data_is_not_stable(fresh: Server) -> None:
    send(fresh, 50, "LOGIN", "2026-03-12T11:59:00Z")
    assert pulse(fresh)["system_state"] == "STABLE"
    fresh.clock.advance(hours=4)
    body = pulse(fresh)
    assert body["system_state"] == "UNKNOWN"
    assert body["reasons"][0].startswith("No event for 4 hours, the newest is of 2026-03-12 11:59")
    assert body["active_tenants_24h"] == 1  # it is known how it was


def test_thresholds_can_be_changed_and_old_answers_keep_theirs(fresh: Server) -> None:
    send(fresh, 10, "REPLAY_EXECUTED", "2026-03-11T10:00:00Z")
    send(fresh, 8, "REPLAY_EXECUTED", "2026-03-12T10:00:00Z")
    assert pulse(fresh)["system_state"] == "STABLE"
    fresh.clock.advance(minutes=1)
    edit = {"thresholds": [{"name": "replays_executed", "threshold_pct": 19.9}]}
    answer = fresh.admin.put("/ops/thresholds", edit)
    assert answer.status == 200, answer.body
    rows = {one["name"]: one for one in answer.json["thresholds"]}
    assert rows["replays_executed"]["threshold_pct"] == 19.9
    assert rows["replays_executed"]["min_baseline"] == 5
    assert rows["replays_executed"]["is_default"] is False
    assert rows["exports_generated"]["is_default"] is True
    assert pulse(fresh, as_of=AS_OF)["system_state"] == "SILENT_DEGRADATION"
    known = pulse(fresh, as_of=AS_OF, known_at=format_instant(NOON))
    assert known["system_state"] == "STABLE"
    for moments in ({"as_of": AS_OF}, {"known_at": AS_OF}):
        then = fresh.admin.get("/ops/thresholds", **moments).json["thresholds"]
        assert [one["is_default"] for one in then] == [True] * len(then)
    now = fresh.admin.get("/ops/thresholds").json
    assert now == fresh.admin.get("/ops/thresholds", as_of=format_instant(fresh.clock.now)).json
    assert {one["is_default"] for one in now["thresholds"]} == {True, False}
    reset = {"thresholds": [{"name": "replays_executed", "reset": True}]}
    assert fresh.admin.put("/ops/thresholds", reset).status == 200
    assert pulse(fresh, as_of=AS_OF)["system_state"] == "STABLE"


@pytest.mark.parametrize(
    "edit",
    [
        {"name": "replays_executd", "threshold_pct": 5},
        {"name": "replays_executed", "threshold_pct": 0},
        {"name": "replays_executed", "level": "loud"},
        {"name": "replays_executed", "min_baseline": 0},
        {"name": "replays_executed", "reset": True, "level": "warning"},
        {"name": "replays_executed", "than": 5},
    ],
)
def test_a_wrong_threshold_changes_nothing(server: Server, edit: dict[str, Any]) -> None:
    before = server.admin.get("/ops/thresholds").json
    good = {"name": "exports_generated", "threshold_pct": 5}
    answer = server.admin.put("/ops/thresholds", {"thresholds": [good, edit]})
    assert answer.status == 422, answer.body
    assert server.admin.get("/ops/thresholds").json == before


def test_who_may_ask_and_who_may_change(server: Server) -> None:
    reader, bound = server.client("read"), server.client("read", tenant="acme")
    assert reader.get("/ops/pulse").status == 200
    assert bound.get("/ops/pulse").status == 403
    assert bound.get("/ops/thresholds").status == 403
    edit = {"thresholds": [{"name": "replays_executed", "threshold_pct": 5}]}
    assert reader.put("/ops/thresholds", edit).status == 403
    assert server.client().get("/ops/pulse").status == 401


def test_a_producer_that_is_usually_there_is_missed(fresh: Server) -> None:
    for day in range(5, 12):
        send(fresh, 1, "LOGIN", f"2026-03-{day:02}T10:30:00Z", source="console")
        send(fresh, 1, "LOGIN", f"2026-03-{day:02}T22:30:00Z", source="night")
    send(fresh, 1, "API_CALL_RECEIVED", "2026-03-12T11:59:00Z", source="proxy")
    body = pulse(fresh)
    assert {one["source"]: one["is_silent"] for one in body["producers"]} == {
        "console": True,
        "night": False,
        "proxy": False,
    }
    assert [alert["message"] for alert in body["alerts"]] == [
        "console has gone silent: its newest event is of 2026-03-11 10:30 UTC."
    ]
    assert body["system_state"] == "STABLE"
    send(fresh, 1, "LOGIN", "2026-03-12T09:00:00.000001Z", source="console")
    assert pulse(fresh)["alerts"] == []
