"""Data: can I trust what I see?"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from starlette.responses import RedirectResponse, Response

from ebbtide.console.ask import part
from ebbtide.console.visit import Visit
from ebbtide.domain.errors import BadRequest
from ebbtide.domain.time import format_instant

REFRESH_S = 20
LIMIT = "50"
#: Where a row of quarantine can be, and what the page calls it.
SHELVES = {"pending": "Waits", "discarded": "Given up", "released": "Let in later"}
#: What a key may be allowed to do, and what that means.
SCOPES = {
    "ingest": "send events",
    "read": "read everything",
    "interventions:write": "answer suggestions and alerts",
    "jobs:run": "run jobs",
    "llm:call": "call models through the guard",
    "admin": "all of it, and this console",
}
#: After how many days a key ends; 0: not by itself.
LIVES = {"0": "when revoked", "30": "after 30 days", "90": "after 90 days", "365": "after a year"}


async def page(visit: Visit) -> Response:
    """What waits in quarantine and why, who sends, what was imported, and who holds a key."""
    params = visit.request.query_params
    reason, cursor = params.get("reason"), params.get("cursor")
    status = params.get("status") or "pending"
    asked = {"limit": LIMIT, "status": status} | ({"reason": reason} if reason else {})
    shelves, waiting, pulse, imports, keys = await asyncio.gather(
        asyncio.gather(
            *[visit.get_present("/v1/quarantine", limit="1", status=name) for name in SHELVES]
        ),
        visit.get_present("/v1/quarantine", **asked, **({"cursor": cursor} if cursor else {})),
        visit.get_present("/ops/pulse"),
        visit.get_present("/v1/imports"),
        visit.get_present("/v1/keys"),
    )
    for answer in (waiting, *shelves, pulse, imports, keys):
        if not answer.is_ok:
            return visit.trouble("data", answer)
    by_shelf = {name: answer.data for name, answer in zip(SHELVES, shelves, strict=True)}
    return visit.page(
        "data",
        "data.html",
        refresh_s=REFRESH_S,
        rows=waiting.data,
        shelves=SHELVES,
        by_shelf=by_shelf,
        by_reason=by_shelf.get(status, waiting.data)["by_reason"],
        producers=pulse.data["producers"],
        unavailable=pulse.data["unavailable"],
        imports=imports.data["imports"],
        keys=keys.data["keys"],
        scopes=SCOPES,
        lives=LIVES,
        shelf=status,
        reason=reason,
        is_first=not cursor,
    )


async def release(visit: Visit) -> Response:
    """Try one row again, or all of one reason."""
    answer = await visit.post("/v1/quarantine/release", _meant(await visit.form()))
    if not answer.is_ok:
        return visit.trouble("data", answer)
    return visit.page("data", "released.html", done=answer.data)


async def discard(visit: Visit) -> Response:
    """Give up one row, or all of one reason."""
    answer = await visit.post("/v1/quarantine/discard", _meant(await visit.form()))
    if not answer.is_ok:
        return visit.trouble("data", answer)
    return visit.page("data", "discarded.html", num=answer.data["discarded"])


def _meant(fields: dict[str, str]) -> dict[str, Any]:
    if fields.get("id", "").isdecimal():
        return {"ids": [int(fields["id"])]}
    if fields.get("reason"):
        return {"reason": fields["reason"]}
    raise BadRequest("say which rows are meant")


async def make_key(visit: Visit) -> Response:
    """Make a key; this answer is the only place that ever shows it."""
    fields = await visit.form()
    body: dict[str, Any] = {
        "name": fields.get("name", "").strip(),
        "scopes": [scope for scope in SCOPES if f"scope:{scope}" in fields],
    }
    if not body["scopes"]:
        raise BadRequest("choose what the key may do")
    if fields.get("tenant_id"):
        body["tenant_id"] = fields["tenant_id"]
    days = fields.get("days", "0")
    if days not in LIVES:
        raise BadRequest("choose one of the lengths of life")
    if days != "0":
        body["expires_at"] = format_instant(visit.desk.clock() + timedelta(days=int(days)))
    answer = await visit.post("/v1/keys", body)
    if not answer.is_ok:
        return visit.trouble("data", answer)
    return visit.page("data", "key.html", made=answer.data)


async def revoke_key(visit: Visit) -> Response:
    """Revoke a key at once; it cannot be undone."""
    await visit.form()
    answer = await visit.delete(f"/v1/keys/{part(visit.request.path_params['key_id'])}")
    if not answer.is_ok:
        return visit.trouble("data", answer)
    return RedirectResponse("/data#keys", 303)
