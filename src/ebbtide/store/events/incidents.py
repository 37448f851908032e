"""Finds incidents by the id that people know, and the events around one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.events.base import EVENT_COLUMNS, EventStore
from ebbtide.store.events.reading import PAGE_MAX, EventFilter, read_events

_TYPE = "INCIDENT_CREATED"
_CALL_BEFORE, _CALL_AFTER = timedelta(minutes=5), timedelta(minutes=1)
_CALL_TYPES = frozenset(
    {
        "API_CALL_RECEIVED",
        "LLM_CALL_MADE",
        "LLM_CALL_FAILED",
        "POLICY_EVALUATED",
        "POLICY_BLOCKED",
    }
)


def find_incidents(
    store: EventStore, incident_id: str, as_of: datetime, known_at: datetime | None = None
) -> list[Event]:
    """Every incident of this id, newest first.

    Args:
        incident_id: the incident's own id (``entity_id``); where none has it, the id of an event.

    Returns:
        Empty when there is none; several when tenants use the same id.
    """
    if "\0" in incident_id:
        return []  # no stored text has one, and PostgreSQL refuses to be asked
    rows = _ask(store, "entity_id = :id", incident_id, as_of, known_at)
    if not rows:
        rows = _ask(store, "event_uuid = :id", to_uuid_text(incident_id), as_of, known_at)
    return [Event(row[0], row[1] or row[0], *row[2:]) for row in rows]


def events_of_call(
    store: EventStore, incident: Event, as_of: datetime, known_at: datetime | None = None
) -> list[Event]:
    """The events of an incident's call, oldest first; empty when it names none."""
    call_id = json.loads(incident.metadata_json).get("call_id")
    if not isinstance(call_id, str):
        return []
    meant = EventFilter(
        incident.tenant_id,
        event_types=_CALL_TYPES,
        since=incident.timestamp - _CALL_BEFORE,
        as_of=min(as_of, incident.timestamp + _CALL_AFTER),
        known_at=known_at,
    )
    near = read_events(store, meant, limit=PAGE_MAX).events
    return [
        one
        for one in reversed(near)
        if one.entity_id == call_id or json.loads(one.metadata_json).get("call_id") == call_id
    ]


def _ask(
    store: EventStore, condition: str, text: str, as_of: datetime, known_at: datetime | None
) -> list[tuple[Any, ...]]:
    # One condition at a time: with an OR of both, engines read every row there is.
    params: dict[str, Any] = {"type": _TYPE, "id": text, "as_of": as_of}
    known = ""
    if known_at is not None:
        known, params["known_at"] = " AND received_at <= :known_at", known_at
    return store.query(
        f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE event_type = :type"
        f" AND {condition} AND timestamp <= :as_of{known} ORDER BY timestamp DESC, tenant_id",
        params,
    )
