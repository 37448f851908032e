"""An answer to a request whose body is not wanted, given so that the caller can read it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

#: What the caller still sends is taken off the wire and dropped: for so long, while it flows.
DROP_MAX_S, DROP_STALL_S = 10.0, 0.5


class PartingAnswer(Response):
    """The answer goes out at once; what is still on its way is dropped, and then we hang up.

    Most callers send all of a body before they look for an answer. Would we hang up while they
    send, their system would throw the answer away and tell them of a broken connection.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, drop, end."""
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]):
            with suppress(TimeoutError):
                await _drop(receive)
        await send({"type": "http.response.body", "body": b""})


async def _drop(receive: Receive) -> None:
    """Until the body ends or the caller hangs up.

    Raises:
        TimeoutError: it took too long, or nothing came any more.
    """
    async with asyncio.timeout(DROP_MAX_S):
        while True:
            async with asyncio.timeout(DROP_STALL_S):
                message = await receive()
            if not message.get("more_body"):
                return
