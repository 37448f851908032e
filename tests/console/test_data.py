"""The Data screen: quarantine let in or given up, keys made and revoked, imports with progress."""

from __future__ import annotations

import re

import pytest
from console_browser import Browser, Page
from console_company import HOSTILE

from api.api_server import Client, Server, event

PAST = "2026-03-11T12:00:00Z"


def by_reason(server: Server, status: str = "pending") -> dict[str, int]:
    found = server.admin.get("/v1/quarantine", status=status).json["by_reason"]
    assert isinstance(found, dict)
    return found


def test_rows_are_given_up_one_by_one_and_all_of_a_reason(founder: Browser, server: Server) -> None:
    server.admin.send(*[event(event_type="LOGIN", severity=f"loud{n}") for n in range(3)])
    page = founder.page("/data")
    (reason,) = [why for why in by_reason(server) if why.startswith("invalid_severity")]
    found = server.admin.get("/v1/quarantine", reason=reason).json["items"]
    token = page.form("/data/discard")["form_token"]
    answer = founder.post("/data/discard", {"form_token": token, "id": str(found[0]["id"])})
    assert answer.status == 200 and "1 given up" in Page(answer.body.decode()).text
    assert by_reason(server)[reason] == 2
    answer = founder.post("/data/discard", {"form_token": token, "reason": reason})
    assert "2 given up" in Page(answer.body.decode()).text
    assert reason not in by_reason(server) and by_reason(server, "discarded")[reason] == 3
    assert "loud2" in founder.page("/data", status="discarded", reason=reason).text
    # Twice does no harm, and nothing in particular means nothing.
    answer = founder.post("/data/discard", {"form_token": token, "reason": reason})
    assert "0 given up" in Page(answer.body.decode()).text
    assert founder.post("/data/discard", {"form_token": token}).status == 400


def test_a_shelf_that_is_none_is_said_to_be_none(founder: Browser) -> None:
    assert founder.get("/data", status="<b>").status == 422


def test_a_key_is_made_shown_once_and_revoked(founder: Browser, server: Server) -> None:
    fields = founder.page("/data").form("/data/keys")
    wanted = {"form_token": fields["form_token"], "name": "<b>proxy</b>", "days": "30"}
    answer = founder.post("/data/keys", wanted | {"scope:read": "on", "scope:jobs:run": "on"})
    assert answer.status == 200 and "no-store" in answer.headers["cache-control"]
    text = re.search(r"ebb_\w+", Page(answer.body.decode()).text)
    assert text is not None
    secret = text[0]
    assert Client(server.port, secret).get("/ops/jobs").status == 200
    assert Client(server.port, secret).get("/v1/keys").status == 403
    page = founder.page("/data")
    assert secret not in page.text
    key_id = secret.split("_")[1]
    (key,) = [one for one in server.admin.get("/v1/keys").json["keys"] if one["key_id"] == key_id]
    assert key["scopes"] == ["jobs:run", "read"] and key["expires_at"] == "2026-04-11T12:00:00Z"
    path = f"/data/keys/{key_id}/revoke"
    assert founder.post(path, page.form(path)).headers["location"] == "/data#keys"
    assert Client(server.port, secret).get("/ops/jobs").status == 401
    assert path not in [action for action, _ in founder.page("/data").forms]


@pytest.mark.parametrize(
    "fields", [{}, {"scope:root": "on"}, {"scope:read": "on", "days": "7"}, {"name": ""}]
)
def test_a_key_that_makes_no_sense_is_not_made(
    founder: Browser, server: Server, fields: dict[str, str]
) -> None:
    before = server.admin.get("/v1/keys").json
    wanted = founder.page("/data").form("/data/keys") | {"name": "x", "days": "0"}
    wanted = {name: text for name, text in wanted.items() if not name.startswith("scope:")}
    wanted |= {"scope:admin": "on"} if "name" in fields else {}
    assert founder.post("/data/keys", wanted | fields).status in (400, 422)
    after = server.admin.get("/v1/keys").json
    assert len(after["keys"]) == len(before["keys"])


def test_whoever_revokes_the_own_key_is_signed_out(founder: Browser, server: Server) -> None:
    made = server.admin.post("/v1/keys", {"name": "second", "scopes": ["admin"]}).json
    other = Browser(server)
    other.sign_in(made["key"])
    path = f"/data/keys/{made['key_id']}/revoke"
    page = other.page("/data")
    assert "this session ends" in page.text
    other.post(path, page.form(path))
    assert other.get("/data").headers["location"].startswith("/sign-in")
    assert founder.get("/data").status == 200


def test_imports_show_how_far_they_are(founder: Browser, server: Server) -> None:
    counts = {
        "position": 900,
        "rows_done": 9,
        "num_stored": 7,
        "num_duplicate": 2,
        "num_conflict": 0,
        "num_quarantined": 0,
        "num_refused": 0,
    }
    body = {"file": HOSTILE, "is_finished": False} | counts
    assert server.admin.put("/v1/imports/k1", body).status == 200
    text = founder.page("/data").text
    assert "<script>alert(1)</script>" in text and "under way" in text
    server.admin.put("/v1/imports/k1", body | {"is_finished": True})
    assert "● done just now" in founder.page("/data").text


def test_nothing_is_changed_from_the_past(founder: Browser, server: Server) -> None:
    server.admin.send(event(event_type="LOGIN", severity="kept"))
    before = by_reason(server)
    page = founder.page("/data", as_of=PAST)
    assert not [path for path, _ in page.forms if path not in ("/sign-out", "")]
    fields = founder.page("/data").form("/data/discard") | {"reason": next(iter(before))}
    assert founder.post(f"/data/discard?as_of={PAST}", fields).status == 403
    back = fields | {"back": f"/data?as_of={PAST}"}
    assert founder.post("/data/discard", back).status == 403
    assert founder.post("/data/discard", {"reason": next(iter(before))}).status == 403
    assert by_reason(server) == before
