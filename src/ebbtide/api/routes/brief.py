"""``/ops/brief``: the day in at most 20 lines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ebbtide.alerts.brief import write_brief
from ebbtide.api.dependencies import check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.routes.customers import AsOf, KnownAt
from ebbtide.api.services import Services
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.time import format_instant

router = APIRouter(tags=["alerts"], route_class=JsonRoute)


class BriefShown(BaseModel):
    """State, what changed, who to call, what breaks first."""

    model_config = ConfigDict(extra="forbid")

    as_of: str
    known_at: str = Field(description="What was received later was not known yet.")
    computed_at: str
    system_state: str
    lines: list[str] = Field(max_length=20)


@router.get("/ops/brief", summary="The day in at most 20 lines")
def get_brief(
    house: Annotated[Services, Depends(services)],
    key: Annotated[ApiKey, Depends(reader)],
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> BriefShown:
    """What the daily mail says; computed for exactly this moment."""
    check_unbound(key)
    now = house.clock()
    at = as_of or known_at or now
    brief = write_brief(house.catalog, house.events, house.state, house.customers, at, known_at)
    return BriefShown(
        as_of=format_instant(at),
        known_at=format_instant(known_at or now),
        computed_at=format_instant(now),
        system_state=brief.state,
        lines=list(brief.lines),
    )
