"""``GET /v1/events``: what is stored, as of any moment."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.store.events.reading import PAGE_MAX, EventFilter, read_events, to_json

router = APIRouter(tags=["events"], route_class=JsonRoute)


@router.get("/v1/events", summary="Stored events, newest first")
def list_events(
    house: Annotated[Services, Depends(services)],
    key: Annotated[ApiKey, Depends(reader)],
    tenant_id: str | None = None,
    event_type: str | None = None,
    event_id: str | None = None,
    user_id: str | None = None,
    since: Instant = None,
    as_of: Instant = None,
    known_at: Instant = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
) -> dict[str, Any]:
    """A page of events; ``as_of`` and ``known_at`` show the past as it was known then."""
    known = house.catalog.event_types
    if event_type is not None and event_type not in known:
        raise Unprocessable(f"event_type is none of the catalog{did_you_mean(event_type, known)}")
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            raise NotFound("there is no such tenant")
        tenant_id = key.tenant_id
    spelling = None
    if tenant_id is not None:
        uuid = to_uuid_text(tenant_id)
        spelling = house.state.tenants.spellings([uuid]).get(uuid, tenant_id)
    meant = EventFilter(spelling, event_type, event_id, user_id, since, as_of, known_at)
    page = read_events(house.events, meant, cursor=cursor, limit=limit)
    return {
        "events": [to_json(e) for e in page.events],
        "next_cursor": page.next_cursor,
    }
