"""Takes the body of a request in as it arrives, within its size and its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

from ebbtide.domain.errors import BodyTooLarge, ReceiveTimeout


async def take_body(pieces: AsyncIterable[bytes], *, limit: int, deadline_s: float) -> bytes:
    """All pieces as one.

    Args:
        pieces: of the body as they come off the wire.
        limit: most bytes that are taken; nothing beyond is held.
        deadline_s: how long all of it may take to arrive.

    Raises:
        BodyTooLarge: there is more.
        ReceiveTimeout: it did not arrive in time.
        Exception: whatever the wire says when it breaks off.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(deadline_s):
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise BodyTooLarge(f"the body is larger than {limit} bytes")
                parts.append(piece)
    except TimeoutError as error:
        raise ReceiveTimeout(f"the body did not arrive within {deadline_s:g} s") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)
