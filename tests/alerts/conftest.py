"""A migrated state store in a file of its own, from a template that is made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty migrated store, closed."""
    path = tmp_path_factory.mktemp("template") / "state.sqlite"
    store = SQLiteStateStore(path)
    store.migrate()
    store.close()
    return path


@pytest.fixture
def state(template: Path, tmp_path: Path) -> Iterator[StateStore]:
    """A store of this test alone."""
    path = tmp_path / "state.sqlite"
    shutil.copy(template, path)
    store = SQLiteStateStore(path)
    yield store
    store.close()
