"""Why one number is what it is: formula, inputs, weights, events, and what changed since."""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console.visit import Visit
from ebbtide.domain.ids import to_uuid_text


async def page(visit: Visit) -> Response:
    """The way back from a number to the events."""
    tenant = visit.request.path_params["tenant"]
    metric = visit.request.query_params.get("metric") or "risk_level"
    found = await visit.get(
        f"/ops/customers/{to_uuid_text(tenant)}/explain", metric=metric, limit="20"
    )
    if not found.is_ok:
        return visit.trouble("customers", found)
    return visit.page("customers", "why.html", one=found.data)
