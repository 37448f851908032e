"""A command that is printed for a person works as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide.app.hint import typed
from ebbtide.app.house import House
from ebbtide.app.settings import Settings


def test_it_works_from_any_folder_and_with_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("my $HOME; 'data'")
    House(Settings(data_dir=folder), make_first_key=False).close()
    monkeypatch.setattr(sys, "argv", [str(Path(sys.prefix) / "pytest")])  # as `python -m ebbtide`
    hint = typed(folder, "keys", "create", "NAME", "--scope", "admin")
    done = subprocess.run(["sh", "-c", hint], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ebb_")


def test_the_program_is_named_as_the_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "ebbtide"
    program.parent.mkdir()
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(program.parent))
    assert typed(tmp_path, "events") == f"EBBTIDE_DATA_DIR={tmp_path} ebbtide events"
    monkeypatch.setenv("PATH", "/nowhere")
    assert typed(tmp_path, "events") == f"EBBTIDE_DATA_DIR={tmp_path} {program} events"
