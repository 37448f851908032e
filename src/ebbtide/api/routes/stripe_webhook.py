"""``POST /v1/webhooks/stripe``: what Stripe says, on the path of every event."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.receive import receive_body
from ebbtide.api.routes.events import answer
from ebbtide.api.services import services_of
from ebbtide.domain.errors import NotFound, UnsupportedEncoding, WrongSignature
from ebbtide.ingest.stripe import BODY_MAX_BYTES, SOURCE, read
from ebbtide.ingest.stripe_signature import check_signature


async def post_stripe(request: Request) -> Response:
    """Store the events of one message; its signature stands in for a key.

    The answer is given when they are on disk, so that Stripe keeps what is not.
    """
    services = services_of(request)
    if not services.stripe.secrets:
        raise NotFound("no Stripe endpoint: set EBBTIDE_STRIPE_WEBHOOK_SECRET")
    headers = request.headers.getlist("stripe-signature")
    if len(headers) != 1:
        raise WrongSignature("send one header Stripe-Signature")
    if request.headers.get("content-encoding") is not None:
        raise UnsupportedEncoding("send the body as it was signed, without an encoding")
    body = await receive_body(request, limit=BODY_MAX_BYTES)
    received_at = services.clock()
    check_signature(headers[0], body, services.stripe.secrets, received_at)
    incoming = read(body, services.stripe)
    future = services.ingestor.submit(incoming, door=SOURCE, received_at=received_at)
    results = await asyncio.wrap_future(future)
    return answer(results)
