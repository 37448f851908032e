"""``/ops/stickiness``, ``/ops/funnel``, ``/ops/cohorts``: which feature keeps users."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.any_text import allow_any_text
from ebbtide.api.dependencies import Instant, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models import product as show
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.domain.time import MICROSECOND, format_instant
from ebbtide.signals.cohorts import ANY, WEEKS, WEEKS_MAX
from ebbtide.signals.retention import sides
from ebbtide.signals.weeks import WEEK, monday_of
from ebbtide.store.events.reading import EventFilter, read_events, to_json

LIMIT, LIMIT_MAX = 200, 1000

allow_any_text()
router = APIRouter(tags=["product"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
AsOf = Annotated[Instant, Query(description="The moment to answer for; now by default.")]
KnownAt = Annotated[
    Instant, Query(description="What was received later does not count; without it all does.")
]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Customers to name.")]
NumWeeks = Annotated[int, Query(ge=1, le=WEEKS_MAX, description="Cohorts, this week's among them.")]
WhatCounts = Annotated[
    str,
    Query(
        description="What counts as active: any event, investigation (views, replays, exports),"
        " or one feature: incidents, replays, exports, certs."
    ),
]


@router.get("/ops/stickiness", summary="Which feature keeps users")
def get_stickiness(
    house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> show.FeatureList:
    """Use of each feature over 30 days, and who stayed with and without it.

    Staying is compared between customers of 30 days ago that had used the feature in the 30 days
    before and those that had not. It is a correlation, not a cause.
    """
    check_unbound(key)
    now = house.clock()
    features = house.product.features.at(as_of or now, known_at=known_at)
    rule = house.catalog.signals.product
    return show.feature_list(features, rule.features.formula, rule.retention, known_at or now)


@router.get("/ops/stickiness/tenants", summary="Who stayed, and who did not, by a feature")
def list_stickiness_tenants(
    house: House,
    key: Reader,
    feature: Annotated[str, Query(description="incidents, replays, exports or certs.")],
    used: Annotated[bool, Query(description="False: those that did not use it.")] = True,
    stayed: Annotated[bool, Query(description="False: those that did not stay.")] = True,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Limit = LIMIT,
) -> show.TenantNames:
    """The customers behind one number of the comparison."""
    check_unbound(key)
    rule = house.catalog.signals.product
    _one_of("feature", feature, [one.name for one in rule.features.features])
    now = house.clock()
    features = house.product.features.at(as_of or now, known_at=known_at)
    names = sides(
        features.customers, features.users[feature], features.kept, used=used, stayed=stayed
    )
    return show.tenant_names(
        names, limit, rule.retention.formula, features.as_of, known_at or now, features.freshness
    )


@router.get("/ops/funnel", summary="How far customers get, and where they stop")
def get_funnel(
    house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> show.FunnelShown:
    """Incident, view, replay, export, verification within 30 days: in any order, and in order.

    Beside the step with the lowest rate stands what it says and what to do.
    """
    check_unbound(key)
    now = house.clock()
    return show.funnel_shown(
        house.product.funnel.at(as_of or now, known_at=known_at), known_at or now
    )


@router.get("/ops/funnel/tenants", summary="Who reached a step, and who stopped there")
def list_funnel_tenants(
    house: House,
    key: Reader,
    step: Annotated[str, Query(description="The event type of a step.")],
    ordered: Annotated[bool, Query(description="False: in any order.")] = True,
    stopped: Annotated[bool, Query(description="Only those that went no further.")] = False,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Limit = LIMIT,
) -> show.TenantNames:
    """The customers behind one number of the funnel."""
    check_unbound(key)
    rule = house.catalog.signals.product.funnel
    steps = [one.event_type for one in rule.steps]
    _one_of("step", step, steps)
    now = house.clock()
    funnel = house.product.funnel.at(as_of or now, known_at=known_at)
    names = funnel.who(steps.index(step), in_order=ordered, stopped=stopped)
    return show.tenant_names(
        names, limit, rule.formula, funnel.as_of, known_at or now, funnel.freshness
    )


# After the list: ids may hold slashes, so this route takes everything that is left.
@router.get("/ops/funnel/tenants/{tenant_id:anything}", summary="One customer in the funnel")
def get_tenant_funnel(
    tenant_id: str,
    house: House,
    key: Reader,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> show.TenantFunnel:
    """How often it took each step, and the events that took it from step to step."""
    if not key.covers(tenant_id):
        raise NotFound("there is no such tenant")
    uuid = to_uuid_text(tenant_id)
    spelling = house.state.tenants.spellings([uuid]).get(uuid)
    if spelling is None:
        raise NotFound("there is no such tenant")
    now = house.clock()
    funnel = house.product.funnel.of_tenant(spelling, as_of or now, known_at=known_at)
    return show.TenantFunnel(
        **show.moment(funnel.rule.formula, funnel.as_of, known_at or now, funnel.freshness),
        tenant_id=spelling,
        since=format_instant(funnel.since),
        steps=[
            show.TenantStep(
                event_type=step.event_type,
                title=step.title,
                num_events=num,
                reached_at=None if at is None else format_instant(at),
                event=None
                if at is None
                else _event(house, spelling, step.event_type, at, known_at),
            )
            for step, (num, at) in zip(funnel.rule.steps, funnel.of(spelling), strict=True)
        ],
    )


@router.get("/ops/cohorts", summary="Do customers come back, week after week")
def get_cohorts(
    house: House,
    key: Reader,
    weeks: NumWeeks = WEEKS,
    activity: WhatCounts = ANY,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> show.CohortTriangle:
    """The weekly retention triangle.

    A customer belongs to the calendar week (Monday 00:00 UTC) of its first active moment, and
    counts in every later week in which it was active.
    """
    check_unbound(key)
    _one_of("activity", activity, house.product.cohorts.activities)
    now = house.clock()
    triangle = house.product.cohorts.at(
        as_of or now, num_weeks=weeks, activity=activity, known_at=known_at
    )
    formula = house.catalog.signals.product.cohorts_formula
    return show.cohort_triangle(triangle, formula, activity, known_at or now)


@router.get("/ops/cohorts/tenants", summary="Who of a cohort came back, and who did not")
def list_cohort_tenants(
    house: House,
    key: Reader,
    cohort_week: Annotated[date, Query(description="Date of the cohort's Monday.")],
    week: Annotated[int, Query(ge=0, lt=WEEKS_MAX, description="Weeks after it.")] = 0,
    active: Annotated[bool, Query(description="False: those that did not come back.")] = True,
    activity: WhatCounts = ANY,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Limit = LIMIT,
) -> show.TenantNames:
    """The customers behind one cell of the triangle."""
    check_unbound(key)
    _one_of("activity", activity, house.product.cohorts.activities)
    now = house.clock()
    until = as_of or now
    monday = datetime.combine(cohort_week, time(), UTC)
    this_monday = monday_of(until)
    if monday != monday_of(monday):
        raise Unprocessable("cohort_week is the date of a Monday")
    num_weeks = (this_monday - monday) // WEEK + 1
    if not 0 < num_weeks <= WEEKS_MAX or week >= num_weeks:
        raise Unprocessable(f"the week lies after as_of, or more than {WEEKS_MAX} weeks before it")
    triangle = house.product.cohorts.at(
        until, num_weeks=num_weeks, activity=activity, known_at=known_at
    )
    formula = house.catalog.signals.product.cohorts_formula
    names = triangle.who(monday, week, is_active=active)
    return show.tenant_names(names, limit, formula, until, known_at or now, triangle.freshness)


def _event(
    house: Services, tenant_id: str, event_type: str, at: datetime, known_at: datetime | None
) -> dict[str, object] | None:
    """The event of a tenant at a moment; of several one."""
    meant = EventFilter(
        tenant_id, event_type=event_type, since=at - MICROSECOND, as_of=at, known_at=known_at
    )
    return next((to_json(one) for one in read_events(house.events, meant, limit=1).events), None)


def _one_of(name: str, value: str, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise Unprocessable(f"{name} is one of {', '.join(allowed)}{did_you_mean(value, allowed)}")
