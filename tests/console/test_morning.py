"""A founder's morning in a real browser on the simulated company, with a hostile customer in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import pytest
from console_company import LIVELY, SILENT

from api.api_server import NOON, Server, event
from ebbtide.console import policy
from ebbtide.console.screens import SCREENS
from ebbtide.domain.ids import to_uuid_text

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
Chromium: TypeAlias = "playwright.Browser"
Tab: TypeAlias = "playwright.Page"

AXE = find_spec("axe_playwright_python")
#: What of a page could have come to life.
LIFE = """({
    isUntouched: ({}).x === undefined && ({}).prototype === undefined,
    pictures: [...document.images].map((one) => new URL(one.src).pathname),
    links: [...document.links].map((one) => one.protocol),
    alive: [...document.querySelectorAll(
        "script:not([src]), iframe, object, embed, base, style, [style], [onerror], [onload]"
    )].map((one) => one.outerHTML.slice(0, 200)),
    text: document.body.innerText,
})"""
TOO_WIDE = """document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll("body *")].filter((one) =>
        one.getBoundingClientRect().right > innerWidth && !one.closest(".scroll, .how, nav")
    ).map((one) => one.outerHTML.slice(0, 200))"""


#: For axe-core: what WCAG 2.1 asks at its first two levels. Colours cost three times as much as all
#: the rest, and are looked at by a slow test, and by test_colours.
QUICK = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "rules": {"color-contrast": {"enabled": False}},
}


class Log:
    """Keeps what would be logged."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def warning(self, *said: Any, **more: Any) -> None:
        """Keep a warning."""
        self.said.append((said, more))


