"""The command with a server beside it, and the command alone with its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from command import Command

from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings


@pytest.fixture(params=["beside a server", "alone"])
def ebbtide(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """The command on a folder of its own, once with a running server and once without.

    "nowhere", where a test asks for it: the folder is not there yet.
    """
    folder = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "300")
    command = Command(folder, request.param)
    try:
        if request.param == "nowhere":
            yield command
            return
        with House(Settings(data_dir=folder)) as house:
            if request.param != "alone":
                with serving_aside(house):
                    yield command
        if request.param == "alone":
            yield command
    finally:
        structlog.reset_defaults()  # a command that opens the folder itself logs less
