"""One incident: its story on a page of its own, and a person's word on what it came from."""

from __future__ import annotations

from urllib.parse import quote

from console_browser import Browser
from console_company import HOSTILE, LIVELY

from api.api_server import Server, event

ID = f"inc/1 {HOSTILE}"


def settle(server: Server) -> str:
    """Two incidents of one id at two customers; the event UUID of the hostile one's."""
    fields = {
        "event_type": "INCIDENT_CREATED",
        "entity_id": ID,
        "severity": 4,
        "metadata": {"call_id": HOSTILE, "model": HOSTILE, "__proto__": {"x": 1}},
    }
    made = [event(tenant_id=who, event_id=f"i-{who}", **fields) for who in (LIVELY, "other")]
    assert set(server.admin.send(*made).results) <= {"stored", "duplicate"}
    found = server.admin.get("/ops/incidents", tenant_id=LIVELY).json["items"]
    return str(found[0]["event_uuid"])


def test_an_incident_has_a_page_and_its_cause_is_corrected(
    founder: Browser, server: Server
) -> None:
    uuid = settle(server)
    (link,) = [one for one in founder.page("/incidents").links if f"/incidents/{uuid}" in one]
    page = founder.page(link)
    assert "waits for somebody who knows" in page.text
    assert "<script>alert(1)</script>" in page.text and "\u202e" not in page.text
    path = f"/incidents/{uuid}/attribution"
    fields = page.form(path) | {"attribution": "CONTEXT_MISSING", "note": HOSTILE}
    answer = founder.post(path, fields)
    where = answer.headers["location"]
    assert where == f"/incidents/{uuid}?tenant={quote(LIVELY, safe='').replace('%20', '+')}#cause"
    page = founder.page(where.partition("#")[0])
    assert "context missing" in page.text and "a person" in page.text
    found = server.admin.get(f"/ops/incidents/{uuid}").json["incident"]
    assert found["cause"]["attribution"] == "CONTEXT_MISSING"
    assert founder.post(path, fields | {"attribution": "<b>"}).status == 400
    assert founder.post(path, fields | {"form_token": ""}).status == 403


def test_no_word_on_a_cause_comes_from_the_past(founder: Browser, server: Server) -> None:
    uuid = settle(server)
    past = "2026-03-12T11:30:00Z"
    page = founder.page(f"/incidents/{uuid}", tenant=LIVELY, as_of=past)
    assert "You look at the past." in page.text
    path = f"/incidents/{uuid}/attribution"
    assert path not in [action for action, _ in page.forms]
    fields = founder.page(f"/incidents/{uuid}", tenant=LIVELY).form(path)
    fields |= {"attribution": "USER_MISUSE"}
    assert founder.post(f"{path}?as_of={past}", fields).status == 403


def test_an_incident_that_is_none_is_said_to_be_none(founder: Browser) -> None:
    for name in ("nothing", "%00", "..%2F..%2Fops%2Fpulse", "%3Cb%3E"):
        assert founder.get(f"/incidents/{name}").status == 404
