"""What the trace of a fault shows on a terminal."""

from __future__ import annotations

import io
import sys

import pytest
import structlog

from ebbtide.app.logs import configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_trace_on_a_terminal_shows_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    before = structlog.get_config()
    monkeypatch.setattr(sys, "stderr", screen)
    try:
        configure_logs()
        secret = "the text of a key"
        try:
            raise RuntimeError("a fault") from None
        except RuntimeError:
            structlog.get_logger().exception("http.fault", told=len(secret))
    finally:
        structlog.configure(**before)
    assert "RuntimeError: a fault" in screen.getvalue()
    assert "the text of a key" not in screen.getvalue().replace('secret = "the text of a key"', "")
