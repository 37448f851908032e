"""``/ops/freeze``: the kill switch for calls to models, of a tenant or a key."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ebbtide.api.dependencies import Instant, TenantId, admin, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, StoreUnavailable, Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.time import format_instant
from ebbtide.ingest.incoming import Incoming
from ebbtide.store.state.freezes import Freeze

router = APIRouter(tags=["guard"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
SEVERITY = 5
EVERYBODY = "platform"  # the tenant of what belongs to no single one

log = structlog.get_logger(__name__)


class FreezeBody(BaseModel):
    """Whom to stop, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"tenant_id": "gamma-inc", "reason": "Spend rose tenfold."}]
        },
    )

    tenant_id: TenantId | None = None
    key_id: str | None = Field(None, min_length=1, max_length=64)
    reason: str = Field(min_length=1, max_length=500)


class LiftBody(BaseModel):
    """Why it may go on."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=500)


class FreezeShown(BaseModel):
    """A stop; ``lifted_at`` is null while it holds."""

    freeze_id: str
    scope: str = Field(description="tenant or key")
    tenant_id: str | None
    key_id: str | None
    reason: str
    is_active: bool
    frozen_at: str
    frozen_by: str
    lifted_at: str | None
    lifted_by: str | None
    lift_reason: str | None


class FreezeList(BaseModel):
    """Stops, newest first."""

    as_of: str
    items: list[FreezeShown]


@router.post("/ops/freeze", status_code=201, summary="Stop all model calls of a tenant or a key")
async def freeze(
    body: FreezeBody, house: House, key: Annotated[ApiKey, Depends(admin)]
) -> FreezeShown:
    """From now on its calls are answered with 423, in every process within a second.

    It holds when this is answered; FREEZE_ACTIVATED is stored with it.
    """
    if (body.tenant_id is None) == (body.key_id is None):
        raise Unprocessable("send tenant_id or key_id, one of them")
    now = house.clock()
    tenant_id = body.tenant_id
    if body.key_id is not None:
        known = {one.key_id: one for one in await run_in_threadpool(house.state.keys.list)}
        if body.key_id not in known:
            raise NotFound("there is no such key")
        tenant_id = known[body.key_id].tenant_id
    made = await run_in_threadpool(
        lambda: house.guard.switch.freeze(
            tenant_id=body.tenant_id,
            key_id=body.key_id,
            reason=body.reason,
            at=now,
            by=key.key_id,
        )
    )
    await _tell(house, made, tenant_id or EVERYBODY)
    return shown(made, now)


@router.post("/ops/freeze/{freeze_id}/lift", summary="Let the calls go on")
def lift(
    freeze_id: str,
    house: House,
    key: Annotated[ApiKey, Depends(admin)],
    body: LiftBody | None = None,
) -> FreezeShown:
    """Calls go through again, in every process within a second."""
    now = house.clock()
    reason = None if body is None else body.reason
    return shown(house.guard.switch.lift(freeze_id, now, key.key_id, reason), now)


@router.get("/ops/freeze", summary="Who is stopped, and who was")
def list_freezes(
    house: House,
    key: Annotated[ApiKey, Depends(reader)],
    active: Annotated[bool, Query(description="Only those that hold.")] = False,
    as_of: Annotated[
        Instant, Query(description="The moment to answer for; now by default.")
    ] = None,
) -> FreezeList:
    """As it was at the moment asked about: what was lifted later holds there."""
    check_unbound(key)
    now = house.clock()
    at = now if as_of is None else as_of
    if at > now:
        raise Unprocessable("as_of lies in the future")
    items = [shown(one, at) for one in house.guard.switch.list() if one.frozen_at <= at]
    return FreezeList(
        as_of=format_instant(at), items=[one for one in items if one.is_active or not active]
    )


def shown(freeze: Freeze, at: datetime) -> FreezeShown:
    """A freeze as it was known at a moment."""
    lifted_at = freeze.lifted_at
    is_lifted = lifted_at is not None and lifted_at <= at
    return FreezeShown(
        freeze_id=freeze.freeze_id,
        scope="key" if freeze.key_id is not None else "tenant",
        tenant_id=freeze.tenant_id,
        key_id=freeze.key_id,
        reason=freeze.reason,
        is_active=not is_lifted,
        frozen_at=format_instant(freeze.frozen_at),
        frozen_by=freeze.frozen_by,
        lifted_at=format_instant(lifted_at) if is_lifted and lifted_at is not None else None,
        lifted_by=freeze.lifted_by if is_lifted else None,
        lift_reason=freeze.lift_reason if is_lifted else None,
    )


async def _tell(house: Services, freeze: Freeze, tenant_id: str) -> None:
    scope = "key" if freeze.key_id is not None else "tenant"
    fields: dict[str, Any] = {
        "event_id": f"freeze:{freeze.freeze_id}",
        "timestamp": format_instant(freeze.frozen_at),
        "tenant_id": tenant_id,
        "event_type": "FREEZE_ACTIVATED",
        "entity_type": scope,
        "entity_id": freeze.key_id or freeze.tenant_id,
        "severity": SEVERITY,
        "source": "kill-switch",
        "metadata": {
            "scope": scope,
            "reason": freeze.reason,
            "auto_triggered": False,
            "freeze_id": freeze.freeze_id,
        },
    }
    try:
        future = house.ingestor.submit(
            [Incoming(fields, b"", None)], door="guard", received_at=house.clock()
        )
        await asyncio.wrap_future(future)
    except StoreUnavailable as error:
        # The stop holds, and stands in the state store; it must not look as if it had failed.
        log.error("guard.freeze_not_told", freeze_id=freeze.freeze_id, code=error.code)
