"""Finds incidents by the id that people know, and the events around one."""

from __future__ import annotations

from datetime import datetime

from ebbtide.domain.event import Event
from ebbtide.domain.ids import to_uuid_text
from ebbtide.store.events.base import EVENT_COLUMNS, EventStore

_TYPE = "INCIDENT_CREATED"


def find_incidents(
    store: EventStore, incident_id: str, as_of: datetime, known_at: datetime | None = None
) -> list[Event]:
    """Every incident of this id, newest first.

    Args:
        incident_id: the incident's own id (``entity_id``), or the id of its event.

    Returns:
        Empty when there is none; several when tenants use the same id.
    """
    if "\0" in incident_id:
        return []  # no stored text has one, and PostgreSQL refuses to be asked
    params = {
        "type": _TYPE,
        "id": incident_id,
        "uuid": to_uuid_text(incident_id),
        "as_of": as_of,
    }
    known = ""
    if known_at is not None:
        known, params["known_at"] = " AND received_at <= :known_at", known_at
    rows = store.query(
        f"SELECT {', '.join(EVENT_COLUMNS)} FROM events WHERE event_type = :type"
        f" AND (entity_id = :id OR event_uuid = :uuid) AND timestamp <= :as_of{known}"
        " ORDER BY timestamp DESC, tenant_id",
        params,
    )
    return [Event(row[0], row[1] or row[0], *row[2:]) for row in rows]
