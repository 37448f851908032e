"""Product Stickiness: which feature actually keeps users?"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from ebbtide.console.visit import Visit


async def page(visit: Visit) -> Response:
    """Features and who stayed with them, the funnel, and weeks of customers that came together."""
    features, funnel, cohorts = await asyncio.gather(
        visit.get("/ops/stickiness"),
        visit.get("/ops/funnel"),
        visit.get("/ops/cohorts"),
    )
    for answer in (features, funnel, cohorts):
        if not answer.is_ok:
            return visit.trouble("stickiness", answer)
    shown = [one for one in cohorts.data["cohorts"] if one["num_tenants"]]
    return visit.page(
        "stickiness",
        "stickiness.html",
        features=features.data,
        funnel=funnel.data,
        cohorts=shown,
        num_weeks=max((len(one["retention"]) for one in shown), default=0),
        cohorts_formula=cohorts.data["formula"],
    )
