"""Limits over HTTP: gauges go in once, and what is not known is said to be so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from api_server import NOON, Server, event

from ebbtide.domain.time import format_instant

HOUR = timedelta(hours=1)


def line(num: int = 200, *, start: float = 100.0, per_hour: float = 0.5, **more: Any) -> list[Any]:
    """Hourly gauges up to noon."""
    return [
        {
            "resource": "redis_memory",
            "used": start + per_hour * i,
            "limit": 256,
            "unit": "MB",
            "at": format_instant(NOON - (num - 1 - i) * HOUR),
        }
        | more
        for i in range(num)
    ]


def by_name(body: dict[str, Any]) -> dict[str, Any]:
    return {one["resource"]: one for one in body["resources"]}


def test_gauges_become_days_to_the_limit(fresh: Server) -> None:
    assert fresh.admin.post("/v1/gauges", {"gauges": line()}).json == {
        "stored": 200,
        "duplicate": 0,
    }
    body = fresh.admin.get("/ops/infra").json
    redis = by_name(body)["redis_memory"]
    assert (redis["used"], redis["limit"], redis["unit"]) == (199.5, 256.0, "MB")
    assert redis["utilization_pct"] == 77.9
    assert redis["status"] == "growing"
    assert redis["days_to_limit"] == pytest.approx(56.5 / 12, rel=0.05)
    assert redis["days_low"] <= 56.5 / 12 <= redis["days_high"]
    assert redis["growth_per_day"] == pytest.approx(12, rel=0.05)
    assert redis["level"] == "critical"
    assert redis["message"].startswith("At current growth the limit is reached in 5 days (")
    assert redis["reason"] is None
    assert redis["peak"] == {"at": "2026-03-12T12:00:00Z", "used": 199.5, "utilization_pct": 77.9}
    assert (body["redis_memory_used_mb"], body["redis_memory_limit_mb"]) == (199.5, 256)
    assert body["redis_memory_days_to_limit"] == redis["days_to_limit"]
    assert body["warnings"][0]["resource"] == "redis_memory"


def test_both_paths_answer_the_same(fresh: Server) -> None:
    fresh.admin.post("/v1/gauges", {"gauges": line()})
    assert fresh.admin.get("/ops/infra").json == fresh.admin.get("/api/v1/ops/infra").json


def test_the_same_request_twice_is_kept_once(fresh: Server) -> None:
    body = {"gauges": line(20)}
    fresh.admin.post("/v1/gauges", body)
    again = fresh.admin.post("/v1/gauges", body)
    assert again.json == {"stored": 0, "duplicate": 20}


def test_a_past_moment_knows_nothing_of_what_followed(fresh: Server) -> None:
    fresh.admin.post("/v1/gauges", {"gauges": line(100)})
    at = format_instant(NOON - 40 * HOUR)
    before = by_name(fresh.admin.get("/ops/infra", as_of=at).json)["redis_memory"]
    fresh.admin.post("/v1/gauges", {"gauges": line(1, start=999.0)})
    after = by_name(fresh.admin.get("/ops/infra", as_of=at).json)["redis_memory"]
    assert before == after
    assert before["used"] == 100 + 0.5 * 59


def test_what_came_later_was_not_known(fresh: Server) -> None:
    """Gauges and calls of the past that are sent today, asked for as it was known then."""
    gauges = line(100)
    calls = [
        event(event_type="API_CALL_RECEIVED", timestamp=format_instant(NOON - n * 24 * HOUR))
        for n in range(1, 13)
    ]
    fresh.admin.post("/v1/gauges", {"gauges": gauges[:80]})
    fresh.admin.send(*calls[:8])
    known_at = format_instant(NOON)
    fresh.clock.advance(minutes=1)

    def ask(**moments: str) -> Any:
        return fresh.admin.get("/ops/infra", as_of=format_instant(NOON), **moments).json

    then = ask(known_at=known_at)
    assert then["known_at"] == known_at
    assert by_name(then)["redis_memory"]["used"] == 100 + 0.5 * 79
    growth = then["traffic"]["api_growth_rate_pct_per_week"]
    assert growth == 200.0 == ask()["traffic"]["api_growth_rate_pct_per_week"]  # 6 after 2
    fresh.admin.post("/v1/gauges", {"gauges": gauges[80:]})
    fresh.admin.send(*calls[8:])
    assert ask(known_at=known_at) == then
    now = ask()
    assert by_name(now)["redis_memory"]["used"] == 100 + 0.5 * 99
    assert now["traffic"]["api_growth_rate_pct_per_week"] == 0.0
    assert fresh.admin.get("/ops/infra", known_at=known_at).json == then
    later = format_instant(fresh.clock.now + HOUR)
    assert fresh.admin.get("/ops/infra", known_at=later).status == 422


def test_nothing_sampled_is_an_empty_list_and_no_zero(fresh: Server) -> None:
    body = fresh.admin.get("/ops/infra").json
    assert body["resources"] == []
    assert body["db_connections_current"] is None
    assert body["redis_memory_used_mb"] is None
    assert body["api_growth_rate_pct_per_week"] is None


def test_an_old_sample_is_not_what_is_in_use_now(fresh: Server) -> None:
    fresh.admin.post("/v1/gauges", {"gauges": line(50)})
    fresh.clock.advance(hours=25)
    redis = by_name(fresh.admin.get("/ops/infra").json)["redis_memory"]
    assert (redis["status"], redis["reason"]) == ("unavailable", "stale")
    assert (redis["used"], redis["days_to_limit"], redis["utilization_pct"]) == (None, None, None)
    assert redis["sampled_at"] == "2026-03-12T12:00:00Z"
    assert redis["level"] == "unknown"


def test_without_a_limit_the_growth_is_all_there_is(fresh: Server) -> None:
    fresh.admin.post("/v1/gauges", {"gauges": line(limit=None)})
    redis = by_name(fresh.admin.get("/ops/infra").json)["redis_memory"]
    assert (redis["limit"], redis["days_to_limit"], redis["reason"]) == (None, None, "no_limit")
    assert redis["growth_per_day"] == pytest.approx(12, rel=0.05)


def test_few_samples_are_too_few(fresh: Server) -> None:
    fresh.admin.post("/v1/gauges", {"gauges": line(5)})
    redis = by_name(fresh.admin.get("/ops/infra").json)["redis_memory"]
    assert (redis["status"], redis["reason"]) == ("insufficient_data", "insufficient_data")
    assert redis["used"] == 102.0


def test_the_job_looks_and_its_projection_is_what_is_shown(fresh: Server) -> None:
    fresh.admin.post("/v1/gauges", {"gauges": line()})
    run = fresh.admin.post("/ops/jobs/sample-resources", None)
    assert run.status == 200, run.body
    assert run.json["counts"]["num_samples"] == 3
    body = fresh.admin.get("/ops/infra").json
    found = by_name(body)
    assert set(found) == {"redis_memory", "disk", "event_store", "state_store"}
    assert found["disk"]["used"] > 0
    assert found["disk"]["origin"] == "probe"
    assert found["redis_memory"]["projected_at"] == run.json["as_of"]
    assert {one["probe"] for one in body["probes"]} == {"disk", "event_store", "state_store"}


def test_traffic_counts_calls(fresh: Server) -> None:
    from api_server import event

    calls = [("2026-03-12T11:59:30Z", 3), ("2026-03-12T11:30:00Z", 2), ("2026-03-02T11:00:00Z", 4)]
    events = [
        event(event_type="API_CALL_RECEIVED", timestamp=at) for at, num in calls for _ in range(num)
    ]
    assert set(fresh.admin.send(*events).results) == {"stored"}
    traffic = fresh.admin.get("/ops/infra").json["traffic"]
    assert traffic == {
        "api_calls_per_minute_avg": 0.08,
        "api_calls_per_minute_peak": 3,
        "api_growth_rate_pct_per_week": 25.0,
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"used": -1}, "used"),
        ({"limit": 0}, "limit"),
        ({"limit": -5}, "limit"),
        ({"used": "many"}, "used"),
        ({"used": 1e300}, "used"),
        ({"resource": ""}, "resource"),
        ({"resource": "a\0b"}, "resource"),
        ({"resource": "x" * 101}, "resource"),
        ({"unit": "\x1b[31m"}, "unit"),
        ({"at": "2026-03-12T12:00:00"}, "at"),
        ({"at": "2026-03-12T13:00:00Z"}, "at"),
        ({"at": "1969-12-31T00:00:00Z"}, "at"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_gauge_is_refused_with_all_others(
    server: Server, wrong: dict[str, Any], said: str
) -> None:
    good = {"resource": "never_kept", "used": 1}
    answer = server.admin.post(
        "/v1/gauges", {"gauges": [good, {"resource": "r", "used": 1} | wrong]}
    )
    assert answer.status == 422, answer.body
    assert said in answer.body.decode()
    assert "never_kept" not in by_name(server.admin.get("/ops/infra").json)


def test_not_a_number_is_refused(server: Server) -> None:
    answer = server.admin.post("/v1/gauges", b'{"gauges":[{"resource":"r","used":NaN}]}')
    assert answer.status in (400, 422), answer.body


def test_too_many_resources_are_refused(fresh: Server) -> None:
    gauges = [{"resource": f"host-{n}", "used": 1} for n in range(501)]
    answer = fresh.admin.post("/v1/gauges", {"gauges": gauges})
    assert answer.status == 422
    assert fresh.admin.post("/v1/gauges", {"gauges": gauges[:500]}).json["stored"] == 500
    more = fresh.admin.post("/v1/gauges", {"gauges": [{"resource": "another", "used": 1}]})
    assert more.status == 422


def test_keys_of_one_tenant_stay_out(server: Server) -> None:
    reader = server.client("read", tenant="acme")
    assert reader.get("/ops/infra").status == 403
    sender = server.client("ingest", tenant="acme")
    gauges = {"gauges": [{"resource": "r", "used": 1}]}
    assert sender.post("/v1/gauges", gauges).status == 403


def test_the_future_is_not_asked_for(server: Server) -> None:
    assert server.admin.get("/ops/infra", as_of="2026-03-12T12:00:01Z").status == 422
