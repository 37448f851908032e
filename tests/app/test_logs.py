"""Where nobody watches, every line of the log is one JSON object, whoever wrote it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import Any

import pytest
import structlog

from ebbtide.app.logs import configure_logs

SCRIPT = """
import logging, warnings
import structlog
from ebbtide.app.logs import configure_logs
configure_logs()
logging.getLogger("uvicorn.error").warning("Invalid HTTP request from %s", "x\\ny")
logging.getLogger("uvicorn.error").info("not of interest")
try:
    1 / 0
except ZeroDivisionError as error:
    logging.getLogger("uvicorn.error").exception("a fault of theirs")
    structlog.get_logger("ebbtide").error("api.fault", exc_info=error)
warnings.warn("something is old")
structlog.get_logger("ebbtide").info("hello", num=3)
"""


def test_lines_of_libraries_look_like_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["event"].split(":")[0]) for line in lines] == [
        ("warning", "Invalid HTTP request from x\ny"),
        ("error", "a fault of theirs"),
        ("error", "api.fault"),
        ("warning", "<string>"),
        ("info", "hello"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[0]["logger"] == "uvicorn.error"
    for line in lines[1:3]:
        assert "ZeroDivisionError" in line["exception"]
    assert "something is old" in lines[3]["event"]
    assert lines[4]["num"] == 3


@pytest.mark.parametrize(("no_color", "has_colour"), [("", True), ("1", False)])
def test_a_terminal_that_wants_no_colour_gets_none(
    no_color: str, has_colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys, "stderr", screen)
    try:
        configure_logs()
        structlog.get_logger("ebbtide").info("hello", num=3)
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
    assert "hello" in screen.getvalue()
    assert ("\x1b[" in screen.getvalue()) is has_colour
