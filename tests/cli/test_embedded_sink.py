"""``ebbtide import`` into stores that it opened itself: their order, and trouble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Signal
from typing import Any

import pyarrow as pa
import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.cli.door import Door
from ebbtide.cli.embedded_sink import EmbeddedSink
from ebbtide.cli.server_sink import TRIES
from ebbtide.domain.errors import StoreUnavailable
from ebbtide.domain.event import Outcome
from ebbtide.ingest.accounting import Accounting
from ebbtide.ingest.bulk import BulkLoader, BulkSource, CheckedTable
from ebbtide.ingest.directory import Directory
from ebbtide.ingest.file_import import TableOrigin
from ebbtide.ingest.validate import Validator
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.sqlite import SQLiteStateStore

ORIGIN = TableOrigin("f", "k" * 64, "s")


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[BulkLoader]:
    events = DuckDBEventStore(tmp_path / "events.duckdb")
    events.migrate()
    state = SQLiteStateStore(tmp_path / "state.db")
    state.migrate()
    yield BulkLoader(Validator(load_catalog()), events, state, Directory(state), Accounting())
    events.close()
    state.close()


@pytest.fixture
def door() -> Iterator[Door]:
    """Nothing listens there: chunks have no business on it."""
    made = Door("http://127.0.0.1:9", "key", is_running=False)
    yield made
    made.close()


def one_event(severity: int) -> pa.Table:
    return pa.table(
        {
            "line": pa.array([1], pa.int64()),
            "event_id": ["same"],
            "tenant_id": ["acme"],
            "timestamp": ["2026-03-01T00:00:00Z"],
            "event_type": ["LOGIN"],
            "severity": pa.array([severity], pa.int64()),
        }
    )


def test_chunks_are_stored_in_their_order(
    loader: BulkLoader, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first table is checked late; those after it hold the same event with other content."""
    go = Signal()
    check = loader.check

    def slow(table: pa.Table, source: BulkSource) -> CheckedTable:
        if table.column("severity")[0].as_py() == 1:
            assert go.wait(10)
        return check(table, source)

    monkeypatch.setattr(loader, "check", slow)
    sink = EmbeddedSink(door, loader, lambda _: None)
    first, second = sink.begin(one_event(1), ORIGIN), sink.begin(one_event(2), ORIGIN)
    assert not first.done()
    assert not second.done()
    go.set()
    third = sink.begin(one_event(3), ORIGIN)
    sink.close()
    counts = [future.result().counts for future in (first, second, third)]
    assert [one[Outcome.STORED] for one in counts] == [1, 0, 0]
    assert [one[Outcome.CONFLICT] for one in counts] == [0, 1, 1]


@pytest.mark.parametrize("dies_after", [False, True])
def test_a_chunk_that_met_trouble_is_tried_again_and_counted_once(
    loader: BulkLoader, door: Door, monkeypatch: pytest.MonkeyPatch, dies_after: bool
) -> None:
    store = loader.store
    left = [StoreUnavailable("no space"), StoreUnavailable("no space")]

    def troubled(checked: CheckedTable) -> Any:
        if not left:
            return store(checked)
        if dies_after:
            store(checked)
        raise left.pop()

    monkeypatch.setattr(loader, "store", troubled)
    pauses: list[float] = []
    sink = EmbeddedSink(door, loader, pauses.append)
    outcome = sink.begin(one_event(1), ORIGIN).result()
    sink.close()
    counted = Outcome.DUPLICATE if dies_after else Outcome.STORED
    assert +outcome.counts == Counter({counted: 1})
    assert len(pauses) == 2


def test_trouble_that_stays_is_said(
    loader: BulkLoader, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def never(checked: CheckedTable) -> Any:
        tries.append(checked)
        raise StoreUnavailable("no space")

    monkeypatch.setattr(loader, "store", never)
    sink = EmbeddedSink(door, loader, lambda _: None)
    with pytest.raises(StoreUnavailable, match="no space"):
        sink.begin(one_event(1), ORIGIN).result()
    sink.close()
    assert len(tries) == TRIES


def test_a_table_with_broken_text_is_refused(loader: BulkLoader, door: Door) -> None:
    """A reader of files must not hand it over; were it to, no later step might read it."""
    table = one_event(1)
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    at = table.column_names.index("tenant_id")
    sink = EmbeddedSink(door, loader, lambda _: None)
    with pytest.raises(pa.ArrowInvalid):
        sink.begin(table.set_column(at, "tenant_id", broken), ORIGIN).result()
    sink.close()
