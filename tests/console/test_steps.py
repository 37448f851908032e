"""From a page to a changed state and back: take a step on, do it, turn it down, undo it."""

from __future__ import annotations

from console_browser import Browser, Page
from console_company import SILENT

from api.api_server import Server
from ebbtide.domain.ids import to_uuid_text


def state_of(server: Server, number: str) -> dict[str, object]:
    found = server.admin.get(f"/ops/interventions/{number}").json
    assert isinstance(found, dict)
    return found


def first_step(page: Page) -> str:
    """The number of the first step that can be taken."""
    return next(path.split("/")[2] for path, _ in page.forms if path.endswith("/accept"))


def test_a_step_is_accepted_done_and_undone(founder: Browser, server: Server) -> None:
    page = founder.page("/today")
    number = first_step(page)
    answer = founder.post(f"/steps/{number}/accept", page.form(f"/steps/{number}/accept"))
    assert answer.headers["location"] == f"/today#step-{number}"
    assert state_of(server, number)["state"] == "accepted"
    page = founder.page("/today")
    assert "taken on" in page.text
    founder.post(f"/steps/{number}/done", page.form(f"/steps/{number}/done"))
    assert state_of(server, number)["state"] == "done"
    page = founder.page("/today")
    assert "● done" in page.text
    founder.post(f"/steps/{number}/undo", page.form(f"/steps/{number}/undo"))
    assert state_of(server, number)["state"] == "accepted"
    founder.post(f"/steps/{number}/undo", page.form(f"/steps/{number}/undo"))
    assert state_of(server, number)["state"] == "suggested"
    assert state_of(server, number)["changed_by"] == (server.admin.key or "").split("_")[1]


def test_a_step_is_dismissed_with_its_reason_from_the_profile(
    founder: Browser, server: Server
) -> None:
    path = f"/customers/{to_uuid_text(SILENT)}"
    page = founder.page(path)
    number = first_step(page)
    fields = page.form(f"/steps/{number}/dismiss") | {"reason": "fixed", "note": "<b>spoke</b>"}
    answer = founder.post(f"/steps/{number}/dismiss", fields)
    assert answer.headers["location"] == f"{path}#step-{number}"
    kept = state_of(server, number)
    assert (kept["state"], kept["dismiss_reason"], kept["note"]) == (
        "dismissed",
        "fixed",
        "<b>spoke</b>",
    )
    founder.post(f"/steps/{number}/undo", page.form(f"/steps/{number}/dismiss"))


def test_without_a_reason_nothing_is_dismissed(founder: Browser, server: Server) -> None:
    page = founder.page("/today")
    number = first_step(page)
    fields = page.form(f"/steps/{number}/dismiss")
    assert founder.post(f"/steps/{number}/dismiss", fields).status == 422
    assert state_of(server, number)["state"] == "suggested"


def test_a_step_without_the_token_is_not_taken(founder: Browser, server: Server) -> None:
    number = first_step(founder.page("/today"))
    assert founder.post(f"/steps/{number}/accept", {"back": "/today"}).status == 403
    assert state_of(server, number)["state"] == "suggested"


def test_no_step_is_taken_in_the_past(founder: Browser) -> None:
    page = founder.page("/today", as_of="2026-03-11T12:00:00Z")
    assert not [path for path, _ in page.forms if path.startswith("/steps/")]


def test_what_is_no_step_is_none(founder: Browser) -> None:
    fields = founder.page("/today").form("/sign-out")
    assert founder.post("/steps/1/sell", fields).status == 404
    assert founder.post("/steps/999999/accept", fields).status == 404
    assert founder.post("/steps/x/accept", fields).status == 404
    assert founder.get("/steps/1/accept").status == 405


def test_a_job_is_run_from_its_page(founder: Browser, server: Server) -> None:
    page = founder.page("/jobs")
    path = "/jobs/compute-stickiness/run"
    assert founder.post(path, page.form(path)).headers["location"] == "/jobs#job-compute-stickiness"
    newest = server.admin.get("/ops/jobs/runs", job="compute-stickiness", limit=1).json["runs"][0]
    assert newest["asked_by"].startswith("key ")
    assert founder.post("/jobs/<b>/run", page.form(path)).status == 404


def test_a_row_of_quarantine_is_tried_again(founder: Browser, server: Server) -> None:
    page = founder.page("/data")
    assert "unknown_event_type" in page.text
    (number,) = [row["id"] for row in server.admin.get("/v1/quarantine").json["items"]]
    token = page.form("/data/release")["form_token"]
    fields = {"form_token": token, "id": str(number)}
    answer = founder.post("/data/release", fields)
    assert answer.status == 200
    assert "1 tried, 0 stored, 1 still wait" in Page(answer.body.decode()).text
    (row,) = server.admin.get("/v1/quarantine").json["items"]
    assert row["num_attempts"] == 1
    assert founder.post("/data/release", {"form_token": token}).status == 400
    assert founder.post("/data/release", {"id": str(number)}).status == 403
