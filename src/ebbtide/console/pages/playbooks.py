"""Playbooks: does what we do help?"""

from __future__ import annotations

from starlette.responses import Response

from ebbtide.console.visit import Visit


async def page(visit: Visit) -> Response:
    """Every playbook: when it matches, what to do, and what came of it."""
    found = await visit.get("/ops/playbooks")
    if not found.is_ok:
        return visit.trouble("playbooks", found)
    return visit.page("playbooks", "playbooks.html", found=found.data)