@pytest.fixture(scope="module")
def cookies(chromium: Chromium, sample: Server) -> Any:
    """What a browser keeps of somebody who signed in."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{sample.port}/today")
    sign_in(page, sample)
    page.wait_for_url("**/today")
    kept = context.storage_state()
    context.close()
    return kept


def sign_in(page: Tab, server: Server) -> None:
    """Give the key."""
    page.fill("#key", server.admin.key or "")
    page.click("text=Open the console")


@pytest.fixture
def tab(
    chromium: Chromium, sample: Server, cookies: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tab]:
    """A page of somebody who is signed in; nothing may go wrong on it, or leave the machine."""
    reports = Log()
    monkeypatch.setattr(policy, "log", reports)
    context = chromium.new_context(
        viewport={"width": 1280, "height": 800},
        color_scheme="light",
        reduced_motion="reduce",
        storage_state=cookies,
        base_url=f"http://127.0.0.1:{sample.port}",
    )
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on(
        "console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else 0
    )
    context.on("request", lambda request: faults.extend(strays(request.url, sample.port)))
    page.faults = faults
    yield page
    context.close()
    assert faults == []
    assert reports.said == []


def strays(url: str, port: int) -> list[str]:
    """The address, if it leads elsewhere or reports a breach of the policy."""
    parts = urlsplit(url)
    is_own = parts.scheme == "data" or parts.netloc == f"127.0.0.1:{port}"
    return [] if is_own and parts.path != "/csp-report" else [url]


def go(page: Tab, path: str) -> None:
    """Open an address of the same server."""
    answer = page.goto(path)
    assert answer is not None and answer.status == 200, (path, answer and answer.status)


def test_the_morning(tab: Tab, sample: Server) -> None:
    go(tab, "/")
    tab.locator("[data-help]").wait_for()  # it shows once the script runs
    assert tab.locator("h1").inner_text() == "Is my business healthy right now?"
    assert tab.locator("#state-word").is_visible()
    assert tab.locator("text=Simulated.").is_visible()
    tab.keyboard.press("t")
    tab.wait_for_url("**/today")
    top = tab.locator(".call").first
    top.locator("[data-why]").first.click()
    drawer = tab.locator("#why-dialog")
    drawer.locator("text=What went in").wait_for()
    assert drawer.locator("text=Events that count").is_visible()
    tab.keyboard.press("Escape")
    assert not drawer.is_visible()
    name = top.locator("h2 a").inner_text()
    top.locator("h2 a").click()
    tab.wait_for_url("**/customers/*")
    assert tab.locator("h1").inner_text() == name
    step = tab.locator(".step-card").first
    step.locator("text=I take it").click()
    tab.wait_for_url("**#step-*")
    assert "taken on" in step.inner_text()
    step.get_by_role("button", name="Done").click()
    step.locator("text=● done").wait_for()
    (row,) = sample.admin.get("/ops/interventions", state="done").json["items"]
    assert to_uuid_text(row["tenant_id"]) == tab.url.partition("#")[0].rpartition("/")[2]


def test_time_theme_and_keys(tab: Tab) -> None:
    go(tab, "/playbooks")
    tab.locator("[data-help]").wait_for()
    tab.keyboard.press("?")
    assert tab.locator("#help").is_visible()
    tab.keyboard.press("Escape")
    # The slider: a week back, and nothing can be changed there.
    slider = tab.locator("[data-slider]")
    slider.evaluate("one => { one.value = -7; }")
    slider.dispatch_event("input")
    slider.dispatch_event("change")
    tab.wait_for_url("**as_of=2026-03-05T12**")
    assert tab.locator("text=You look at the past.").is_visible()
    tab.keyboard.press("[")
    tab.wait_for_url("**as_of=2026-03-04T12**")
    tab.keyboard.press("t")
    tab.wait_for_url("**/today?as_of=**")
    assert tab.locator("text=I take it").count() == 0
    tab.keyboard.press("n")
    tab.wait_for_url("**/today")
    light = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    tab.click("[data-theme-toggle]")
    assert tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
    tab.keyboard.press("j")
    tab.wait_for_url("**/jobs")
    assert tab.locator("html").get_attribute("data-theme") == "dark"


def test_a_record_in_quarantine_is_let_in_and_others_are_given_up(tab: Tab, sample: Server) -> None:
    # One came with a clock that was ahead, and its hour has come; the other one never makes sense.
    late = event(event_type="LOGIN", tenant_id="early-bird", timestamp="2026-03-12T18:00:00Z")
    wrong = event(event_type="LOGIN", tenant_id="early-bird", severity="loud")
    assert sample.admin.send(late, wrong).results == ["quarantined"] * 2
    go(tab, "/data?reason=future_timestamp")
    sample.clock.advance(hours=6)
    try:
        tab.locator(".step-card").get_by_role("button", name="Try again").click()
        tab.locator("text=1 tried, 1 stored, 0 still wait").wait_for()
    finally:
        sample.clock.now = NOON
    go(tab, "/data?reason=invalid_severity")
    row = tab.locator(".step-card", has_text="loud")
    row.locator("summary").click()
    row.get_by_role("button", name="Give up").click()
    tab.locator("text=1 given up").wait_for()
    assert sample.admin.get("/v1/quarantine", tenant_id="early-bird").json["items"] == []


def test_a_look_for_something_new_keeps_the_focus(tab: Tab) -> None:
    go(tab, "/today")
    tab.locator(".call").nth(1).locator("h2 a").focus()
    held = tab.evaluate("(window.held = document.activeElement).textContent")
    tab.evaluate("document.querySelector('#today-count').textContent = 'old'")
    tab.evaluate("Date.now = ((now) => () => now() + 60_000)(Date.now)")
    tab.locator("[data-refreshed]", has_text="Looked for something new").wait_for()
    assert "at risk" in tab.locator("#today-count").inner_text()
    assert tab.evaluate("window.held === document.activeElement && held.isConnected"), held


def every_path(server: Server) -> list[str]:
    """One address of each kind of page, with the texts of the hostile customer on it."""
    hostile, silent = to_uuid_text(LIVELY), to_uuid_text(SILENT)
    incidents = server.admin.get("/ops/incidents", tenant_id=LIVELY).json["items"]
    return [
        *[screen.path for screen in SCREENS],
        f"/customers/{hostile}",
        f"/customers/{hostile}/why?metric=last_friction_event",
        f"/customers/{silent}/why?metric=risk_level",
        *[f"/incidents/{one['event_uuid']}?tenant={quote(LIVELY)}" for one in incidents[:2]],
        "/customers?__proto__=x&constructor=y&sort=delta",
        "/brief",
        "/why?number=pulse.comparisons.current&of=%5B%22incidents_created%22%5D",
        "/pulse?as_of=2026-03-05T12:00:00Z",
    ]


def test_on_every_screen_hostile_text_is_inert_and_nobody_is_shut_out(
    tab: Tab, sample: Server
) -> None:
    found, seen = [], set()
    for path in every_path(sample):
        go(tab, path)
        open_all(tab)
        check_inert(tab, path)
        kind = re.sub("[0-9a-f-]{36}|[?].*", "", path)
        # Other names on the same page change nothing for whoever uses it.
        if AXE is not None and kind not in seen:
            seen.add(kind)
            found += look_at(tab, path, QUICK)
        tab.set_viewport_size({"width": 375, "height": 800})
        assert tab.evaluate(TOO_WIDE) == [], path
        tab.set_viewport_size({"width": 1280, "height": 800})
    assert found == [], "\n".join(found)
    # The drawer takes a page of another address in: what is in it is still text.
    go(tab, f"/customers/{to_uuid_text(LIVELY)}")
    tab.locator("[data-why]").first.click()
    tab.locator("#why-dialog >> text=What went in").wait_for()
    check_inert(tab, "drawer")
    if AXE is None:
        pytest.skip("all but axe-core: needs the package axe-playwright-python")


def open_all(page: Tab) -> None:
    """Open everything that can be opened."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


