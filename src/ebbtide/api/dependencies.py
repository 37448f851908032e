"""Pieces that routes ask for by name: the services, the caller's key, a moment."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from starlette.requests import Request

from ebbtide.api.auth import authorize
from ebbtide.api.services import Services, services_of
from ebbtide.domain.keys import ApiKey, Scope
from ebbtide.domain.time import parse_instant


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


def _read(value: object) -> object:
    # In a query string a plus sign reads as a space: 09:00:00+01:00 arrives as 09:00:00 01:00.
    return parse_instant(value.replace(" ", "+")) if isinstance(value, str) else value


def _aware(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("the time names no offset (add Z for UTC)")
    return value


#: A moment in a query or body, with its offset.
Instant = Annotated[datetime | None, BeforeValidator(_read), AfterValidator(_aware)]
