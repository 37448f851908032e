"""What ``/ops/events`` answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_EVENT: dict[str, Any] = {
    "event_id": "exp-7",
    "event_uuid": "0f4e8c8e-6d0f-5a3b-9b0e-1c6f6a1d2e3f",
    "timestamp": "2026-03-12T07:40:00Z",
    "received_at": "2026-03-12T07:40:00.210000Z",
    "tenant_id": "acme-ai",
    "tenant_uuid": "b95fdb9c-2b4b-5dc8-a4d6-3f1f0f5d7e61",
    "user_id": "u-1",
    "session_id": "s-9",
    "event_type": "EXPORT_GENERATED",
    "entity_type": "export",
    "entity_id": "exp-7",
    "severity": None,
    "latency_ms": None,
    "cost_usd": None,
    "source": "console",
    "metadata": {"format": "pdf"},
}


class OpsEvent(BaseModel):
    """One stored event; null means that it does not say."""

    event_id: str
    event_uuid: str
    timestamp: str
    received_at: str
    tenant_id: str
    tenant_uuid: str
    user_id: str | None
    session_id: str | None
    event_type: str
    entity_type: str | None
    entity_id: str | None
    severity: int | None
    latency_ms: int | None
    cost_usd: float | None
    source: str
    metadata: dict[str, Any]


class OpsEventPage(BaseModel):
    """Some events, newest first, of the window ``(since, as_of]``."""

    items: list[OpsEvent]
    total: int = Field(description="How many match, on all pages.")
    next_cursor: str | None
    since: str
    as_of: str
    known_at: str

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [_EVENT],
                    "total": 1,
                    "next_cursor": None,
                    "since": "2026-03-11T08:00:00Z",
                    "as_of": "2026-03-12T08:00:00Z",
                    "known_at": "2026-03-12T08:00:00Z",
                }
            ]
        }
    )
