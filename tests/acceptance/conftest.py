"""A real server process on a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.server_process import ServerProcess


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that runs, for tests that neither stop it nor mind one another's events."""
    folder = tmp_path_factory.mktemp("standing")
    with ServerProcess(folder / "data", log=folder / "log") as server:
        yield server


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """Not yet started; stopped when the test ends, however it ends."""
    server = ServerProcess(tmp_path / "data", log=tmp_path / "log")
    yield server
    server.stop()
