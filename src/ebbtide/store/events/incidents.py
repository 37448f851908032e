"""Finds incidents by the id that people know, and the events around one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.events.base import EVENT_COLUMNS, EventStore

_TYPE = "INCIDENT_CREATED"


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
