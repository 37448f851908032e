"""Why one number is what it is: formula, inputs, weights, events, and what changed since."""

from __future__ import annotations

import json

from starlette.responses import Response

from ebbtide.console.pages.events import events_link
from ebbtide.console.visit import Visit
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.ids import to_uuid_text

#: First word of a number -> the screen that it stands on.
SCREEN_OF = {
    "pulse": "pulse",
    "heatmap": "incidents",
    "attribution": "incidents",
    "patterns": "incidents",
    "regressions": "incidents",
    "features": "stickiness",
    "funnel": "stickiness",
    "cohorts": "stickiness",
    "revenue": "revenue",
    "revenue_tenants": "revenue",
    "infra": "infra",
}
NUM_EVENTS = "20"


async def page(visit: Visit) -> Response:
    """The way back from a number of a customer to the events."""
    tenant = visit.request.path_params["tenant"]
    metric = visit.request.query_params.get("metric") or "risk_level"
    found = await visit.get(
        f"/ops/customers/{to_uuid_text(tenant)}/explain", metric=metric, limit=NUM_EVENTS
    )
    if not found.is_ok:
        return visit.trouble("customers", found)
    return visit.page("customers", "why.html", one=found.data)


async def number(visit: Visit) -> Response:
    """The way back from a number of the business."""
    params = visit.request.query_params
    name = params.get("number") or ""
    screen = SCREEN_OF.get(name.partition(".")[0], "pulse")
    of = _rows_of(params.get("of"))
    found = await visit.get(
        "/ops/explain", number=name, of=of, hours=params.get("hours"), limit=NUM_EVENTS
    )
    if not found.is_ok:
        return visit.trouble(screen, found)
    url = found.data["events_url"]
    events = None if url is None else events_link(url, visit.moment.params)
    return visit.page(screen, "number.html", one=found.data, events=events)


def _rows_of(text: str | None) -> list[str]:
    """What names the rows of a number, out of the list that the address holds."""
    try:
        found = json.loads(text) if text else []
    except (ValueError, RecursionError) as error:
        raise BadRequest("of names a row") from error
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadRequest("of names a row")
    return found
