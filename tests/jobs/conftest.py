"""A fresh state store in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from ready_files import lay_state_file


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    """A migrated, empty store."""
    path = tmp_path / "state.db"
    lay_state_file(path)
    opened = SQLiteStateStore(path)
    yield opened
    opened.close()
