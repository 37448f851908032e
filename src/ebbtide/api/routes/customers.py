"""``/ops/customers``: who they are, who is slipping, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from ebbtide.api.any_text import allow_any_text
from ebbtide.api.dependencies import Instant, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models import customers as shown
from ebbtide.api.models import from_customer as show
from ebbtide.api.models.explanation import Explanation, explanation
from ebbtide.api.services import Services
from ebbtide.domain.errors import NotFound, Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.signals.explain import EXPLAINED
from ebbtide.signals.selection import SORTS, CustomerFilter

AT_RISK_MAX, PAGE_MAX = 50, 200
LEVELS = ("critical", "high", "medium", "low")


allow_any_text()
router = APIRouter(tags=["customers"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
AsOf = Annotated[
    Instant, Query(description="The moment to answer for; without it the newest stored result.")
]
KnownAt = Annotated[
    Instant, Query(description="What was received later does not count; without it all does.")
]


@router.get("/ops/customers", summary="Customers with their scores, filtered and sorted")
def list_customers(
    house: House,
    key: Reader,
    risk_level: Annotated[str | None, Query(description="One level, or several by comma.")] = None,
    status: str | None = None,
    paying: str | None = None,
    is_silent_churn: bool | None = None,
    is_at_risk: bool | None = None,
    stickiness_trend: str | None = None,
    inferred_buyer_type: str | None = None,
    playbook: str | None = None,
    sort: Annotated[str, Query(description=f"One of {', '.join(SORTS)}.")] = "risk",
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
) -> shown.CustomerPage:
    """A page of customers. A cursor keeps to the moment of its first page.

    A key that is bound to a tenant sees that tenant only.
    """
    _one_of("sort", sort, SORTS)
    _one_of("status", status, ("active", "churned", "gone"))
    _one_of("paying", paying, ("yes", "no", "unknown"))
    _one_of("playbook", playbook, house.catalog.playbooks)
    levels = None if risk_level is None else frozenset(risk_level.split(","))
    for level in levels or ():
        _one_of("risk_level", level, LEVELS)
    meant = CustomerFilter(
        tenant_id=key.tenant_id,
        risk_levels=levels,
        status=status,
        paying=paying,
        is_silent_churn=is_silent_churn,
        is_at_risk=is_at_risk,
        stickiness_trend=stickiness_trend,
        inferred_buyer_type=inferred_buyer_type,
        playbook_id=playbook,
    )
    page = house.customers.page(
        meant, sort, as_of=as_of, known_at=known_at, cursor=cursor, limit=limit
    )
    return shown.CustomerPage(
        **show.moment(page.moment),
        items=[
            show.segment(one, page.facts[uuid], page.tenants.get(uuid))
            for one in page.customers
            for uuid in (to_uuid_text(one.tenant_id),)
        ],
        total=page.total,
        next_cursor=page.next_cursor,
    )


@router.get("/ops/customers/at-risk", summary="Who to call today, worst first")
def list_at_risk(
    house: House,
    key: Reader,
    limit: Annotated[int, Query(ge=1, le=AT_RISK_MAX)] = 20,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> shown.AtRiskList:
    """Customers of level medium or worse, with reasons, what changed, and what to do.

    Cancelled customers are not on it; those without any event for 30 days stand under ``gone``.
    """
    found = house.customers.at_risk(limit, as_of=as_of, known_at=known_at, tenant_id=key.tenant_id)
    listed = {to_uuid_text(insight.customer.tenant_id) for insight in found.insights}
    rows = show.rows_by_key(house.state.interventions.holding(listed, earlier(as_of, known_at)))
    return shown.AtRiskList(
        **show.moment(found.moment),
        items=[
            show.at_risk(
                insight,
                found.tenants.get(to_uuid_text(insight.customer.tenant_id)),
                rows,
                is_bound=key.tenant_id is not None,
            )
            for insight in found.insights
        ],
        total=found.total,
        gone=[
            show.gone(one, found.facts[uuid], found.tenants.get(uuid))
            for one in found.gone
            for uuid in (to_uuid_text(one.tenant_id),)
        ],
        num_gone=found.num_gone,
    )


# Before the profile: ids may hold slashes, so that route takes everything that is left.
@router.get("/ops/customers/{tenant_id:anything}/explain", summary="Where one number comes from")
def explain_customer(
    tenant_id: str,
    house: House,
    key: Reader,
    metric: Annotated[str, Query(description="A number of the profile, such as risk_level.")],
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Contributing events to list.")] = 20,
) -> Explanation:
    """Formula, counts, weights, contributing events, freshness, lineage, and what changed since."""
    _own(key, tenant_id)
    _one_of("metric", metric, EXPLAINED)
    found = house.customers.explain(tenant_id, metric, as_of=as_of, known_at=known_at, limit=limit)
    return explanation(found)


@router.get("/ops/customers/{tenant_id:anything}", summary="Everything about one customer")
def get_customer(
    tenant_id: str, house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> shown.CustomerProfile:
    """The profile: subscription, intent, stickiness, risk, timeline, what to do.

    A tenant without any event by then has no profile; the directory knows it all the same.
    """
    _own(key, tenant_id)
    found = house.customers.profile(tenant_id, as_of=as_of, known_at=known_at)
    mine = {to_uuid_text(tenant_id)}
    rows = show.rows_by_key(house.state.interventions.holding(mine, earlier(as_of, known_at)))
    return show.profile(found, rows, is_bound=key.tenant_id is not None)


def earlier(as_of: datetime | None, known_at: datetime | None) -> datetime | None:
    """The moment at which interventions are shown as they stood; None means now.

    A step is known when it is recorded, so the earlier of both moments decides.
    """
    return min((one for one in (as_of, known_at) if one is not None), default=None)


def _own(key: ApiKey, tenant_id: str) -> None:
    if not key.covers(tenant_id):
        raise NotFound("there is no such customer")


def _one_of(name: str, given: str | None, known: Any) -> None:
    if given is not None and given not in known:
        raise Unprocessable(f"{name} is one of {', '.join(known)}{did_you_mean(given, known)}")
