"""Alerts: what is not well, from where on it counts, and who is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from starlette.responses import RedirectResponse, Response

from ebbtide.console.ask import Answer, part
from ebbtide.console.visit import Visit
from ebbtide.domain.errors import BadRequest, NotFound
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.time import format_instant

REFRESH_S = 30
NUM_DELIVERIES = "10"
#: For how many hours one may hear nothing of an alert.
SNOOZES = {"1": "an hour", "4": "4 hours", "24": "a day", "168": "a week"}
LEVELS = ("critical", "warning")
KINDS = {"slack": "Slack", "email": "e-mail", "webhook": "webhook"}
LEASTS = {"warning": "warnings and alerts", "alert": "alerts alone"}


async def page(visit: Visit) -> Response:
    """Every rule that is not well, the lines of the pulse, and where word of it goes."""
    alerts, lines, channels, deliveries, keys = await asyncio.gather(
        visit.get_present("/ops/alerts"),
        visit.get_present("/ops/thresholds"),
        visit.get_present("/ops/channels"),
        visit.get_present("/ops/deliveries", limit=NUM_DELIVERIES),
        visit.get_present("/v1/keys"),
    )
    for answer in (alerts, lines, channels, deliveries, keys):
        if not answer.is_ok:
            return visit.trouble("alerts", answer)
    items = alerts.data["items"]
    return visit.page(
        "alerts",
        "alerts.html",
        refresh_s=REFRESH_S,
        alerts=[one | {"customer": _customer(one)} for one in items if one["status"] != "ok"],
        over=[one for one in items if one["status"] == "ok"],
        lines=lines.data["thresholds"],
        channels=channels.data["items"],
        names={one["channel_id"]: one["name"] for one in channels.data["items"]},
        deliveries=deliveries.data["items"],
        who={key["key_id"]: key["name"] for key in keys.data["keys"]},
        snoozes=SNOOZES,
        levels=LEVELS,
        kinds=KINDS,
        leasts=LEASTS,
    )


def _customer(alert: dict[str, Any]) -> str | None:
    """UUID of the customer that an alert is about; None when it is about none."""
    kind, _, tenant = alert["rule"].partition(":")
    return to_uuid_text(tenant) if kind == "customer" else None


async def answer(visit: Visit) -> Response:
    """Take an alert on, hear nothing of it for a while, or hear of it again."""
    alert, step = visit.request.path_params["alert"], visit.request.path_params["step"]
    fields = await visit.form()
    body: dict[str, Any]
    if step == "acknowledge":
        body = {"note": fields.get("note") or None}
    elif step == "wake":
        step, body = "snooze", {"until": None}
    elif step == "snooze":
        if fields.get("hours") not in SNOOZES:
            raise BadRequest("choose for how long")
        until = visit.desk.clock() + timedelta(hours=int(fields["hours"]))
        body = {"until": format_instant(until)}
    else:
        raise NotFound("there is no such step")
    said = await visit.post(f"/ops/alerts/{part(alert)}/{step}", body)
    return _done(visit, said, f"alert-{alert}")


async def change_line(visit: Visit) -> Response:
    """Change one threshold, or let it be again what it came as; what was not touched stays."""
    name = visit.request.path_params["name"]
    fields = await visit.form()
    edit: dict[str, Any] = {"name": name}
    if "reset" in fields:
        edit["reset"] = True
    else:
        # Somebody else may have changed the rest since this page was made.
        edit |= {
            field: fields[field].strip()
            for field in ("threshold_pct", "level", "min_baseline")
            if field in fields and fields[field] != fields.get(f"was_{field}")
        }
        is_enabled = "is_enabled" in fields
        if is_enabled != ("was_enabled" in fields):
            edit["is_enabled"] = is_enabled
    if len(edit) > 1:
        said = await visit.put("/ops/thresholds", {"thresholds": [edit]})
        return _done(visit, said, f"line-{name}")
    return visit.back({"back": "/alerts"}, f"line-{name}")


async def make_channel(visit: Visit) -> Response:
    """Make a channel; of its secret only the name is told."""
    fields = await visit.form()
    body: dict[str, Any] = {
        name: fields[name].strip()
        for name in ("name", "kind", "url", "secret", "least")
        if fields.get(name, "").strip()
    }
    body["recipients"] = fields.get("recipients", "").replace(",", " ").split()
    body["wants_brief"] = "wants_brief" in fields
    return _done(visit, await visit.post("/ops/channels", body), "channels")


async def change_channel(visit: Visit) -> Response:
    """Switch a channel on or off, send a test over it, or delete it."""
    step = visit.request.path_params["step"]
    path = f"/ops/channels/{part(visit.request.path_params['channel'])}"
    await visit.form()
    if step in ("on", "off"):
        said = await visit.put(path, {"is_enabled": step == "on"})
    elif step == "test":
        said = await visit.post(f"{path}/test")
    elif step == "delete":
        said = await visit.delete(path)
    else:
        raise NotFound("there is no such step")
    return _done(visit, said, "channels")


def _done(visit: Visit, said: Answer, anchor: str) -> Response:
    if not said.is_ok:
        return visit.trouble("alerts", said)
    return RedirectResponse(f"/alerts#{anchor}", 303)
