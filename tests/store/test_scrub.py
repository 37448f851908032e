"""Erased bytes leave DuckDB's file, and whatever happens on the way nothing else does."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ebbtide.domain.errors import StorageFull
from ebbtide.domain.event import Event, Outcome
from ebbtide.store.events import scrub
from ebbtide.store.events.base import to_batch
from ebbtide.store.events.duckdb import DuckDBEventStore
from event_factory import make_event

CANARY = "canary-4f1c9d7e2b"
EVENTS = "SELECT event_id, tenant_id, timestamp, metadata FROM events ORDER BY event_id"
SUMS = (
    "SELECT tenant_id, hour_end, event_type, SUM(num), MAX(last_at) FROM event_rollup"
    " GROUP BY tenant_id, hour_end, event_type ORDER BY tenant_id, hour_end, event_type"
)


def opened(file: Path) -> DuckDBEventStore:
    store = DuckDBEventStore(file)
    store.migrate()
    return store


def mixed(first: int, num: int) -> list[Event]:
    """Events of a tenant to be erased among those of others; its name stands in every field."""
    events = []
    for i in range(first, first + num):
        ours = i % 3 == 0
        name = f"{CANARY}-{i}" if ours else f"other-{i}"
        events.append(
            make_event(
                f"{name}-id",
                tenant_id=CANARY if ours else f"tenant-{i % 7}",
                user_id=f"{name}-user",
                session_id=f"{name}-session",
                entity_id=f"{name}-entity",
                metadata_json=f'{{"note":"{name}-note"}}',
            )
        )
    return events


def scrubbed(store: DuckDBEventStore) -> int:
    """Upkeep until nothing is due; how often it was called."""
    for num in range(1, 1_000):
        if not store.maintain():
            return num
    raise AssertionError("it never ends")


def holds(file: Path, needle: str) -> bool:
    return any(needle.encode() in one.read_bytes() for one in file.parent.glob(f"{file.name}*"))


@pytest.mark.parametrize("num", [30, 5_000])
def test_erased_bytes_leave_the_file(
    num: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "PIECE_ROWS", 1_000)
    file = tmp_path / "events.duckdb"
    store = opened(file)
    store.append(to_batch(mixed(0, num)))
    store.maintain()
    store.close()
    assert holds(file, CANARY)

    store = opened(file)
    assert store.erase_tenant(CANARY) == len(range(0, num, 3))
    before = store.query(EVENTS), store.query(SUMS)
    assert scrubbed(store) > num * 2 // 3 // 1_000
    assert (store.query(EVENTS), store.query(SUMS)) == before
    assert not holds(file, CANARY)
    store.close()
    assert not holds(file, CANARY)


def test_a_large_table_is_written_anew_piece_by_piece_while_events_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "PIECE_ROWS", 50_000)
    file = tmp_path / "events.duckdb"
    store = opened(file)
    history = mixed(0, 2_000)
    store.append(to_batch(history))
    num = 130_000  # more than a group of rows
    store.append(plain(num))
    store.erase_tenant(CANARY)
    assert store.maintain()
    before_stop = store.query(SUMS)
    store.close()

    store = opened(file)  # whoever stops on the way goes on with the next start
    late = [event for event in mixed(10_000, 300) if event.tenant_id != CANARY]
    assert store.query(SUMS) == before_stop
    assert store.maintain()
    store.append(to_batch(late))
    pieces = scrubbed(store)
    assert pieces >= 4
    kept = [event for event in history if event.tenant_id != CANARY]
    assert store.query("SELECT COUNT(*) FROM events") == [(len(kept) + num + len(late),)]
    assert (store.append(to_batch(kept + late)) == Outcome.DUPLICATE).all()
    assert store.query("SELECT SUM(num) FROM event_rollup") == [(len(kept) + num + len(late),)]
    assert not holds(file, CANARY)
    assert not store.maintain()  # and nothing is left to do
    store.close()


def test_an_erasure_during_the_work_begins_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "PIECE_ROWS", 1_000)
    file = tmp_path / "events.duckdb"
    store = opened(file)
    store.append(to_batch(mixed(0, 600)))
    store.erase_tenant(CANARY)
    assert store.maintain()
    store.append(to_batch([make_event("late-1", tenant_id=CANARY, user_id=f"{CANARY}-late")]))
    store.maintain()
    assert holds(file, f"{CANARY}-late")
    store.erase_tenant(CANARY)
    scrubbed(store)
    assert not holds(file, CANARY)
    store.close()


def test_an_erasure_that_fails_after_its_commit_still_leaves_no_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "events.duckdb"
    store = opened(file)
    store.append(to_batch(mixed(0, 60)))

    def disk_is_full() -> None:
        raise duckdb.IOException("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store, "_fold", disk_is_full)
        with pytest.raises(StorageFull):
            store.erase_tenant(CANARY)
    assert store.query("SELECT COUNT(*) FROM events") == [(40,)]
    assert store.erase_tenant(CANARY) == 0  # the caller's retry finds nothing left to erase
    scrubbed(store)
    assert not holds(file, CANARY)
    store.close()


def test_nobody_erased_is_no_work(tmp_path: Path) -> None:
    store = opened(tmp_path / "events.duckdb")
    store.append(to_batch(mixed(0, 3)))
    store.erase_tenant("nobody")
    assert not store.maintain()
    store.close()


def plain(num: int) -> pa.RecordBatch:
    """Many events of others, without the cost of one object each."""
    one = to_batch([make_event("plain", tenant_id="plain")])
    rows = one.take(pa.array([0] * num))
    raw = b"".join(i.to_bytes(16, "big") for i in range(1, num + 1))
    uuids = pa.Array.from_buffers(one.schema.field(0).type, num, [None, pa.py_buffer(raw)])
    return rows.set_column(0, one.schema.field(0), uuids)
