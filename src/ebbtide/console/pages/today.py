"""Today: who should I call, and why?"""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console.visit import Visit

REFRESH_S = 30
LIMIT = "10"  # as many as one calls in a day
LIMIT_MAX = "50"


async def page(visit: Visit) -> Response:
    """Customers at risk, worst first, each with its reasons and the next steps."""
    shows_all = visit.request.query_params.get("show") == "all"
    found = await visit.get("/ops/customers/at-risk", limit=LIMIT_MAX if shows_all else LIMIT)
    if not found.is_ok:
        return visit.trouble("today", found)
    return visit.page("today", "today.html", refresh_s=REFRESH_S, found=found.data)
