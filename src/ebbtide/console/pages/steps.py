"""What people do with a suggested step: take it on, turn it down, do it, or undo that."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ebbtide.console.visit import Visit
from ebbtide.domain.errors import NotFound

STEPS = ("accept", "dismiss", "done", "undo")


async def take(visit: Visit) -> Response:
    """Send the step to the API, and go back to the page."""
    number, step = visit.request.path_params["number"], visit.request.path_params["step"]
    if step not in STEPS:
        raise NotFound("there is no such step")
    fields = await visit.form()
    body: dict[str, Any] | None = None
    if step != "undo":
        body = {name: fields[name] for name in ("reason", "note") if fields.get(name)}
    answer = await visit.post(f"/ops/interventions/{number}/{step}", body)
    if not answer.is_ok:
        return visit.trouble("today", answer)
    return visit.back(fields, f"step-{number}")
