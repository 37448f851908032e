"""``/ops/revenue``: do we make money safely, and with whom do we not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.dependencies import Instant, check_unbound, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.revenue import RevenueShown, UnitPage, revenue_shown, units_shown
from ebbtide.api.services import Services
from ebbtide.domain.errors import Unprocessable
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean
from ebbtide.signals.revenue import FLAGS, Unit
from ebbtide.signals.selection import Place

PAGE_MAX = 200

router = APIRouter(tags=["revenue"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
AsOf = Annotated[
    Instant, Query(description="The moment to answer for; that of the newest run by default.")
]
KnownAt = Annotated[
    Instant, Query(description="What was received later does not count; without it all does.")
]


@router.get("/ops/revenue", summary="MRR, what of it may be lost, and the margin")
def get_revenue(
    house: House, key: Reader, as_of: AsOf = None, known_at: KnownAt = None
) -> RevenueShown:
    """All tenants together; MRR is of subscriptions, not of activity.

    A price that is not known in USD is in no sum, and counted beside it.
    """
    check_unbound(key)
    found = house.revenue.revenue(as_of=as_of, known_at=known_at)
    return revenue_shown(found, house.catalog.signals.revenue.formula, house.clock())


@router.get("/ops/revenue/tenants", summary="Unit economics, the lowest margin first")
def list_units(
    house: House,
    key: Reader,
    flag: Annotated[
        str | None, Query(description="Only those with this flag, or any for all with one.")
    ] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
) -> UnitPage:
    """Price, cost, margin and risk flags of 30 days. A cursor keeps to its first page's moment.

    A key that is bound to a tenant sees that tenant only.
    """
    if flag is not None and flag != "any" and flag not in FLAGS:
        raise Unprocessable(f"flag is any or one of {', '.join(FLAGS)}{did_you_mean(flag, FLAGS)}")
    place = None if cursor is None else Place.from_text(cursor)
    if place is not None:
        as_of, known_at = place.as_of, None if place.is_stored else place.known_at
    found = house.revenue.units(as_of=as_of, known_at=known_at)
    units = [unit for unit in found.units if _is_meant(unit, flag, key)]
    start = 0 if place is None else _start_in(units, place)
    page = units[start : start + limit]
    end = start + len(page)
    next_cursor = None
    if page and end < len(units):
        last = to_uuid_text(page[-1].tenant_id)
        is_all = found.known_at is None
        moment = found.known_at or found.as_of
        next_cursor = Place(found.as_of, moment, is_all, last, end).to_text()
    formula = house.catalog.signals.pricing.formula
    return units_shown(found, page, len(units), next_cursor, formula, house.clock())


def _is_meant(unit: Unit, flag: str | None, key: ApiKey) -> bool:
    if key.tenant_id is not None and not key.covers(unit.tenant_id):
        return False
    return flag is None or any(flag in ("any", one.name) for one in unit.flags)


def _start_in(units: Sequence[Unit], place: Place) -> int:
    """Behind the last one of the page before, or at its number if he is gone since."""
    for index, unit in enumerate(units):
        if to_uuid_text(unit.tenant_id) == place.tenant_uuid:
            return index + 1
    return min(max(place.index, 0), len(units))
