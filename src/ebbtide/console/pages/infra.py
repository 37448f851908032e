"""Infra & Limits: what breaks first if I grow?"""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console import charts
from ebbtide.console.visit import Visit


async def page(visit: Visit) -> Response:
    """Every resource: how full it is, how it grows, and when it is full."""
    found = await visit.get("/ops/infra")
    if not found.is_ok:
        return visit.trouble("infra", found)
    return visit.page(
        "infra",
        "infra.html",
        found=found.data,
        bands=[
            charts.band(one["days_low"], one["days_to_limit"], one["days_high"])
            for one in found.data["resources"]
        ],
        horizon=charts.HORIZON_DAYS,
    )
