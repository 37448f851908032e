"""``POST /v1/chat/completions`` and ``/v1/embeddings``: calls to models, through the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ebbtide.api import problems
from ebbtide.api.auth import admit
from ebbtide.api.receive import receive_body
from ebbtide.api.routes.events import require_json
from ebbtide.api.services import services_of
from ebbtide.domain.errors import Forbidden, Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.keys import Scope as KeyScope
from ebbtide.egress.models import CHAT, EMBEDDINGS
from ebbtide.guard.proxy import CallBlocked, Caller, Reply, UpstreamFailed
from ebbtide.guard.request import is_id

REQUEST_MAX_BYTES = 16 * 1024 * 1024  # pictures come as text within it
TENANT_HEADER = "x-ebbtide-tenant"
CALL_HEADER = "x-ebbtide-call-id"
_HINTS = ("x-ebbtide-user", "x-ebbtide-session", "x-ebbtide-upstream")


async def post_chat(request: Request) -> Response:
    """A chat completion, as a whole or as a stream."""
    return await _post(request, CHAT)


async def post_embeddings(request: Request) -> Response:
    """Embeddings of texts."""
    return await _post(request, EMBEDDINGS)


async def _post(request: Request, path: str) -> Response:
    services = services_of(request)
    key = await admit(services.authenticator, request, KeyScope.LLM_CALL)
    require_json(request)
    caller = caller_of(request, key)
    body = await receive_body(request, limit=REQUEST_MAX_BYTES)
    try:
        reply = await services.guard.proxy.call(path, body, caller)
    except CallBlocked as error:
        return _blocked(error)
    except UpstreamFailed as error:
        return _failed(error)
    return _Answer(reply)


def caller_of(request: Request, key: ApiKey) -> Caller:
    """Who calls: the tenant of a bound key, or the one that the header names.

    Raises:
        Forbidden: the header names another tenant than the key's.
        Unprocessable: nothing names a tenant, or a header is no id.
    """
    named = _header(request, TENANT_HEADER)
    if key.tenant_id is not None:
        if named is not None and not key.covers(named):
            raise Forbidden("this key is bound to another tenant")
        tenant_id = key.tenant_id
    elif named is None:
        raise Unprocessable("name the tenant in the header X-Ebbtide-Tenant, or bind the key")
    else:
        tenant_id = named
    user_id, session_id, upstream_id = (_header(request, name) for name in _HINTS)
    return Caller(tenant_id, key.key_id, user_id, session_id, upstream_id)


def _header(request: Request, name: str) -> str | None:
    given = request.headers.getlist(name)
    if not given:
        return None
    text = given[0]
    with suppress(UnicodeError):
        text = text.encode("latin-1").decode()  # ids beyond ASCII are sent as UTF-8
    if len(given) > 1 or not is_id(text):
        raise Unprocessable(f"send one header {name} with an id of at most 200 characters")
    return text


def _blocked(error: CallBlocked) -> Response:
    policies = [
        {
            "policy_id": one.policy_id,
            "policy_version": one.policy_version,
            "stage": one.stage.value,
            "severity": one.severity,
            "reason": one.reason,
            "rules": sorted({finding.rule for finding in one.findings}),
        }
        for one in error.verdicts
    ]
    return problems.problem(
        400,
        error.code,
        "A policy blocked this call",
        str(error),
        {CALL_HEADER: error.call_id},
        message=str(error),  # where OpenAI's clients look
        call_id=error.call_id,
        policies=policies,
    )


def _failed(error: UpstreamFailed) -> Response:
    is_late = error.reason == "timeout"
    return problems.problem(
        504 if is_late else 502,
        error.code,
        "The provider of the model did not answer in time"
        if is_late
        else "The provider of the model did not answer as it should",
        str(error),
        {CALL_HEADER: error.call_id},
        message=str(error),
        call_id=error.call_id,
        reason=error.reason,
    )


class _Answer(Response):
    """What the guard gives back; a stream leaves piece by piece, and ends with its caller."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        is_whole = isinstance(reply.body, bytes)
        super().__init__(
            reply.body if is_whole else None,
            reply.status,
            reply.headers,
            media_type=reply.media_type,
        )
        if not is_whole:
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        reply = self._reply
        if isinstance(reply.body, bytes):
            await super().__call__(scope, receive, send)
            return
        sending = asyncio.create_task(self._send(reply.body, send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            if reply.end is not None:
                reply.end()
        if not sending.cancelled():
            sending.result()

    async def _send(self, pieces: AsyncIterator[bytes], send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    """Wait until the caller hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
