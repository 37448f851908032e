"""Commands written out for a person, so that they work as they are typed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def typed(data_dir: Path, *words: str) -> str:
    """A command on a data folder that works in any terminal of this user.

    Args:
        data_dir: the folder it is about, which need not be the one a new terminal would take.
        words: what follows ``ebbtide``.
    """
    where = shlex.quote(str(data_dir.absolute()))
    return f"EBBTIDE_DATA_DIR={where} {_program()} {' '.join(words)}"


def _program() -> str:
    """How this very program is started: not every shell has it on its path."""
    started = Path(sys.argv[0])
    if started.stem != "ebbtide":
        return f"{shlex.quote(sys.executable)} -m ebbtide"
    found = shutil.which("ebbtide")
    if found is not None and started.exists() and started.samefile(found):
        return "ebbtide"
    return shlex.quote(str(started.absolute()))
