"""Errors at the HTTP door: one body for all (RFC 9457), and no secret or query text in it."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ebbtide.api.parting import PartingAnswer
from ebbtide.domain import errors
from ebbtide.guard.kill_switch import Frozen
from ebbtide.guard.recording import RecordingBroken

log = structlog.get_logger(__name__)

_STATUS: list[tuple[type[errors.EbbtideError], int, str]] = [
    (errors.BodyTooLarge, 413, "The body is too large"),
    (errors.UnsupportedEncoding, 415, "The encoding or content type is not supported"),
    (errors.Unauthorized, 401, "A valid API key is needed"),
    (errors.TooManyAttempts, 429, "Too many wrong keys from this address"),
    (errors.Forbidden, 403, "This key may not do that"),
    (errors.NotFound, 404, "Not found"),
    (RecordingBroken, 409, "A recorded call cannot be opened"),
    (Frozen, 423, "The kill switch stopped this"),
    (errors.AlreadyRunning, 409, "It runs already"),
    (errors.WrongState, 409, "Its state does not allow that"),
    (errors.Unprocessable, 422, "The request cannot be used as it is"),
    (errors.PolicyRefused, 422, "The policy cannot be used as it is"),
    (errors.MappingError, 422, "A mapping file cannot be used"),
    (errors.ReceiveTimeout, 408, "The request took too long to arrive"),
    (errors.BadRequest, 400, "The request cannot be read"),
    (errors.WrongSignature, 400, "The signature does not hold"),
    (errors.JobFailed, 500, "The job failed"),
    (
        errors.StoreUnavailable,
        503,
        "A store cannot answer now; nothing was acknowledged",
    ),
]

_ANSWERED = "ebbtide.fault_is_answered"  # a mark on a request
_UNREAD = frozenset({401, 403, 408, 413, 415, 429})


def problem(
    status: int,
    code: str,
    title: str,
    detail: str | None = None,
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> Response:
    """An ``application/problem+json`` answer with an id that also stands in the log."""
    body = {
        "type": f"urn:ebbtide:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "id": secrets.token_hex(8),
    }
    if detail:
        body["detail"] = detail
    kind = PartingAnswer if status == 413 else Response
    return kind(
        msgspec.json.encode(body | extra),
        status,
        headers,
        media_type="application/problem+json",
    )


def of_error(error: errors.EbbtideError) -> Response:
    """The answer for one of our own errors."""
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            headers = {}
            if status == 401:
                headers["WWW-Authenticate"] = 'Bearer realm="ebbtide"'
            if status in _UNREAD:
                headers["Connection"] = "close"  # the rest of the body is not worth reading
            retry_after_s = getattr(error, "retry_after_s", None)
            if retry_after_s is not None:
                headers["Retry-After"] = str(retry_after_s)
            # What a store says may hold paths and hosts; the log has it, the caller does not.
            detail = None if status in (401, 503) else str(error)
            run_id = getattr(error, "run_id", None)
            more = {} if run_id is None else {"run_id": run_id}
            return problem(status, error.code, title, detail, headers, **more)
    log.error("api.unmapped_error", code=error.code, detail=str(error))
    return problem(500, error.code, "Something went wrong on our side")


async def on_ebbtide_error(_: Request, error: Exception) -> Response:
    """Exception handler for errors raised on purpose."""
    assert isinstance(error, errors.EbbtideError)
    return of_error(error)


async def on_http_error(_: Request, error: Exception) -> Response:
    """Exception handler for what the router refuses (404, 405)."""
    assert isinstance(error, HTTPException)
    titles = {
        400: ("bad-request", "The request cannot be read"),
        404: ("not-found", "Not found"),
        405: ("method-not-allowed", "Method not allowed"),
    }
    code, title = titles.get(error.status_code, ("http-error", "The request was refused"))
    return problem(error.status_code, code, title, headers=dict(error.headers or {}))


async def on_fault(request: Request, error: Exception) -> Response:
    """Exception handler for what nobody expected: an id for the caller, the trace for the log."""
    answer = problem(500, "internal-error", "Something went wrong on our side")
    log.error(
        "api.fault",
        path=request.url.path,
        answer=bytes(answer.body).decode(),
        exc_info=error,
    )
    request.scope[_ANSWERED] = True
    return answer


def is_answered(scope: MutableMapping[str, Any]) -> bool:
    """Whether the fault of this request is in the log, and its answer made."""
    return _ANSWERED in scope
