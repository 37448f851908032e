"""Incident Intelligence: what is breaking and is it systemic?"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from ebbtide.console.pages import tables
from ebbtide.console.visit import Visit

#: Lengths of the window, in hours, as the page offers them.
WINDOWS = {"24": "24 hours", "168": "7 days", "720": "30 days"}
NUM_IN_REVIEW = "10"


async def page(visit: Visit) -> Response:
    """What became worse with a version, where incidents come from, and what waits for a person."""
    hours = visit.request.query_params.get("hours") or "24"
    heat, causes, worse, patterns = await asyncio.gather(
        visit.get("/ops/incidents/heatmap", hours=hours),
        visit.get("/ops/incidents/attribution", hours=hours, limit=NUM_IN_REVIEW),
        visit.get("/ops/incidents/regressions"),
        visit.get("/ops/incidents/patterns"),
    )
    for answer in (heat, causes, worse, patterns):
        if not answer.is_ok:
            return visit.trouble("incidents", answer)
    cells = {(one["model"], one["policy_id"]): one for one in heat.data["by_model_and_policy"]}
    return visit.page(
        "incidents",
        "incidents.html",
        heat=heat.data,
        cells=cells,
        most=max((one["num_incidents"] for one in cells.values()), default=1),
        causes=causes.data,
        worse=worse.data,
        patterns=patterns.data["patterns"],
        windows=WINDOWS,
        hours=hours,
        views={
            "causes": tables.view("causes", causes.data),
            "policies": tables.view("policies", heat.data),
        },
    )
