"""Data: can I trust what I see?"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from ebbtide.console.visit import Visit
from ebbtide.domain.errors import BadRequest

LIMIT = "50"


async def page(visit: Visit) -> Response:
    """What waits in quarantine and why, who sends, and who holds a key."""
    params = visit.request.query_params
    reason, cursor = params.get("reason"), params.get("cursor")
    asked = {"limit": LIMIT} | ({"reason": reason} if reason else {})
    waiting, everything, pulse, keys = await asyncio.gather(
        visit.get_present("/v1/quarantine", **asked, **({"cursor": cursor} if cursor else {})),
        visit.get_present("/v1/quarantine", limit="1"),
        visit.get_present("/ops/pulse"),
        visit.get_present("/v1/keys"),
    )
    for answer in (waiting, everything, pulse, keys):
        if not answer.is_ok:
            return visit.trouble("data", answer)
    return visit.page(
        "data",
        "data.html",
        waiting=waiting.data,
        by_reason=everything.data["by_reason"],
        producers=pulse.data["producers"],
        keys=keys.data["keys"],
        reason=reason,
        is_first=not cursor,
    )


async def release(visit: Visit) -> Response:
    """Try one row again, or all of one reason."""
    fields = await visit.form()
    body: dict[str, object]
    if fields.get("id", "").isdecimal():
        body = {"ids": [int(fields["id"])]}
    elif fields.get("reason"):
        body = {"reason": fields["reason"]}
    else:
        raise BadRequest("say which rows are meant")
    answer = await visit.post("/v1/quarantine/release", body)
    if not answer.is_ok:
        return visit.trouble("data", answer)
    return visit.page("data", "released.html", done=answer.data)
