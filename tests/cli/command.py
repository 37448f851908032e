"""The command ``ebbtide`` as a function."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from ebbtide.app.main import connect, demo_command, serve_command
from ebbtide.cli.main import build_cli


@dataclass(frozen=True)
class Command:
    """``ebbtide``, as a function."""

    folder: Path
    mode: str

    def run(self, *words: str, typed: str | None = None) -> Result:
        """Run it to its end."""
        app = build_cli(connect, {"serve": serve_command, "demo": demo_command})
        return CliRunner().invoke(app, list(words), input=typed)

    def __call__(self, *words: str, typed: str | None = None, code: int = 0) -> str:
        """Run it; what it printed, after checking how it ended."""
        result = self.run(*words, typed=typed)
        assert result.exit_code == code, (result.output, result.exception)
        return str(result.stdout)

    def json(self, *words: str) -> Any:
        """Run it with ``--json``; what it printed, as data."""
        return json.loads(self(*words, "--json"))
