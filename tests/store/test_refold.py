"""DuckDB's upkeep folds sums again only where that saves rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.store.events import duckdb
from ebbtide.store.events.base import to_batch
from event_factory import make_event


@pytest.mark.parametrize(("num_tenants", "num_refolds"), [(1, 1), (400, 0)])
def test_sums_are_folded_again_only_where_that_saves_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_tenants: int, num_refolds: int
) -> None:
    monkeypatch.setattr(duckdb, "REFOLD_ROWS", 0)
    monkeypatch.setattr(duckdb, "LARGE_COMMIT_EVENTS", 1)
    refolds = []
    refold = duckdb.DuckDBEventStore._refold

    def counted(store: duckdb.DuckDBEventStore) -> None:
        refolds.append(store)
        refold(store)

    monkeypatch.setattr(duckdb.DuckDBEventStore, "_refold", counted)
    store = duckdb.DuckDBEventStore(tmp_path / "events.duckdb")
    store.migrate()
    events = [make_event(f"e{i}", tenant_id=f"t{i % num_tenants}") for i in range(400)]
    for at in range(0, 400, 100):
        store.append(to_batch(events[at : at + 100]))
    store.maintain()
    store.maintain()
    assert len(refolds) == num_refolds
    assert store.query("SELECT SUM(num) FROM event_rollup")[0][0] == 400
    assert store.query("SELECT COUNT(*) FROM rollup_folded")[0][0] == num_tenants
    store.close()
