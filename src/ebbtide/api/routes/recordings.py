"""``/ops/recording``: for whom the inputs and outputs of calls are kept, and for how long."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.dependencies import admin, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.time import format_instant
from ebbtide.guard.recording import RETENTION_DAYS, RETENTION_MAX_DAYS
from ebbtide.guard.request import is_id
from ebbtide.store.state.recordings import RecordingChoice

router = APIRouter(tags=["guard"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]


class RecordingBody(BaseModel):
    """Whether to record, and how long to keep it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"is_on": True, "retention_days": 30}]}
    )

    is_on: bool
    retention_days: int = Field(RETENTION_DAYS, ge=1, le=RETENTION_MAX_DAYS)


class RecordingShown(BaseModel):
    """What was chosen for a tenant."""

    tenant_id: str
    is_on: bool
    retention_days: int
    changed_at: str
    changed_by: str


class RecordingList(BaseModel):
    """What was chosen; who is not listed is not recorded."""

    is_possible: bool = Field(description="Whether there is a key to seal with.")
    items: list[RecordingShown]


class RecordingGone(BaseModel):
    """How many recorded calls were removed."""

    tenant_id: str
    num_removed: int


@router.get("/ops/recording", summary="Whose calls are recorded")
def list_recording(house: House, key: Annotated[ApiKey, Depends(reader)]) -> RecordingList:
    """What was chosen for each tenant; a key bound to one sees that one."""
    choices = house.state.recordings.choices().values()
    items = [shown(one) for one in choices if key.covers(one.tenant_id)]
    items.sort(key=lambda one: one.tenant_id)
    return RecordingList(is_possible=house.guard.recorder.is_possible, items=items)


@router.put(
    "/ops/recording/{tenant_id:anything}", summary="Record the calls of a tenant, or no longer"
)
def put_recording(
    tenant_id: str, body: RecordingBody, house: House, key: Annotated[ApiKey, Depends(admin)]
) -> RecordingShown:
    """Calls are kept from now on, without personal data and sealed; off keeps what there is.

    ``retention_days`` holds for what was recorded before, too.
    """
    if not is_id(tenant_id):
        raise Unprocessable("a tenant id has 1 to 200 characters")
    choice = house.guard.recorder.choose(
        tenant_id,
        is_on=body.is_on,
        retention_days=body.retention_days,
        at=house.clock(),
        by=key.key_id,
    )
    return shown(choice)


@router.delete(
    "/ops/recording/{tenant_id:anything}", summary="Remove all recorded calls of a tenant"
)
def delete_recording(
    tenant_id: str, house: House, key: Annotated[ApiKey, Depends(admin)]
) -> RecordingGone:
    """What was recorded so far goes at once; whether more is recorded stays as it is."""
    if not is_id(tenant_id):
        raise NotFound("there is no such tenant")
    return RecordingGone(tenant_id=tenant_id, num_removed=house.guard.recorder.forget(tenant_id))


def shown(choice: RecordingChoice) -> RecordingShown:
    """A choice as the API shows it."""
    return RecordingShown(
        tenant_id=choice.tenant_id,
        is_on=choice.is_on,
        retention_days=choice.retention_days,
        changed_at=format_instant(choice.changed_at),
        changed_by=choice.changed_by,
    )
