"""Takes a request body off the wire, within its size and its time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from ebbtide.domain.errors import BadRequest, BodyTooLarge, ReceiveTimeout
from ebbtide.ingest.decode import BODY_MAX_BYTES, decompress

RECEIVE_DEADLINE_S = 30.0  # a body that trickles longer than this is not waited for


async def receive_body(
    request: Request,
    *,
    limit: int = BODY_MAX_BYTES,
    deadline_s: float = RECEIVE_DEADLINE_S,
) -> bytes:
    """The plain bytes of a request's body.

    Args:
        limit: most bytes after decompression; the wire may not carry more either.

    Raises:
        BodyTooLarge: more than ``limit``, announced or found on the way.
        UnsupportedEncoding: a content encoding that we do not read.
        ReceiveTimeout: it did not arrive in time.
        BadRequest: the caller hung up, or the compressed stream is broken.
    """
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
        raise ReceiveTimeout(f"the body did not arrive within {deadline_s:.0f} s") from error
    except ClientDisconnect as error:
        raise BadRequest("the caller hung up") from error
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    if encoding is None:
        return body
    return decompress(body, encoding, limit)
