"""The daily brief: what the mail of this moment says, or would."""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console.brief import to_sections
from ebbtide.console.visit import Visit


async def page(visit: Visit) -> Response:
    """The day in at most 20 lines."""
    found = await visit.get("/ops/brief")
    if not found.is_ok:
        return visit.trouble("today", found)
    brief = found.data
    return visit.page(
        "today",
        "brief.html",
        state=brief["system_state"],
        as_of=brief["as_of"],
        sections=to_sections(brief["lines"]),
    )
