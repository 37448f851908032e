"""A small company with something of everything that is counted, so that no number is missing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from api.api_server import NOON, Server, event
from ebbtide.domain.time import format_instant

DAY = timedelta(days=1)
#: A customer whose name a spreadsheet would run.
FORMULA = "=1+1"


def settle(server: Server) -> None:
    """Send its events, and let the jobs run."""
    sent = [
        happened("SUBSCRIPTION_STARTED", 40, metadata={"plan": "team", "price_usd": 300}),
        happened("SUBSCRIPTION_STARTED", 50, "gone", metadata={"plan": "x", "price_usd": 10}),
        happened("SUBSCRIPTION_CANCELLED", 5, "gone", metadata={"reason": "too_expensive"}),
        *(happened("LLM_CALL_MADE", day, cost_usd=0.25) for day in (0.1, 0.2, 3)),
        happened("LLM_CALL_FAILED", 0.1),
        happened("LLM_CALL_FAILED", 0.3, FORMULA),
        *(happened("API_CALL_RECEIVED", day, latency_ms=90) for day in (0.001, 0.02, 9)),
        *(happened("EXPORT_GENERATED", day) for day in (0.1, 0.2, 1.1, 1.2, 1.3, 7.1)),
        *(incident(day, model="gpt-4o", policy_id="PII") for day in (0.1, 0.2)),
        incident(0.3, model="gpt-4o"),
        incident(0.4, policy_id="PII", policy_version="v2", severity=4),
        *(happened("INCIDENT_VIEWED", day) for day in (0.1, 33)),
        happened(
            "CHANGE_RECORDED", 2, "platform", metadata={"kind": "deploy", "note": "<b>v7</b>"}
        ),
        happened("POLICY_BLOCKED", 0.5, metadata={"policy_id": "PII"}),
        happened(
            "INFRA_LIMIT_HIT",
            0.1,
            "platform",
            metadata={"resource": "redis_memory", "current": 9, "limit": 10},
        ),
        *(
            happened(
                "POLICY_EVALUATED",
                day,
                metadata={"policy_id": "PII", "policy_version": version},
            )
            for version, days in (("v1", (6, 5.5, 5)), ("v2", (0.6, 0.5, 0.4)))
            for day in days
        ),
    ]
    answer = server.admin.send(*sent)
    assert set(answer.results) == {"stored"}, answer.reasons
    gauges = [
        {
            "resource": "db_storage",
            "used": 40 + n,
            "limit": 100,
            "unit": "GB",
            "at": format_instant(NOON - (30 - n) * DAY),
        }
        for n in range(30)
    ]
    told = server.admin.post("/v1/gauges", {"gauges": gauges})
    assert told.status == 200, told.body
    for job in ("compute-stickiness", "detect-silent-churn", "evaluate-playbooks"):
        assert server.admin.post(f"/ops/jobs/{job}", b"").status == 200


def happened(event_type: str, days_ago: float, tenant: str = "acme", **more: Any) -> dict[str, Any]:
    """An event so many days before noon of Thursday, 12 March 2026."""
    at = format_instant(NOON - days_ago * DAY)
    return event(event_type=event_type, tenant_id=tenant, timestamp=at, **more)


def incident(days_ago: float, severity: int = 2, **metadata: str) -> dict[str, Any]:
    return happened("INCIDENT_CREATED", days_ago, severity=severity, metadata=metadata)
