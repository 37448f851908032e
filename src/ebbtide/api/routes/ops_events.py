"""``GET /ops/events``: the events behind the numbers, by filter, with their total."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.events import OpsEvent, OpsEventPage
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.domain.time import format_instant
from ebbtide.store.events.reading import (
    PAGE_MAX,
    EventFilter,
    count_events,
    read_events,
    to_json,
)

HOURS_MAX = 168
HOURS = 24  # when neither a start nor a length is given

router = APIRouter(tags=["events"], route_class=JsonRoute)
Said = Annotated[str | None, Query(description="Empty: events that do not say.")]


@router.get("/ops/events", summary="Events of a window, newest first, with their total")
def list_ops_events(
    house: Annotated[Services, Depends(services)],
    key: Annotated[ApiKey, Depends(reader)],
    tenant_id: str | None = None,
    event_type: Annotated[str | None, Query(description="One, or several by comma.")] = None,
    user_id: str | None = None,
    session_id: str | None = None,
    source: str | None = None,
    model: Said = None,
    policy_id: Said = None,
    policy_version: Said = None,
    resource: Said = None,
    since: Annotated[Instant, Query(description="Open start of the window.")] = None,
    hours: Annotated[
        int | None,
        Query(ge=1, le=HOURS_MAX, description="Length of the window, instead of since."),
    ] = None,
    as_of: Instant = None,
    known_at: Instant = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
) -> OpsEventPage:
    """The window is the last 24 hours up to ``as_of`` unless ``since`` or ``hours`` says other.

    Give the ``as_of`` of the first page with every cursor, so that all pages are of one window.
    """
    if since is not None and hours is not None:
        raise Unprocessable("give since or hours, not both")
    types = None if event_type is None else frozenset(event_type.split(","))
    known = house.catalog.event_types
    for one in types or ():
        if one not in known:
            raise Unprocessable(f"event_type is none of the catalog{did_you_mean(one, known)}")
    if key.tenant_id is not None:
        if tenant_id is not None and not key.covers(tenant_id):
            raise NotFound("there is no such tenant")
        tenant_id = key.tenant_id
    spelling = None
    if tenant_id is not None:
        uuid = to_uuid_text(tenant_id)
        spelling = house.state.tenants.spellings([uuid]).get(uuid, tenant_id)
    said = {
        "source": source,
        "model": model,
        "policy_id": policy_id,
        "policy_version": policy_version,
        "resource": resource,
    }
    now = house.clock()
    until = as_of or now
    start = since or until - timedelta(hours=hours or HOURS)
    meant = EventFilter(
        spelling,
        user_id=user_id,
        session_id=session_id,
        event_types=types,
        since=start,
        as_of=until,
        known_at=known_at,
        said={name: text or None for name, text in said.items() if text is not None},
    )
    page = read_events(house.events, meant, cursor=cursor, limit=limit)
    return OpsEventPage(
        items=[OpsEvent.model_validate(to_json(event)) for event in page.events],
        total=count_events(house.events, meant),
        next_cursor=page.next_cursor,
        since=format_instant(start),
        as_of=format_instant(until),
        known_at=format_instant(known_at or now),
    )
