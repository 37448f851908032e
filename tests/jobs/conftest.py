"""A fresh state store in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    """A migrated, empty store."""
    opened = SQLiteStateStore(tmp_path / "state.db")
    opened.migrate()
    yield opened
    opened.close()
