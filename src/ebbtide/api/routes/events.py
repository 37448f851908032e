"""``POST /v1/events``: events in, one result each, answered when they are on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.auth import admit
from ebbtide.api.receive import receive_body
from ebbtide.api.services import services_of
from ebbtide.domain.errors import UnsupportedEncoding
from ebbtide.domain.event import Outcome
from ebbtide.domain.keys import Scope
from ebbtide.ingest.decode import decode_events
from ebbtide.ingest.incoming import Aside
from ebbtide.ingest.result import Result

_WORDS = tuple(outcome.word for outcome in Outcome)  # by value
_encode = msgspec.json.Encoder().encode

JSON_TYPES = frozenset({"", "application/json", "text/json"})


async def post_events(request: Request) -> Response:
    """Store one event, a list of events, or ``{"events": [...]}``."""
    services = services_of(request)
    key = await admit(services.authenticator, request, Scope.INGEST)
    require_json(request)
    body = await receive_body(request)
    received_at = services.clock()
    incoming = decode_events(body)
    future = services.ingestor.submit(incoming, door="events", received_at=received_at, key=key)
    results = await asyncio.wrap_future(future)
    return answer(results)


def require_json(request: Request) -> None:
    """Refuse a content type that is not JSON; none at all counts as JSON.

    Raises:
        UnsupportedEncoding: another type, or a charset other than UTF-8.
    """
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if kind not in JSON_TYPES and not kind.endswith("+json"):
        raise UnsupportedEncoding("send the header Content-Type: application/json")
    charset = rest.lower().partition("charset=")[2].split(";")[0].strip().strip('"')
    if charset not in ("", "utf-8", "utf8"):
        raise UnsupportedEncoding("send UTF-8")


def answer(results: Sequence[Result | Aside]) -> Response:
    """The body that every ingest door answers with: results in request order, and their sums."""
    counts = [0] * len(_WORDS)
    listed = []
    for event_id, outcome, reason in results:
        counts[outcome] += 1
        listed.append({"event_id": event_id, "result": _WORDS[outcome], "reason": reason})
    body = {"results": listed, **dict(zip(_WORDS, counts, strict=True))}
    return Response(_encode(body), media_type="application/json")
