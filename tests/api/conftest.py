"""Servers for the tests of the HTTP door: one for a file, or a fresh one for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import NOON, Server, open_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a file; whatever they did, every record is accounted for."""
    for server in open_server(tmp_path_factory.mktemp("data")):
        yield server
        server.check_identity()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A server of one test's own."""
    yield from open_server(tmp_path / "data")


@pytest.fixture(autouse=True)
def noon(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of a shared server starts at the same moment."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").clock.now = NOON
