"""``/ops/backfill``: scores of one moment of the past, computed and kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, check_unbound, job_runner, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.backfill import MomentFilled
from ebbtide.api.models.jobs import FailedTenant
from ebbtide.api.services import Services
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.time import format_instant
from ebbtide.jobs.backfill import fill_moment
from ebbtide.jobs.job import Stores

router = APIRouter(tags=["jobs"], route_class=JsonRoute)


@router.post("/ops/backfill", summary="Compute and keep the scores of one past moment")
def backfill(
    house: Annotated[Services, Depends(services)],
    key: Annotated[ApiKey, Depends(job_runner)],
    as_of: Annotated[Instant, Query(description="The moment, not in the future.")],
) -> MomentFilled:
    """What every customer was at that moment, from the events that are stored today.

    What is current stays as it is. Doing it again adds nothing, unless events of that time have
    come since.
    """
    check_unbound(key)
    now = house.clock()
    if as_of is None or as_of > now:
        raise Unprocessable(f"as_of must name a moment up to now, {format_instant(now)}")
    filled = fill_moment(Stores(house.catalog, house.events, house.state), as_of, now)
    return MomentFilled(
        as_of=format_instant(filled.as_of),
        num_tenants=filled.num_tenants,
        num_at_risk=filled.num_at_risk,
        num_silent=filled.num_silent,
        num_scores=filled.num_scores,
        failed_tenants=[
            FailedTenant(tenant_id=name, reason=reason)
            for name, reason in filled.failed_tenants.items()
        ],
    )
