"""API keys: made, listed, revoked. The text of a key is in one answer only."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import StatedInstant, TenantId, admin, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.services import Services
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.ids import ID_MAX_CHARS
from ebbtide.domain.keys import ApiKey, Scope
from ebbtide.domain.time import format_instant

router = APIRouter(tags=["keys"], dependencies=[Depends(admin)], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


class KeyRequest(BaseModel):
    """What a new key is for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "proxy", "scopes": ["ingest"]}]},
    )

    name: str = Field(min_length=1, max_length=ID_MAX_CHARS)
    scopes: list[Scope] = Field(
        min_length=1,
        description="Any of ingest, read, jobs:run, interventions:write, llm:call, admin.",
    )
    tenant_id: TenantId | None = None
    expires_at: StatedInstant = None


@router.post("/v1/keys", status_code=201, summary="Make a key; its text is shown this once")
def create_key(request: KeyRequest, house: House, response: Response) -> dict[str, Any]:
    """A new random key."""
    now = house.clock()
    if request.expires_at is not None and request.expires_at <= now:
        raise Unprocessable("expires_at lies in the past: such a key would open nothing")
    try:
        made = house.state.keys.create(
            request.name,
            request.scopes,
            now,
            tenant_id=request.tenant_id,
            expires_at=request.expires_at,
        )
    except ValueError as error:
        raise Unprocessable(str(error)) from error
    response.headers["Cache-Control"] = "no-store"
    return _shown(made.record) | {"key": made.text}


@router.get("/v1/keys", summary="All keys, without their secrets")
def list_keys(house: House) -> dict[str, Any]:
    """Every key ever made, also revoked ones."""
    return {"keys": [_shown(key) for key in house.state.keys.list()]}


@router.delete("/v1/keys/{key_id}", summary="Revoke a key at once")
def revoke_key(key_id: str, house: House) -> dict[str, Any]:
    """The key opens nothing from the next request on."""
    revoked = house.state.keys.revoke(key_id, house.clock())
    house.authenticator.forget()
    return _shown(revoked)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "tenant_id": key.tenant_id,
    } | {
        name: None if (moment := getattr(key, name)) is None else format_instant(moment)
        for name in ("created_at", "expires_at", "revoked_at", "last_used_at")
    }
