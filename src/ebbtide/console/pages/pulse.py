"""System Pulse: is my business healthy right now?"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from ebbtide.console.visit import Visit

REFRESH_S = 20
NUM_FIRST = 3  # of those to call


async def page(visit: Visit) -> Response:
    """The state with its reasons, last week beside yesterday, and whom to call first."""
    pulse, thresholds, first, infra = await asyncio.gather(
        visit.get("/ops/pulse"),
        visit.get("/ops/thresholds"),
        visit.get("/ops/customers/at-risk", limit=str(NUM_FIRST)),
        visit.get("/ops/infra"),
    )
    if not pulse.is_ok:
        return visit.trouble("pulse", pulse)
    outlook = infra.data["resources"] if infra.is_ok else []
    return visit.page(
        "pulse",
        "pulse.html",
        refresh_s=REFRESH_S,
        pulse=pulse.data,
        alerted={alert["name"]: alert["level"] for alert in pulse.data["alerts"]},
        thresholds=thresholds.data["thresholds"] if thresholds.is_ok else None,
        first=first.data if first.is_ok else None,
        outlook={one["resource"]: one for one in outlook},
    )
