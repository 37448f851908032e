"""One server with a small company in it for the tests of a file, and somebody who signed in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from console_browser import Browser
from console_company import settle

from api.api_server import NOON, Server, open_server


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
