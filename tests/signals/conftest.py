"""The rules that come with Ebbtide, as every test here uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from company import Company

from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.rules import Rules, read_rules


@pytest.fixture(scope="session")
def rules() -> Rules:
    """Weights, thresholds and playbooks of the packaged catalog."""
    return read_rules(load_catalog())


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """A small company on DuckDB and SQLite."""
    one = Company(tmp_path)
    yield one
    one.close()
