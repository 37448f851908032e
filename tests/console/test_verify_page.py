"""The page of a certificate: anybody may look, and sees whether it is genuine and nothing more."""

from __future__ import annotations

from console_browser import Browser, Page
from console_company import HOSTILE, SILENT

from api.api_server import Server, event


def test_a_certificate_is_confirmed_without_a_key_and_without_contents(
    server: Server, stranger: Browser
) -> None:
    server.admin.send(
        event(
            tenant_id=SILENT,
            event_type="INCIDENT_CREATED",
            entity_id="inc-1",
            metadata={"limit": "cost", "note": HOSTILE},
        )
    )
    made = server.admin.post("/ops/exports", {"incident_id": "inc-1"}).json
    answer = stranger.get(made["verify"])
    page = Page(answer.body.decode())
    assert answer.status == 200 and "Issued by us" in page.text
    assert "cause: budget exceeded" in page.text
    assert made["certificate_id"] in page.text
    assert SILENT not in page.text and "inc-1" not in page.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]

    def visits() -> int:
        told = server.admin.get("/ops/events", event_type="CERT_VERIFIED", hours=1)
        return int(told.json["total"])

    assert visits() == 1  # HEAD, a preview and the same reader again are none
    stranger.ask("HEAD", made["verify"], User_Agent="other")
    stranger.ask("GET", made["verify"], User_Agent="Slackbot-LinkExpanding 1.0")
    stranger.get(made["verify"])
    assert visits() == 1

    key_id = server.client().get(made["verify"]).json["key_id"]
    server.admin.post(f"/ops/evidence-keys/{key_id}/revoke", None)
    assert "Its key was revoked" in stranger.page(made["verify"]).text


def test_what_we_did_not_issue_is_not_known(stranger: Browser) -> None:
    for odd in ("cert_0", "%3Cscript%3E", "x" * 3000, "%E2%80%AE"):
        answer = stranger.get(f"/verify/{odd}")
        page = Page(answer.body.decode())
        assert answer.status == 404 and "do not know this certificate" in page.text
        assert [given["src"] for tag, given in page.elements if tag == "script"] != ["x"]
        assert "\u202e" not in page.text
