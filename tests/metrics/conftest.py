"""The event store engines, one database of each for all cases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbtide.store.events.base import EventStore
from event_engines import chosen_engines, home_of


@pytest.fixture(scope="session", params=chosen_engines())
def engine(request: pytest.FixtureRequest) -> Any:
    """The engine word of this run."""
    return request.param


@pytest.fixture(scope="session")
def store(
    request: pytest.FixtureRequest, engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EventStore]:
    """One store for all cases of an engine: each brings tenants of its own."""

    def make_folder() -> Path:
        return tmp_path_factory.mktemp(engine)

    for home in home_of(request, engine, make_folder, migrated=True):
        opened = home.open()
        opened.migrate()
        yield opened
