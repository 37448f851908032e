"""A founder's morning in a real browser: see the state, read why, accept a call, have it done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from api.api_server import Server
from ebbtide.console.screens import SCREENS

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """One Chromium for the file."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser, server: Server) -> Iterator[playwright.Page]:
    """A page of somebody who is signed in; nothing may go wrong on it, or leave the machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on(
        "console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else 0
    )
    page.on("request", lambda request: faults.extend(strays(request.url, server.port)))
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.fill("#key", server.admin.key or "")
    page.click("text=Open the console")
    page.locator("[data-help]").wait_for()  # it shows once the script runs
    yield page
    context.close()
    assert faults == []


def strays(url: str, port: int) -> list[str]:
    """The address, if it leads elsewhere or reports a breach of the policy."""
    parts = urlsplit(url)
    is_own = parts.scheme == "data" or parts.netloc == f"127.0.0.1:{port}"
    return [] if is_own and parts.path != "/csp-report" else [url]


def test_the_morning(page: playwright.Page, server: Server) -> None:
    assert page.locator("h1").inner_text() == "Is my business healthy right now?"
    assert page.locator("#state-word").is_visible()
    page.keyboard.press("t")
    page.wait_for_url("**/today")
    top = page.locator(".call").first
    top.locator("[data-why]").first.click()
    drawer = page.locator("#why-dialog")
    drawer.locator("text=What went in").wait_for()
    page.keyboard.press("Escape")
    assert not drawer.is_visible()
    top.locator("h2 a").click()
    page.wait_for_url("**/customers/*")
    step = page.locator(".step-card").first
    step.locator("text=I take it").click()
    page.wait_for_url("**#step-*")
    assert "taken on" in step.inner_text()
    step.get_by_role("button", name="Done").click()
    step.locator("text=● done").wait_for()
    rows = server.admin.get("/ops/interventions", state="done").json["items"]
    assert len(rows) == 1


@pytest.mark.slow
def test_time_theme_keys_and_a_phone(page: playwright.Page) -> None:
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("[")
    page.wait_for_url("**as_of=**")
    assert page.locator("text=You look at the past.").is_visible()
    page.keyboard.press("2")
    page.wait_for_url("**/customers?as_of=**")
    page.keyboard.press("n")
    page.wait_for_url("**/customers")
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.click("[data-theme-toggle]")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
    page.set_viewport_size({"width": 375, "height": 800})
    start = page.url.removesuffix("/customers")
    for path in (screen.path for screen in SCREENS):
        page.goto(start + path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.slow
def test_a_look_for_something_new_keeps_the_focus(page: playwright.Page, server: Server) -> None:
    page.goto(page.url.replace("/pulse", "/today"))
    page.locator(".call").nth(1).locator("h2 a").focus()
    held = page.evaluate("(window.held = document.activeElement).textContent")
    page.evaluate("document.querySelector('#today-count').textContent = 'old'")
    page.evaluate("Date.now = ((now) => () => now() + 60_000)(Date.now)")
    page.locator("[data-refreshed]", has_text="Looked for something new").wait_for()
    assert "at risk" in page.locator("#today-count").inner_text()
    assert page.evaluate("window.held === document.activeElement && held.isConnected"), held
