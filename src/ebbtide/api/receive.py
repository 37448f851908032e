"""Takes a request body off the wire, within its size and its time."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from ebbtide.api.services import services_of
from ebbtide.domain.errors import BadRequest, BodyTooLarge
from ebbtide.ingest.body import take_body
from ebbtide.ingest.decode import BODY_MAX_BYTES, decompress


async def receive_body(
    request: Request,
    *,
    limit: int = BODY_MAX_BYTES,
    deadline_s: float | None = None,
) -> bytes:
    """The plain bytes of a request's body.

    Args:
        limit: most bytes after decompression; the wire may not carry more either.
        deadline_s: how long it may take to arrive; None for the installation's own limit.

    Raises:
        BodyTooLarge: more than ``limit``, announced or found on the way.
        UnsupportedEncoding: a content encoding that we do not read.
        ReceiveTimeout: it did not arrive in time.
        BadRequest: the caller hung up, or the compressed stream is broken.
    """
    if deadline_s is None:
        deadline_s = services_of(request).receive_deadline_s
    encodings = request.headers.getlist("content-encoding")
    encoding = ",".join(encodings) if encodings else None
    announced = request.headers.get("content-length")
    if announced is not None and announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    try:
        body = await take_body(request.stream(), limit=limit, deadline_s=deadline_s)
    except ClientDisconnect as error:
        raise BadRequest("the caller hung up") from error
    if encoding is None:
        return body
    return decompress(body, encoding, limit)
