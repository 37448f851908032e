"""Every page: it answers, forbids what it does not need, keeps its moment, and is inert."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from console_browser import Browser, Page
from console_company import HOSTILE, LIVELY, SILENT

from api.api_server import Server
from ebbtide.console.screens import SCREENS
from ebbtide.console.spreadsheet import harmless
from ebbtide.domain.ids import to_uuid_text

UUID = to_uuid_text(LIVELY)
PATHS = [
    *[screen.path for screen in SCREENS],
    f"/customers/{UUID}",
    f"/customers/{UUID}/why?metric=stickiness_7d",
    f"/customers/{UUID}/why?metric=last_friction_event",
    "/customers?risk_level=low&is_silent_churn=true",
    "/today?show=all",
    "/brief",
]


def split(path: str) -> tuple[str, dict[str, str]]:
    path, _, query = path.partition("?")
    return path, dict(pair.split("=") for pair in query.split("&") if pair)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("as_of", [None, "2026-03-01T00:00:00Z"])
def test_a_page_answers_for_now_and_for_then(
    founder: Browser, path: str, as_of: str | None
) -> None:
    path, params = split(path)
    page = founder.page(path, **params, **({"as_of": as_of} if as_of else {}))
    own = [link for link in page.links if link.startswith("/") and "/static/" not in link]
    assert own
    if as_of is not None:
        forgotten = [link for link in own if "as_of=" not in link]
        # Back to now, or what has no past of its own.
        places = {link.split("?")[0].split("#")[0] for link in forgotten}
        assert places <= {path, "/customers"}, forgotten


@pytest.mark.parametrize("path", PATHS)
def test_foreign_text_stays_text(founder: Browser, path: str) -> None:
    answer = founder.get(split(path)[0], **split(path)[1])
    page = Page(answer.body.decode())
    scripts = [given for tag, given in page.elements if tag == "script"]
    assert [str(given["src"])[:19] for given in scripts] == ["/static/console.js?"]
    assert {tag for tag, _ in page.elements}.isdisjoint({"iframe", "object", "embed", "base", "i"})
    pictures = {str(given["src"]).partition("?")[0] for tag, given in page.elements if tag == "img"}
    assert pictures <= {"/static/mark.svg"}
    names = {name for _, given in page.elements for name in given}
    assert not {name for name in names if name.startswith("on") or name == "style"}
    assert all(link.startswith(("/", "#", "mailto:")) for link in page.links), page.links
    assert "\u202e" not in answer.body.decode()


def test_hostile_names_are_shown_as_they_are(founder: Browser) -> None:
    text = founder.page("/customers").text
    assert "<script>alert(1)</script>" in text
    assert "{{ 7*7 }}" in text
    assert "‹U+202E›" in text
    assert HOSTILE not in text  # what turns the direction of text is made visible


@pytest.mark.parametrize("path", [*PATHS, "/sign-in", "/nowhere/..", "/customers/%00", "/static/x"])
@pytest.mark.parametrize("is_in", [True, False])
def test_every_answer_carries_the_policy(
    founder: Browser, stranger: Browser, path: str, is_in: bool
) -> None:
    headers = (founder if is_in else stranger).get(*split(path)[:1], **split(path)[1]).headers
    if "content-security-policy" in headers and path.startswith("/nowhere"):
        return  # the API's own
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert "frame-ancestors 'none'" in policy and "report-uri /csp-report" in policy
    assert headers["x-content-type-options"] == "nosniff"
    if not path.startswith("/static"):
        assert headers["cache-control"] == "private, no-store"


def test_the_root_is_the_console_for_browsers_and_the_api_for_programs(
    founder: Browser, server: Server
) -> None:
    assert founder.get("/").headers["location"] == "/pulse"
    assert server.admin.get("/").json["name"] == "ebbtide"


def test_files_are_kept_by_the_browser_under_the_name_of_what_they_hold(
    founder: Browser, stranger: Browser
) -> None:
    page = founder.page("/jobs")
    sheet = next(
        str(given["href"]) for tag, given in page.elements if given.get("rel") == "stylesheet"
    )
    answer = stranger.get(sheet)
    assert answer.status == 200 and "immutable" in answer.headers["cache-control"]
    assert "immutable" not in stranger.get("/static/console.css").headers["cache-control"]
    packed = stranger.ask("GET", sheet, accept_encoding="br, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == answer.body and "content-encoding" not in answer.headers
    assert "content-encoding" not in founder.ask("GET", "/jobs", accept_encoding="gzip").headers
    for name in ("..%2fapplication.py", "application.py", "%2e%2e/ask.py", ""):
        assert stranger.get(f"/static/{name}").status == 404


def test_the_pulse_says_its_state_and_why(founder: Browser, server: Server) -> None:
    pulse = server.admin.get("/ops/pulse").json
    text = founder.page("/pulse").text
    assert pulse["system_state"].replace("_", " ").lower() in text
    assert all(reason in text for reason in pulse["reasons"])
    assert "last week" in text and "<i>source</i>" in text


def test_what_is_not_known_is_a_dash_with_its_reason(founder: Browser) -> None:
    page = founder.page("/pulse")
    assert "not known: no activity to measure" in page.text  # no model was called


def test_nobody_yet_and_nobody_like_that_read_differently(founder: Browser) -> None:
    assert "clear the filters" in founder.page("/customers", status="gone", paying="yes").text
    early = founder.page("/customers", as_of="2001-01-01T00:00:00Z").text
    assert "No customers yet" in early and "clear the filters" not in early


def test_a_moment_of_the_browsers_field_is_in_utc(founder: Browser) -> None:
    text = founder.page("/pulse", as_of="2026-03-01T08:30").text
    assert "You look at the past." in text and "1 Mar 2026, 08:30 UTC" in text


def test_ages_are_those_of_the_moment(founder: Browser) -> None:
    # They stopped on the 2nd; the clock of the tests stands at the 12th.
    assert "Last looked 3 days ago" in founder.page("/today", as_of="2026-03-05T12:00:00Z").text


def test_a_screen_without_a_past_says_that_it_shows_the_present(founder: Browser) -> None:
    for path in ("/jobs", "/data"):
        text = founder.page(path, as_of="2026-03-05T12:00:00Z").text
        assert "This screen shows the present." in text
        assert "You look at the past." not in text


@pytest.mark.parametrize("as_of", ["yesterday", "2026-13-01", "2026-03-01T08:30:00+99:00", "\0"])
def test_a_moment_that_is_none_is_said_to_be_none(founder: Browser, as_of: str) -> None:
    answer = founder.get("/pulse", as_of=as_of)
    assert answer.status == 400 and b"The moment in the address" in answer.body


def test_a_far_moment_has_an_answer(founder: Browser) -> None:
    for as_of in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        assert founder.get("/pulse", as_of=as_of).status == 200


@pytest.mark.parametrize("tenant", ["nobody", "at-risk", "x%2Fexplain", "%3Cb%3E"])
def test_a_customer_that_is_none_is_said_to_be_none(founder: Browser, tenant: str) -> None:
    assert founder.get(f"/customers/{tenant}").status == 404


def test_a_wrong_question_is_answered_on_the_page(founder: Browser) -> None:
    answer = founder.get("/customers", sort="<b>")
    assert answer.status == 422 and b"sort is one of" in answer.body
    assert founder.get(f"/customers/{UUID}/why", metric="luck").status == 422


def test_why_shows_formula_inputs_and_events(founder: Browser, server: Server) -> None:
    path = f"/ops/customers/{to_uuid_text(SILENT)}/explain"
    found = server.admin.get(path, metric="risk_level").json
    text = founder.page(f"/customers/{to_uuid_text(SILENT)}/why", metric="risk_level").text
    assert found["formula"]["text"] in text
    assert all(one["name"] in text for one in found["inputs"])
    assert "INCIDENT_VIEWED" in text


def test_the_timeline_is_a_table_for_spreadsheets(founder: Browser, server: Server) -> None:
    lines = server.admin.get(f"/ops/customers/{to_uuid_text(SILENT)}").json["timeline"]
    answer = founder.get(f"/customers/{to_uuid_text(SILENT)}/timeline.csv")
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert rows[0] == ["date", *[line["name"] for line in lines]]
    for place, line in enumerate(lines, 1):
        assert sum(int(row[place]) for row in rows[1:]) == sum(day["num"] for day in line["days"])


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\uff1d1", "\uff0b1"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert harmless(cell) == "'" + cell
    assert harmless("login") == "login"


def test_reports_of_browsers_are_counted_whatever_they_say(stranger: Browser) -> None:
    bodies: list[bytes] = [
        b"",
        b"\xff",
        b"[" * 5_000,
        b"[]",
        b"7",
        json.dumps({"csp-report": {"blocked-uri": "x" * 999}}).encode(),
        json.dumps([{"body": {"blockedURL": "inline\n\x1b[31m"}}]).encode(),
    ]
    for body in bodies:
        assert stranger.ask("POST", "/csp-report", body).status == 204
    assert stranger.ask("POST", "/csp-report", b"x" * 40_000).status == 413


def test_the_theme_of_a_cookie_is_one_of_two(founder: Browser) -> None:
    founder.cookies["ebbtide_theme"] = "dark"
    assert b'data-theme="dark"' in founder.get("/jobs").body
    founder.cookies["ebbtide_theme"] = '"><script>'
    assert b"data-theme" not in founder.get("/jobs").body.partition(b">")[0]
    assert b'lang="en">' in founder.get("/jobs").body
