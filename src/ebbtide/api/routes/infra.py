"""``/ops/infra`` and ``/v1/gauges``: what breaks first if we grow, and what tells us."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, check_unbound, reader, services, writer
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.infra import Gauges, GaugesKept, InfraShown, infra_shown
from ebbtide.api.services import Services
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.resource import Origin, ResourceSample
from ebbtide.limits.infra import read_infra

router = APIRouter(tags=["limits"], route_class=JsonRoute)
gauges_router = APIRouter(tags=["limits"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]

CLOCKS_DIFFER = timedelta(minutes=5)  # as for events
RESOURCES_MAX = 500  # each is projected every five minutes


@router.get("/ops/infra", summary="What breaks first if we grow")
def get_infra(
    house: House,
    key: Annotated[ApiKey, Depends(reader)],
    as_of: Annotated[
        Instant, Query(description="The moment to answer for; now by default.")
    ] = None,
    known_at: Annotated[
        Instant, Query(description="What came later does not count; without it all does.")
    ] = None,
) -> InfraShown:
    """Every resource with its limit, days to it and how sure they are; the most urgent first.

    A probe that could not look makes its resources ``unavailable``, with the reason; they have no
    numbers then. How probes fare is told for now only: for a past moment ``probes`` is empty.
    """
    check_unbound(key)
    now = house.clock()
    for name, moment in (("as_of", as_of), ("known_at", known_at)):
        if moment is not None and moment > now:
            raise Unprocessable(f"{name} lies in the future")
    return infra_shown(read_infra(house.state, house.events, now, as_of, known_at))


@gauges_router.post("/v1/gauges", summary="Say how much of some resources is in use")
def post_gauges(body: Gauges, house: House, key: Annotated[ApiKey, Depends(writer)]) -> GaugesKept:
    """Keep samples of any resources. All of them are kept or, when one is refused, none.

    A resource has one sample at a moment: the same request twice is kept once. Projections come
    with the next run of the job ``sample-resources``.
    """
    check_unbound(key)
    now = house.clock()
    samples = []
    for number, one in enumerate(body.gauges):
        at = one.at or now
        if at > now + CLOCKS_DIFFER:
            raise Unprocessable(f"gauges.{number}.at lies in the future")
        samples.append(
            ResourceSample(one.resource, at, one.used, one.limit, one.unit, Origin.GAUGE, now)
        )
    shelf = house.state.resources
    known = {one.resource for one in shelf.newest()}
    if len(known | {one.resource for one in samples}) > max(RESOURCES_MAX, len(known)):
        raise Unprocessable(
            f"there would be more than {RESOURCES_MAX} resources; "
            "put what differs by customer or host into events"
        )
    num = shelf.add(samples)
    return GaugesKept(stored=num, duplicate=len(samples) - num)
