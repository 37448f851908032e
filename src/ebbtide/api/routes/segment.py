"""``POST /v1/track`` and its kin: the Segment HTTP API on the path of every event."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.auth import admit, presented_key
from ebbtide.api.receive import receive_body
from ebbtide.api.routes.events import answer, require_json
from ebbtide.api.services import services_of
from ebbtide.domain.keys import Scope
from ebbtide.ingest.decode import decode_json
from ebbtide.ingest.segment import CALLS, read, write_key

DOOR = "segment"


async def post_call(request: Request) -> Response:
    """Store the messages of one call; the last part of the path names it."""
    services = services_of(request)
    require_json(request)
    key = None
    if presented_key(request) is not None:  # known before the body: nothing is read in vain
        key = await admit(services.authenticator, request, Scope.INGEST)
    raw = await receive_body(request)
    received_at = services.clock()
    body = decode_json(raw)
    if key is None:
        key = await admit(services.authenticator, request, Scope.INGEST, write_key(body))
    reading = read(
        request.url.path.rpartition("/")[2],
        body,
        received_at=received_at,
        mapping=services.mappings.current[DOOR],
        bound_tenant=key.tenant_id,
        is_past=services.directory.is_past,
    )
    future = services.ingestor.submit(
        reading.incoming,
        door=DOOR,
        received_at=received_at,
        key=key,
        sightings=reading.sightings,
    )
    results = await asyncio.wrap_future(future)
    services.accounting.add(DOOR, reading.asides)
    return answer(reading.in_order(results))


__all__ = ["CALLS", "post_call"]
