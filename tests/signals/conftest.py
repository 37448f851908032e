"""The rules that come with Ebbtide, as every test here uses them."""

from __future__ import annotations

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.rules import Rules, read_rules


@pytest.fixture(scope="session")
def rules() -> Rules:
    """Weights, thresholds and playbooks of the packaged catalog."""
    return read_rules(load_catalog())
