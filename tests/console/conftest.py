"""Servers with a company in them for the tests of a file, and somebody who signed in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from console_browser import Browser
from console_company import settle, spoil

from api.api_server import NOON, Client, Clock, Server, open_server
from ebbtide.app.demo import fill
from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings

if TYPE_CHECKING:
    import playwright.sync_api


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A customer that went silent, and one whose every text is hostile."""
    for server in open_server(tmp_path_factory.mktemp("data")):
        settle(server)
        yield server


@pytest.fixture
def stranger(server: Server) -> Browser:
    """Somebody who is not signed in."""
    return Browser(server)


@pytest.fixture
def founder(server: Server) -> Iterator[Browser]:
    """Somebody who is."""
    browser = Browser(server)
    assert browser.sign_in().status == 303
    yield browser
    server.clock.now = NOON


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The simulated company, among whose customers is one whose every text is hostile."""
    clock = Clock()
    with House(Settings(data_dir=tmp_path_factory.mktemp("sample") / "data"), clock) as house:
        fill(house, seed=7, num_tenants=14, num_days=16)
        assert house.first_key is not None
        with serving_aside(house) as running:
            port = int(running.url.rpartition(":")[2])
            server = Server(house, port, clock, Client(port, house.first_key))
            settle(server)
            spoil(server)
            yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.sync_api.Browser]:
    """One Chromium for all tests of a file; while it lives, no other event loop can run here."""
    driving = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Debian's chromium")
    with driving.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
