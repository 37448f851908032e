"""Who may look: a key for a session, cookies that give nothing away, forms that nobody forges."""

from __future__ import annotations

import pytest
from console_browser import Browser, Page

from api.api_server import Server
from ebbtide.console.address import HOME, own_path


def test_a_stranger_is_asked_for_a_key_and_comes_back_to_where_he_was(stranger: Browser) -> None:
    answer = stranger.get("/today", as_of="2026-03-01T00:00:00Z")
    assert answer.status == 303
    door = answer.headers["location"]
    assert door.startswith("/sign-in?next=%2Ftoday")
    fields = Page(stranger.get(door).body.decode()).form("/sign-in")
    inside = stranger.post("/sign-in", fields | {"key": stranger.server.admin.key or ""})
    assert inside.headers["location"] == "/today?as_of=2026-03-01T00%3A00%3A00Z"
    assert stranger.get(inside.headers["location"]).status == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: Browser) -> None:
    stranger.sign_in()
    (said,) = stranger.set_cookies
    assert said.startswith("ebbtide_session=")
    assert {part.strip().lower() for part in said.split(";")[1:]} == {
        "httponly",
        "path=/",
        "samesite=lax",
        "max-age=43200",
    }
    assert stranger.server.admin.key not in said


def test_under_tls_the_cookie_is_of_this_host_alone(stranger: Browser) -> None:
    answer = stranger.sign_in(Origin=f"https://127.0.0.1:{stranger.server.port}")
    assert answer.status == 303
    (said,) = stranger.set_cookies
    assert said.startswith("__Host-ebbtide_session=")
    assert "Secure" in said and "Path=/" in said and "Domain" not in said
    assert stranger.get("/pulse").status == 200


def test_a_session_of_tls_does_not_open_in_the_plain_cookie(stranger: Browser) -> None:
    stranger.sign_in(Origin=f"https://127.0.0.1:{stranger.server.port}")
    stranger.cookies = {"ebbtide_session": stranger.cookies["__Host-ebbtide_session"]}
    assert stranger.get("/pulse").status == 303


def test_a_wrong_key_opens_nothing_and_is_not_repeated(stranger: Browser) -> None:
    answer = stranger.sign_in("ebb_no-such-key-<b>")
    assert answer.status == 401
    assert b"opens nothing" in answer.body and b"no-such-key" not in answer.body
    assert not stranger.cookies


@pytest.mark.parametrize("scopes", [("read",), ("ingest",), ("interventions:write", "read")])
def test_a_key_that_is_no_admins_is_told_so(stranger: Browser, scopes: tuple[str, ...]) -> None:
    key = stranger.server.make_key(*scopes)["key"]
    answer = stranger.sign_in(key)
    assert answer.status == 403 and b"scope admin" in answer.body
    assert not stranger.cookies


def test_guessing_is_slowed_down_as_at_the_api(server: Server) -> None:
    guesser = Browser(server, source="127.0.0.77")
    statuses = [guesser.sign_in(f"wrong-{number}").status for number in range(102)]
    assert statuses[:100] == [401] * 100
    assert statuses[-1] == 429
    assert guesser.sign_in().status == 303  # a valid key is never slowed down


def test_a_session_ends_after_twelve_hours_and_not_before(founder: Browser) -> None:
    clock = founder.server.clock
    clock.advance(hours=11, minutes=59)
    assert founder.get("/jobs").status == 200
    clock.advance(minutes=1)
    assert founder.get("/jobs").status == 303


def test_a_session_ends_with_its_key(founder: Browser, server: Server) -> None:
    made = server.make_key("admin")
    browser = Browser(server)
    browser.sign_in(made["key"])
    assert browser.get("/jobs").status == 200
    assert server.admin.delete(f"/v1/keys/{made['key_id']}").status in (200, 204)
    assert browser.get("/jobs").status == 303
    assert founder.get("/jobs").status == 200


def test_signing_out_ends_the_session_on_the_server_too(founder: Browser) -> None:
    kept = dict(founder.cookies)
    fields = founder.page("/jobs").form("/sign-out")
    assert founder.post("/sign-out", fields).headers["location"] == "/sign-in"
    assert not founder.cookies
    founder.cookies = kept
    assert founder.get("/jobs").status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_can_send_no_form(founder: Browser, headers: dict[str, str]) -> None:
    fields = founder.page("/jobs").form("/sign-out")
    assert founder.post("/sign-out", fields, **headers).status == 403
    assert founder.get("/jobs").status == 200


@pytest.mark.parametrize("token", ["", "x", "ü"])
def test_a_form_without_the_sessions_token_changes_nothing(founder: Browser, token: str) -> None:
    assert founder.post("/sign-out", {"form_token": token}).status == 403
    assert founder.post("/sign-out", {}).status == 403
    assert founder.get("/jobs").status == 200


def test_a_form_of_another_session_changes_nothing(founder: Browser, server: Server) -> None:
    other = Browser(server)
    other.sign_in()
    fields = other.page("/jobs").form("/sign-out")
    assert founder.post("/sign-out", fields).status == 403


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a" * 40_000, b"&" * 100, b"%ff=%ff"])
def test_no_body_is_too_odd(founder: Browser, body: bytes) -> None:
    form = "application/x-www-form-urlencoded"
    assert founder.ask("POST", "/sign-out", body, Content_Type=form).status in (400, 403, 413)
    assert founder.ask("POST", "/sign-in", body, Content_Type="text/plain").status in (400, 413)


@pytest.mark.parametrize(
    "text",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/%0d%0aSet-Cookie: a=b\r\nX: y",
        "evil",
        "",
        "http://[",
        None,
    ],
)
def test_the_way_back_stays_in_the_console(text: str | None) -> None:
    assert own_path(text) == HOME


def test_the_way_back_is_the_page_itself() -> None:
    assert own_path("/customers/x?as_of=2026-03-01T00:00:00Z") == (
        "/customers/x?as_of=2026-03-01T00:00:00Z"
    )
