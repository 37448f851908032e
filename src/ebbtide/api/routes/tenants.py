"""The tenant directory: who the customers are, what they pay, whom to call there."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from time import sleep
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ebbtide.api.any_text import allow_any_text
from ebbtide.api.dependencies import StatedInstant, admin, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.event import Outcome
from ebbtide.domain.ids import ID_MAX_CHARS, to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.tenant import PRICE_USD_MAX, Contact, Fact, Origin, Tenant
from ebbtide.domain.time import format_instant
from ebbtide.ingest.directory import HEAR_EVERY_S
from ebbtide.ingest.incoming import Incoming

allow_any_text()
router = APIRouter(tags=["tenants"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


class ContactBody(BaseModel):
    """A person to talk to."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=200)
    email: str | None = Field(None, max_length=320)
    role: str | None = Field(None, max_length=200)


class TenantBody(BaseModel):
    """What is said about a tenant; fields that are left out stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Acme AI",
                    "plan": "pro",
                    "price_usd": 99.0,
                    "started": "2025-11-27T09:00:00Z",
                    "contacts": [{"name": "Ada", "email": "ada@example.com", "role": "CTO"}],
                }
            ]
        },
    )

    name: str | None = Field(None, max_length=500)
    plan: str | None = Field(None, max_length=200)
    price_usd: Decimal | None = Field(None, ge=0, le=PRICE_USD_MAX, description="Per 30 days.")
    started: StatedInstant = None
    cancelled: StatedInstant = None
    contacts: list[ContactBody] | None = Field(None, max_length=100)


@router.get("/v1/tenants", summary="The directory, by id")
def list_tenants(
    house: House,
    key: Annotated[ApiKey, Depends(reader)],
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """A page of tenants; a key bound to one tenant sees that one."""
    if key.tenant_id is not None:
        try:
            own = [shown(_get(house, key.tenant_id))]
        except NotFound:
            own = []  # a key can be made before its tenant's first event
        return {"tenants": own, "next_cursor": None}
    tenants = house.state.tenants.list(after=cursor, limit=limit + 1)
    more = len(tenants) > limit
    return {
        "tenants": [shown(tenant) for tenant in tenants[:limit]],
        "next_cursor": tenants[limit - 1].tenant_id if more else None,
    }


@router.get("/v1/tenants/{tenant_id:anything}", summary="One tenant, by id or by UUID")
def get_tenant(
    tenant_id: str, house: House, key: Annotated[ApiKey, Depends(reader)]
) -> dict[str, Any]:
    """What the directory knows."""
    if not key.covers(tenant_id):
        raise NotFound("there is no such tenant")
    return shown(_get(house, tenant_id))


@router.put("/v1/tenants/{tenant_id:anything}", summary="Enter or edit a tenant")
async def put_tenant(
    tenant_id: str,
    body: TenantBody,
    house: House,
    key: Annotated[ApiKey, Depends(admin)],
) -> dict[str, Any]:
    """Write facts into the directory; ``cancelled`` also stores a SUBSCRIPTION_CANCELLED event.

    The same PUT twice stores one event: its id is made from the tenant and the moment.
    """
    if not _can_be_an_id(tenant_id):
        raise Unprocessable("a tenant id has 1 to 200 characters")
    now = house.clock()
    said = body.model_dump(exclude_unset=True)
    try:
        facts = [Fact(name, value, now, Origin.API) for name, value in _facts(said, body).items()]
    except ValueError as error:
        raise Unprocessable(str(error)) from error
    if body.cancelled is not None:
        await _store_cancellation(house, tenant_id, body, key)
    return shown(await run_in_threadpool(house.state.tenants.put, tenant_id, facts, now))


@router.delete("/v1/tenants/{tenant_id:anything}", summary="Erase a tenant for good")
def erase_tenant(
    tenant_id: str,
    house: House,
    key: Annotated[ApiKey, Depends(admin)],
    confirm: Annotated[str, Query(description="The tenant's id again; there is no undo.")] = "",
) -> dict[str, Any]:
    """Delete events, sums, directory entry, quarantined rows and bound keys.

    Events of the erased past are refused when they come again.
    """
    if not _can_be_an_id(tenant_id):
        raise NotFound("there is no such tenant")
    if confirm != tenant_id:
        raise Unprocessable("repeat the tenant's id in the parameter confirm: there is no undo")
    uuid = to_uuid_text(tenant_id)
    spelling = house.state.tenants.spellings([uuid]).get(uuid, tenant_id)
    now = house.clock()
    # Events first: when the directory cannot be reached then, the caller is told so and finds
    # the tenant still there to erase. The other way round the events would have lost their name.
    with house.writer.paused(), house.directory.steady:
        num = house.events.erase_tenant(spelling)
        house.directory.erase(tenant_id, now)
    if not house.directory.is_alone:
        # Until they hear of it, other servers on these stores may have stored more.
        sleep(2 * HEAR_EVERY_S)
        with house.writer.paused(), house.directory.steady:
            num += house.events.erase_tenant(spelling)
    house.authenticator.forget()
    return {
        "tenant_id": spelling,
        "erased_events": num,
        "erased_at": format_instant(now),
    }


async def _store_cancellation(
    house: Services, tenant_id: str, body: TenantBody, key: ApiKey
) -> None:
    assert body.cancelled is not None
    moment = format_instant(body.cancelled)
    fields = {
        "event_id": f"cancelled:{to_uuid_text(tenant_id)}:{moment}",
        "timestamp": moment,
        "tenant_id": tenant_id,
        "event_type": "SUBSCRIPTION_CANCELLED",
        "source": "directory",
    }
    incoming = [Incoming(fields, msgspec.json.encode(fields), None)]
    future = house.ingestor.submit(
        incoming,
        door="directory",
        received_at=house.clock(),
        key=key,
        default_source="directory",
        holds=False,  # the caller is told at once; nothing has to wait
    )
    result = (await asyncio.wrap_future(future))[0]
    if result.outcome not in (Outcome.STORED, Outcome.DUPLICATE):
        raise Unprocessable(f"the cancellation was not stored: {result.reason}")


def _facts(said: dict[str, Any], body: TenantBody) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, value in said.items():
        if name == "contacts" and body.contacts is not None:
            value = tuple(Contact(one.name, one.email, one.role) for one in body.contacts)
        facts[{"started": "started_at", "cancelled": "cancelled_at"}.get(name, name)] = value
    return facts


def _can_be_an_id(text: str) -> bool:
    return 0 < len(text) <= ID_MAX_CHARS and "\0" not in text


def _get(house: Services, tenant_id: str) -> Tenant:
    try:
        return house.state.tenants.get(to_uuid_text(tenant_id))
    except NotFound:
        raise NotFound("there is no such tenant") from None


def shown(tenant: Tenant) -> dict[str, Any]:
    """A tenant as the API shows it; null means unknown."""
    price = tenant.price_usd
    return {
        "tenant_id": tenant.tenant_id,
        "tenant_uuid": tenant.tenant_uuid,
        "name": tenant.name,
        "plan": tenant.plan,
        "price_usd": None if price is None else float(price),
        "started": None if tenant.started_at is None else format_instant(tenant.started_at),
        "cancelled": None if tenant.cancelled_at is None else format_instant(tenant.cancelled_at),
        "is_cancelled": tenant.is_cancelled,
        "contacts": None
        if tenant.contacts is None
        else [{"name": c.name, "email": c.email, "role": c.role} for c in tenant.contacts],
        "first_seen_at": format_instant(tenant.first_seen_at),
        "updated_at": format_instant(tenant.updated_at),
        "provenance": {
            name: {"origin": p.origin.value, "at": format_instant(p.at)}
            for name, p in tenant.provenance.items()
        },
    }
