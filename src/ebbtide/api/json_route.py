"""Routes with a JSON body: who calls is known before it is read, and it is small and in time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.dependencies import admin, reader, writer
from ebbtide.api.receive import receive_body

JSON_MAX_BYTES = 1024 * 1024  # room for 100,000 row numbers
GUARDS = frozenset({admin, reader, writer})


class JsonRoute(APIRoute):
    """A route as the framework has it, but nothing of a stranger's body is taken in.

    The framework reads a body of any size, for any time, before it asks who sends it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the two checks."""
        handle = super().get_route_handler()
        guards = [one.call for one in self.dependant.dependencies if one.call in GUARDS]

        async def guarded(request: Request) -> Response:
            if self.body_field is not None:
                for guard in guards:
                    await run_in_threadpool(guard, request)
                request._body = await receive_body(request, limit=JSON_MAX_BYTES)
            return await handle(request)

        return guarded
