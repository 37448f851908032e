"""Takes a request body off the wire, within its size and its time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from ebbtide.api.services import services_of
from ebbtide.domain.errors import BadRequest, BodyTooLarge, ReceiveTimeout
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
    parts = []
    size = 0
    try:
        async with asyncio.timeout(deadline_s):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise BodyTooLarge(f"the body is larger than {limit} bytes")
                parts.append(part)
    except TimeoutError as error:
        raise ReceiveTimeout(f"the body did not arrive within {deadline_s:g} s") from error
    except ClientDisconnect as error:
        raise BadRequest("the caller hung up") from error
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    if encoding is None:
        return body
    return decompress(body, encoding, limit)
