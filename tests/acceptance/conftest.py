"""A real server process on a folder of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.server_process import ServerProcess


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """Not yet started; stopped when the test ends, however it ends."""
    server = ServerProcess(tmp_path / "data", log=tmp_path / "log")
    yield server
    server.stop()
