"""Alerts taken on and put off, lines of the pulse changed, channels made and tried."""

from __future__ import annotations

from typing import Any

from console_browser import Browser

from api.api_server import Server, event

PAST = "2026-03-11T12:00:00Z"


def alert_of(server: Server) -> dict[str, Any]:
    """The first alert there is."""
    if not server.admin.get("/ops/alerts").json["items"]:  # exports stopped a day ago
        at = "2026-03-11T08:00:00Z"
        made = [event(event_type="EXPORT_GENERATED", timestamp=at, metadata={}) for _ in range(9)]
        assert set(server.admin.send(*made).results) == {"stored"}
        assert server.admin.post("/ops/jobs/send-alerts", b"").status == 200
    found = server.admin.get("/ops/alerts").json["items"][0]
    assert isinstance(found, dict)
    return found


def line(server: Server, name: str) -> dict[str, Any]:
    found = {one["name"]: one for one in server.admin.get("/ops/thresholds").json["thresholds"]}
    one = found[name]
    assert isinstance(one, dict)
    return one


def test_an_alert_is_taken_on_put_off_and_heard_of_again(founder: Browser, server: Server) -> None:
    alert_id = alert_of(server)["alert_id"]
    path = f"/alerts/{alert_id}"
    page = founder.page("/alerts")
    fields = page.form(f"{path}/acknowledge") | {"note": "<b>mine</b>"}
    answer = founder.post(f"{path}/acknowledge", fields)
    assert answer.headers["location"] == f"/alerts#alert-{alert_id}"
    assert alert_of(server)["note"] == "<b>mine</b>"
    page = founder.page("/alerts")
    assert "<b>mine</b>" in page.text and "first admin key took it" in page.text
    fields = page.form(f"{path}/snooze") | {"hours": "4"}
    founder.post(f"{path}/snooze", fields)
    assert alert_of(server)["snoozed_until"] == "2026-03-12T16:00:00Z"
    assert founder.post(f"{path}/snooze", fields | {"hours": "5"}).status == 400
    founder.post(f"{path}/wake", founder.page("/alerts").form(f"{path}/wake"))
    assert alert_of(server)["snoozed_until"] is None
    assert founder.post(f"{path}/sell", fields).status == 404
    assert founder.post("/alerts/nobody/acknowledge", fields).status == 404


def test_a_line_is_changed_and_set_back(founder: Browser, server: Server) -> None:
    path = "/alerts/lines/exports_generated"
    fields = founder.page("/alerts").form(path)
    fields = {name: fields[name] for name in fields.keys() - {"is_enabled", "reset"}}
    before = line(server, "exports_generated")
    # Nothing touched: nothing is written.
    founder.post(path, fields | {"level": "critical", "is_enabled": "on"})
    assert line(server, "exports_generated") == before
    changed = fields | {"threshold_pct": " 12.5 ", "level": "critical", "is_enabled": "on"}
    assert founder.post(path, changed).headers["location"] == "/alerts#line-exports_generated"
    after = line(server, "exports_generated")
    assert (after["threshold_pct"], after["min_baseline"]) == (12.5, before["min_baseline"])
    # Somebody who has the old page open and changes the level leaves the new value alone.
    founder.post(path, fields | {"level": "warning"})
    after = line(server, "exports_generated")
    assert (after["threshold_pct"], after["level"], after["is_enabled"]) == (12.5, "warning", False)
    assert "12.5 %" in founder.page("/alerts").text
    assert founder.post(path, fields | {"threshold_pct": "much"}).status == 422
    founder.post(path, {"form_token": fields["form_token"], "reset": "on"})
    assert line(server, "exports_generated")["is_default"]


def test_a_channel_is_made_tried_switched_and_deleted(founder: Browser, server: Server) -> None:
    fields = founder.page("/alerts").form("/alerts/channels")
    said = {"name": "founders", "kind": "email", "recipients": "a@example.com, b@example.com"}
    wanted = {"form_token": fields["form_token"], "wants_brief": "on", "least": "alert"} | said
    assert founder.post("/alerts/channels", wanted).headers["location"] == "/alerts#channels"
    (channel,) = server.admin.get("/ops/channels").json["items"]
    assert channel["recipients"] == ["a@example.com", "b@example.com"]
    assert (channel["least"], channel["wants_brief"]) == ("alert", True)
    path = f"/alerts/channels/{channel['channel_id']}"
    page = founder.page("/alerts")
    founder.post(f"{path}/test", page.form(f"{path}/test"))
    assert "no mail server" in founder.page("/alerts").text
    founder.post(f"{path}/off", page.form(f"{path}/off"))
    assert not server.admin.get("/ops/channels").json["items"][0]["is_enabled"]
    founder.post(f"{path}/on", founder.page("/alerts").form(f"{path}/on"))
    assert server.admin.get("/ops/channels").json["items"][0]["is_enabled"]
    assert founder.post(f"{path}/sell", page.form(f"{path}/test")).status == 404
    founder.post(f"{path}/delete", page.form(f"{path}/delete"))
    assert server.admin.get("/ops/channels").json["items"] == []
    # What the API does not take is said on the page.
    answer = founder.post("/alerts/channels", wanted | {"recipients": "nobody"})
    assert answer.status == 422 and b"name@host" in answer.body


def test_nothing_is_changed_from_the_past(founder: Browser, server: Server) -> None:
    alert_of(server)
    page = founder.page("/alerts", as_of=PAST)
    assert "This screen shows the present." in page.text
    assert not [path for path, _ in page.forms if path not in ("/sign-out", "")]
    path = "/alerts/lines/exports_generated"
    fields = founder.page("/alerts").form(path) | {"reset": "on"}
    assert founder.post(f"{path}?as_of={PAST}", fields).status == 403
    assert founder.post(path, {"reset": "on"}).status == 403
