"""``POST /v1/changes``: what was changed on purpose, for whom, when."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from ebbtide.api.dependencies import services, writer
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.changes import EVENT_TYPE, EVERYBODY, KINDS, NEEDED, ChangeBody
from ebbtide.api.routes.events import answer
from ebbtide.api.services import Services
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.domain.time import format_instant
from ebbtide.ingest.incoming import Incoming

router = APIRouter(tags=["changes"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


@router.post("/v1/changes", summary="Record a change", response_model=None)
async def post_change(
    body: ChangeBody, house: House, key: Annotated[ApiKey, Depends(writer)]
) -> Response:
    """Store an event of the change for each tenant it touches; the answer is that of events.

    A key that is bound to a tenant records changes of that tenant.
    """
    if body.kind not in KINDS:
        raise Unprocessable(f"kind is one of {', '.join(KINDS)}{did_you_mean(body.kind, KINDS)}")
    metadata = body.metadata
    missing = [name for name in NEEDED[body.kind] if name not in metadata]
    if missing:
        raise Unprocessable(f"a change of kind {body.kind} needs {', '.join(missing)}")
    now = house.clock()
    tenants = body.tenants or [key.tenant_id or EVERYBODY]
    fields: dict[str, Any] = {
        "timestamp": format_instant(body.at or now),
        "event_type": EVENT_TYPE,
        "metadata": metadata,
    }
    if body.event_id is not None:
        fields["event_id"] = body.event_id  # ids are a tenant's own, so all may have the same
    incoming = [
        Incoming(one, msgspec.json.encode(one), None)
        for one in (fields | {"tenant_id": tenant_id} for tenant_id in dict.fromkeys(tenants))
    ]
    future = house.ingestor.submit(
        incoming, door="changes", received_at=now, key=key, default_source="changes"
    )
    results = await asyncio.wrap_future(future)
    return answer(results)
