"""``POST /v1/cloudevents``: CloudEvents 1.0 on the path of every event."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.auth import admit
from ebbtide.api.receive import receive_body
from ebbtide.api.routes.events import answer
from ebbtide.api.services import services_of
from ebbtide.domain.keys import Scope
from ebbtide.ingest.cloudevents import read

DOOR = "cloudevents"


async def post_cloudevents(request: Request) -> Response:
    """Store the events of one request, structured, batched or binary."""
    services = services_of(request)
    key = await admit(services.authenticator, request, Scope.INGEST)
    body = await receive_body(request)
    received_at = services.clock()
    reading = read(body, request.headers.items(), mapping=services.mappings.current[DOOR])
    future = services.ingestor.submit(
        reading.incoming, door=DOOR, received_at=received_at, key=key, sightings=reading.sightings
    )
    results = await asyncio.wrap_future(future)
    services.accounting.add(DOOR, reading.asides)
    return answer(reading.in_order(results))
