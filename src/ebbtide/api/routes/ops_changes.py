"""``GET /ops/changes``: what was changed on purpose, newest first."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.changes import EVENT_TYPE, EVERYBODY, ChangePage, change_shown
from ebbtide.api.services import Services
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.time import format_instant
from ebbtide.store.events.reading import PAGE_MAX, EventFilter, read_events

DAYS = 30  # that are listed when nobody says since when

router = APIRouter(tags=["changes"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


@router.get("/ops/changes", summary="What was changed, newest first")
def list_changes(
    house: House,
    key: Annotated[ApiKey, Depends(reader)],
    since: Annotated[Instant, Query(description="Open start; 30 days before by default.")] = None,
    as_of: Instant = None,
    known_at: Instant = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
) -> ChangePage:
    """Recorded changes; a key that is bound to a tenant sees those of that tenant."""
    until = as_of or house.clock()
    start = since or until - timedelta(days=DAYS)
    spelling = None
    if key.tenant_id is not None:
        uuid = to_uuid_text(key.tenant_id)
        spelling = house.state.tenants.spellings([uuid]).get(uuid, key.tenant_id)
    meant = EventFilter(
        spelling, event_type=EVENT_TYPE, since=start, as_of=until, known_at=known_at
    )
    page = read_events(house.events, meant, cursor=cursor, limit=limit)
    return ChangePage(
        items=[change_shown(event, EVERYBODY) for event in page.events],
        since=format_instant(start),
        as_of=format_instant(until),
        next_cursor=page.next_cursor,
    )
