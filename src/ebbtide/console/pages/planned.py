"""Screens that are not built yet: what they will answer, and what answers it today."""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console.screens import SCREENS
from ebbtide.console.visit import Visit


async def page(visit: Visit) -> Response:
    """An honest page."""
    path = visit.request.url.path
    screen = next(one for one in SCREENS if one.path == path)
    return visit.page(screen, "planned.html")
