"""Progress of imports on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ebbtide.domain.event import Outcome
from ebbtide.store.state.base import StateStore

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_an_interrupted_import_goes_on_where_it_stopped(store: StateStore) -> None:
    begun = store.imports.start("k1", "a.jsonl", AT)
    assert (begun.position, begun.rows_done, begun.finished_at) == (0, 0, None)
    one = begun.after(4096, 10, {Outcome.STORED: 7, Outcome.QUARANTINED: 3})
    store.imports.save(one)
    two = one.after(2**40, 5, {Outcome.DUPLICATE: 3, Outcome.CONFLICT: 1, Outcome.REFUSED: 1})
    store.imports.save(two)
    resumed = store.imports.start("k1", "renamed.jsonl", AT + HOUR)
    assert resumed == two
    assert (resumed.file, resumed.started_at) == ("a.jsonl", AT)
    assert (resumed.position, resumed.rows_done) == (2**40, 15)
    assert (resumed.num_stored, resumed.num_duplicate, resumed.num_conflict) == (7, 3, 1)
    assert (resumed.num_quarantined, resumed.num_refused) == (3, 1)


def test_a_finished_import_is_known_as_finished(store: StateStore) -> None:
    begun = store.imports.start("k1", "a.jsonl", AT)
    store.imports.save(replace(begun, finished_at=AT + HOUR))
    assert store.imports.start("k1", "a.jsonl", AT).finished_at == AT + HOUR
    store.imports.forget("k1")
    assert store.imports.start("k1", "a.jsonl", AT).finished_at is None


def test_imports_are_listed_newest_first(store: StateStore) -> None:
    assert store.imports.list() == []
    for n in (1, 3, 2):
        store.imports.start(f"k{n}", "odd\udcffname\0.csv", AT + n * HOUR)
    assert [one.import_key for one in store.imports.list()] == ["k3", "k2", "k1"]
    assert store.imports.list()[0].file == "odd\\udcffname\\x00.csv"
