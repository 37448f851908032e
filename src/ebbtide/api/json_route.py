"""Described routes: who calls comes first, then a body in bounds and only known parameters."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.dependencies import admin, intervener, job_runner, reader, writer
from ebbtide.api.receive import receive_body
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.nearest import did_you_mean

JSON_MAX_BYTES = 1024 * 1024  # room for 100,000 row numbers
GUARDS = frozenset({admin, intervener, job_runner, reader, writer})


class JsonRoute(APIRoute):
    """A route as the framework has it, but stricter with what it takes in.

    The framework reads a body of any size, for any time, before it asks who sends it. And it
    passes over parameters that it does not know: a misspelt filter would answer with everything.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the checks."""
        handle = super().get_route_handler()
        guards = [one.call for one in self.dependant.dependencies if one.call in GUARDS]
        known = [one.alias for one in self.dependant.query_params]

        async def guarded(request: Request) -> Response:
            unknown = [name for name in request.query_params if name not in known]
            if unknown or self.body_field is not None:
                for guard in guards:
                    await run_in_threadpool(guard, request)
            if unknown:
                raise BadRequest(_refusal(unknown[0], known))
            if self.body_field is not None:
                request._body = await receive_body(request, limit=JSON_MAX_BYTES)
            answer = await handle(request)
            if request.app.state.is_simulated:
                _mark_simulated(answer)
            return answer

        return guarded


def _mark_simulated(answer: Response) -> None:
    """Say in the body what the header says: numbers are copied from bodies."""
    if "content-disposition" in answer.headers:
        return  # a file, which may be signed as it is, and says it by itself
    if answer.status_code < 300 and answer.body[:1] == b"{":
        rest = bytes(answer.body[1:])
        answer.body = b'{"simulated":true' + (rest if rest == b"}" else b"," + rest)
        answer.headers["content-length"] = str(len(answer.body))


def _refusal(name: str, known: Sequence[str]) -> str:
    """Why a parameter is refused; its name is not repeated, since it may be a misplaced secret."""
    takes = f"this route takes {', '.join(known)}" if known else "this route takes none"
    return f"there is a query parameter that is not known; {takes}{did_you_mean(name, known)}"
