"""Packages that only some tests need."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


def needed(name: str) -> ModuleType:
    """A package that only tests of one engine need: without it they skip, but never in CI."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        message = f"the package {error.name} is not installed"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
