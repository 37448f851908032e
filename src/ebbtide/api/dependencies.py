"""Pieces that routes ask for by name: the services, the caller's key, a moment."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from starlette.requests import Request

from ebbtide.api.auth import authorize
from ebbtide.api.services import Services, services_of
from ebbtide.domain.errors import Forbidden
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.keys import ApiKey, Scope
from ebbtide.domain.time import EPOCH, parse_instant

_END = EPOCH.replace(year=9000)


def services(request: Request) -> Services:
    """The services behind this request."""
    return services_of(request)


def reader(request: Request) -> ApiKey:
    """A caller who may read."""
    return authorize(services_of(request).authenticator, request, Scope.READ)


def admin(request: Request) -> ApiKey:
    """A caller who may change the installation."""
    return authorize(services_of(request).authenticator, request, Scope.ADMIN)


def writer(request: Request) -> ApiKey:
    """A caller who may send events."""
    return authorize(services_of(request).authenticator, request, Scope.INGEST)


def intervener(request: Request) -> ApiKey:
    """A caller who may accept, dismiss and finish interventions."""
    return authorize(services_of(request).authenticator, request, Scope.INTERVENTIONS_WRITE)


def job_runner(request: Request) -> ApiKey:
    """A caller who may run jobs."""
    return authorize(services_of(request).authenticator, request, Scope.JOBS_RUN)


def check_unbound(key: ApiKey) -> None:
    """Let a key through that may see all tenants.

    Raises:
        Forbidden: it is bound to one, and the answer would be about the others too.
    """
    if key.tenant_id is not None:
        raise Forbidden("this is about all tenants; this key is bound to one")


def _asked(value: object) -> object:
    # No event is older than that, and windows around the moment must not leave the calendar.
    moment = _parsed(value)
    return None if moment is None else max(EPOCH, min(moment, _END))


def _stated(value: object) -> object:
    moment = _parsed(value)
    if moment is not None and not EPOCH <= moment < _END:
        # A question about a moment out of reach has an answer; a fact of that date is a mistake.
        raise ValueError("send a moment from 1970 to 8999")
    return moment


def _parsed(value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        # In a query string a plus sign reads as a space: 09:00:00+01:00 arrives as
        # 09:00:00 01:00. The error does not repeat the value, as the parser's own would.
        for text in (value, "+".join(value.rsplit(" ", 1))):
            with suppress(ValueError):
                return parse_instant(text)
    raise ValueError("send a moment with its offset, such as 2026-03-12T08:00:00Z")


def without_nul(text: str) -> str:
    """A text as it is; one with a NUL character, which no database holds, is refused."""
    if "\0" in text:
        raise ValueError("it has a NUL character")
    return text


#: A moment that a question is about, with its offset; the nearest that can be asked about.
Instant = Annotated[datetime | None, BeforeValidator(_asked)]
#: A moment that a body states as a fact, with its offset.
StatedInstant = Annotated[datetime | None, BeforeValidator(_stated)]
#: A tenant's id in a body, in any spelling.
TenantId = Annotated[str, Field(min_length=1, max_length=ID_MAX_CHARS), AfterValidator(without_nul)]
