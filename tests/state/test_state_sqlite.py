"""What is special to the state store in a SQLite file: durability, access rights, full disks."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from ebbtide.domain.errors import StorageFull, StoreUnavailable
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.domain.tenant import Fact, Origin
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteDatabase, SQLiteStateStore

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "deep" / "state.db"


def migrated(path: Path, **options: float) -> StateStore:
    store = SQLiteStateStore(path, **options)
    store.migrate()
    return store


def entry(raw: bytes) -> QuarantineEntry:
    return QuarantineEntry(AT, "http", "conflict", raw, "acme")


def test_every_connection_is_durable(path: Path) -> None:
    store = migrated(path)
    engine = store._database.engine
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            read = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
            assert read == {
                "journal_mode": "wal",
                "synchronous": 2,
                "foreign_keys": 1,
                "busy_timeout": 10_000,
            }
    store.close()


def test_a_database_that_cannot_be_durable_is_refused() -> None:
    store = StateStore(SQLiteDatabase(Path(":memory:"), busy_timeout_s=1))
    with pytest.raises(StoreUnavailable, match="journal_mode is 'memory' instead of 'wal'"):
        store.ping()


def test_only_the_owner_can_read_what_we_make(path: Path) -> None:
    store = migrated(path)
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["state.db", "state.db-shm", "state.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    store.close()


def test_a_folder_that_was_there_keeps_its_rights_and_a_loose_file_is_closed(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "state.db"
    path.touch(mode=0o644)
    migrated(path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_written_is_there_after_reopening_without_closing(path: Path) -> None:
    left_open = migrated(path)
    left_open.quarantine.add([entry(b"one")])
    other = SQLiteStateStore(path)
    assert other.migrate() == []
    assert [row.entry.raw for row in other.quarantine.list_pending()] == [b"one"]
    other.quarantine.add([entry(b"two")])
    assert [row.entry.raw for row in left_open.quarantine.list_pending()] == [b"one", b"two"]
    other.close()
    left_open.close()


def test_a_full_disk_is_said_so_and_nothing_is_half_done(path: Path) -> None:
    store = migrated(path)
    store.quarantine.add([entry(b"before")])
    engine = store._database.engine
    is_full = True

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        # SQLite meets this limit as it meets a full disk: SQLITE_FULL, in the midst of writing.
        pages = 60 if is_full else 1_000_000
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(engine, "checkout", limit)
    with pytest.raises(StorageFull):
        store.quarantine.add([entry(b"small"), entry(b"x" * 1_000_000)])
    assert [row.entry.raw for row in store.quarantine.list_pending()] == [b"before"]
    is_full = False
    store.quarantine.add([entry(b"after")])
    assert [row.entry.raw for row in store.quarantine.list_pending()] == [b"before", b"after"]
    store.close()


def test_a_file_that_another_process_holds_is_unavailable_and_then_works(path: Path) -> None:
    store = migrated(path, busy_timeout_s=0.2)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.settings.set("a", "1")
    assert store.settings.get("a") is None  # reading goes on
    holder.execute("ROLLBACK")
    holder.close()
    store.settings.set("a", "1")
    assert store.settings.get("a") == "1"
    store.close()


def test_a_write_has_its_turn_from_the_start_and_not_from_its_first_change(path: Path) -> None:
    store, other = migrated(path), migrated(path, busy_timeout_s=0.2)
    with store._database.write(), pytest.raises(StoreUnavailable, match="locked"):
        other.settings.set("a", "1")
    with store._database.read():
        other.settings.set("a", "2")
    assert store.settings.get("a") == "2"
    store.close()
    other.close()


def test_a_file_that_is_no_database_is_unavailable(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is not a database, " * 100)
    store = SQLiteStateStore(path)
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.ping()
    store.close()


def test_a_path_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SQLiteStateStore(tmp_path / "file" / "state.db")


def test_a_fault_of_our_own_is_not_called_unavailable(path: Path) -> None:
    store = migrated(path)
    with pytest.raises(sa.exc.OperationalError), store._database.read() as connection:
        connection.exec_driver_sql("SELECT * FROM no_such_table")
    store.close()


def test_a_reader_that_holds_the_log_is_told_of_and_the_same_again_forgets(path: Path) -> None:
    store = SQLiteStateStore(path, busy_timeout_s=0.05)
    store.migrate()
    store.tenants.put("acme", [Fact("name", "canary-in-a-name", AT, Origin.API)], AT)
    with closing(sqlite3.connect(path)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT COUNT(*) FROM tenants").fetchall()
        with pytest.raises(StoreUnavailable, match="another program reads"):
            store.erase_tenant("acme", AT)
    store.erase_tenant("acme", AT)
    assert not any(b"canary" in file.read_bytes() for file in path.parent.iterdir())
    store.close()


def test_an_erased_tenant_leaves_no_trace_in_any_file(path: Path) -> None:
    store = migrated(path)
    canary = b"canary-in-a-body"
    store.quarantine.add([entry(canary + b"-small"), entry(canary * 10_000)])
    store.tenants.put("acme", [Fact("name", "canary-in-a-name", AT, Origin.API)], AT)
    assert any(b"canary" in file.read_bytes() for file in path.parent.iterdir())
    store.erase_tenant("acme", AT)
    for file in path.parent.iterdir():
        content = file.read_bytes()
        assert b"canary" not in content
        assert b"acme" not in content
    store.close()
