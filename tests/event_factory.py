"""Builds valid events for store tests: plain ones by default, every detail open to change."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.events.base import EventStore

#: A moment on a full hour, so that edges are easy to see in a test.
NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def make_event(event_id: str = "first", **details: Any) -> Event:
    """One event with only its obligatory fields set, unless details say more.

    Args:
        event_id: any text; the event's UUID follows from it.
        details: fields of Event; ``received_at`` defaults to one second after ``timestamp``.
    """
    fields: dict[str, Any] = dict.fromkeys(Event._fields)
    fields.update(
        event_uuid=to_uuid_text(event_id),
        event_id=event_id,
        timestamp=NOON,
        tenant_id="acme",
        event_type="LOGIN",
        source="test",
        metadata_json="{}",
    )
    fields.update(details)
    if fields["received_at"] is None:
        fields["received_at"] = fields["timestamp"] + timedelta(seconds=1)
    return Event(**fields)


def make_full_event(event_id: str = "full", **details: Any) -> Event:
    """One event in which no field is empty."""
    fields: dict[str, Any] = {
        "timestamp": datetime(2026, 3, 12, 8, 30, 59, 999_999, tzinfo=UTC),
        "received_at": datetime(2026, 3, 12, 8, 31, 0, 1, tzinfo=UTC),
        "tenant_id": "acme",
        "user_id": "user-1",
        "session_id": "session-1",
        "event_type": "LLM_CALL_MADE",
        "entity_type": "llm_call",
        "entity_id": "call-1",
        "severity": 3,
        "latency_ms": 1234,
        "cost_usd": Decimal("0.0123456789"),
        "source": "api",
        "metadata_json": '{"model":"m-1","tokens_in":10,"tokens_out":20}',
        "model": "m-1",
        "policy_id": "policy-1",
        "policy_version": "v11",
        "status_code": 200,
        "attribution": "prompt",
        "error_type": "timeout",
        "tokens_in": 10,
        "tokens_out": 20,
        "resource": "redis",
        "plan": "pro",
    }
    return make_event(event_id, **{**fields, **details})


def make_many(
    count: int,
    seed: int,
    *,
    tenants: int = 7,
    span: timedelta = timedelta(hours=30),
    time_ordered_ids: bool = False,
) -> list[Event]:
    """Varied events, always the same for one seed.

    Args:
        count: how many.
        seed: decides every random detail.
        tenants: over how many tenants they are spread.
        span: they happened within this time after NOON.
        time_ordered_ids: ids rise with the timestamp (UUIDv7) instead of being random (UUIDv4).
    """
    rng = random.Random(seed)
    span_us = span // timedelta(microseconds=1)
    kinds = ("LLM_CALL_MADE", "INCIDENT_VIEWED", "REPLAY_EXECUTED", "API_CALL_RECEIVED")
    events = []
    for offset in sorted(rng.randrange(span_us) for _ in range(count)):
        when = NOON + timedelta(microseconds=offset)
        bits = rng.getrandbits(128)
        if time_ordered_ids:
            bits = (int(when.timestamp() * 1000) << 80) | (bits & (1 << 80) - 1)
        bits = bits & ~(0xF << 76) | ((7 if time_ordered_ids else 4) << 76)
        uuid = str(UUID(int=bits & ~(0x3 << 62) | (0x2 << 62)))
        paid = rng.random() < 0.5
        events.append(
            make_event(
                uuid,
                timestamp=when,
                received_at=when + timedelta(microseconds=rng.randrange(5_000_000)),
                tenant_id=f"tenant-{rng.randrange(tenants)}",
                user_id=f"user-{rng.randrange(50)}",
                event_type=rng.choice(kinds),
                cost_usd=Decimal(rng.randrange(10**10)).scaleb(-10) if paid else None,
                latency_ms=rng.randrange(60_000) if rng.random() < 0.7 else None,
                metadata_json=f'{{"step":{rng.randrange(100)}}}',
            )
        )
    return events


def stored_ids(store: EventStore, tenant_id: str = "acme") -> Sequence[str]:
    """The UUIDs stored for a tenant, in their order."""
    sql = "SELECT event_uuid FROM events WHERE tenant_id = :tenant ORDER BY event_uuid"
    return [row[0] for row in store.query(sql, {"tenant": tenant_id})]
