"""Revenue & Risk: am I making money safely?"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from ebbtide.console import charts
from ebbtide.console.visit import Visit

LIMIT = "30"


async def page(visit: Visit) -> Response:
    """What is paid, what of it may be lost, and who costs more than they bring."""
    cursor = visit.request.query_params.get("cursor")
    whole, tenants = await asyncio.gather(
        visit.get("/ops/revenue"),
        visit.get("/ops/revenue/tenants", limit=LIMIT, cursor=cursor),
    )
    for answer in (whole, tenants):
        if not answer.is_ok:
            return visit.trouble("revenue", answer)
    return visit.page(
        "revenue",
        "revenue.html",
        whole=whole.data,
        tenants=tenants.data,
        bars=charts.lying([one["margin_usd"] for one in tenants.data["items"]]),
        is_first=not cursor,
    )
