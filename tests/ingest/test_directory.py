"""The directory hears of what another process has erased."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ebbtide.domain.tenant import Sighting
from ebbtide.ingest import directory as module
from ebbtide.ingest.directory import Directory
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateStore]:
    store = SQLiteStateStore(tmp_path / "state.sqlite")
    store.migrate()
    # As a database that several servers share, asked without a rest.
    monkeypatch.setattr(StateStore, "engine", property(lambda _: "postgresql"))
    monkeypatch.setattr(module, "HEAR_EVERY_S", 0.0)
    yield store
    store.close()


def test_what_one_server_erased_stays_out_of_the_other(state: StateStore) -> None:
    one, other = Directory(state), Directory(state)
    for directory in (one, other):
        directory.apply([Sighting.of("acme", NOW), Sighting.of("bravo", NOW)])
    one.erase("acme", NOW)
    assert not other.were_erased(["acme"])
    other.hear_of_erasures()
    assert other.were_erased(["acme"]) and not other.were_erased(["bravo"])
    assert not other.are_canonical(["acme"])
    assert other.are_canonical(["bravo"])


def test_a_store_of_one_process_is_not_asked(
    state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StateStore, "engine", property(lambda _: "sqlite"))
    one, other = Directory(state), Directory(state)
    one.erase("acme", NOW)
    other.hear_of_erasures()
    assert not other.were_erased(["acme"])