def check_inert(page: Tab, path: str) -> None:
    """No element, picture, link or key of foreign text came to life."""
    said = page.evaluate(LIFE)
    assert said["isUntouched"], path
    assert set(said["pictures"]) <= {"/static/mark.svg"}, path
    assert set(said["links"]) <= {"http:", "mailto:"}, path
    assert said["alive"] == [], path
    assert not {"\u202e", "\u2066", "\u200b", "\x1b", "\x07"} & set(said["text"]), path


def test_after_signing_in_one_is_still_here(tab: Tab, sample: Server) -> None:
    for wanted in ("//198.51.100.7/", "/\\198.51.100.7/", "javascript:alert(1)"):
        tab.context.clear_cookies()
        tab.goto(f"/sign-in?next={quote(wanted, safe='')}")
        sign_in(tab, sample)
        tab.wait_for_url(f"http://127.0.0.1:{sample.port}/pulse")


def test_the_policy_of_the_page_is_at_work(tab: Tab) -> None:
    go(tab, "/jobs")
    # Without this the others could not fail: what a page must not do is noticed here.
    tab.evaluate(
        "document.body.append(Object.assign(document.createElement('style'), {textContent: 'b{}'}))"
    )
    tab.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://198.51.100.7/x'}))")
    tab.wait_for_function("document.images.length > 1")
    assert sum("Content Security Policy" in one for one in tab.faults) >= 2, tab.faults
    assert "http://198.51.100.7/x" in tab.faults
    tab.faults.clear()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_theme_shuts_anybody_out(tab: Tab, sample: Server, theme: str) -> None:
    tab.emulate_media(color_scheme=theme)
    found = []
    for path in [*every_path(sample), "/sign-in"]:
        go(tab, path)
        open_all(tab)
        found += look_at(tab, path, {})
    assert found == [], "\n".join(found)


def look_at(page: Tab, path: str, options: dict[str, Any]) -> list[str]:
    """What axe-core finds on the open page that is serious or worse."""
    if AXE is None or AXE.origin is None:
        pytest.skip("needs the package axe-playwright-python")
    page.evaluate((Path(AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    said = page.evaluate(
        "(options) => axe.run(document, {...options, resultTypes: ['violations']})", options
    )
    return [
        f"{path}: {one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in said["violations"]
        if one["impact"] in ("serious", "critical")
    ]
