"""Schemas come up from every earlier version, and never silently from a wrong one."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import psycopg
import pytest

from ebbtide.domain.errors import MigrationError, SchemaTooNew
from ebbtide.domain.event import Outcome
from ebbtide.store.events import migrations
from ebbtide.store.events.base import Change, split_statements, to_batch
from ebbtide.store.events.migrations import Migration
from event_factory import NOON, make_event, stored_ids
from homes import Home

OLD_AT = NOON - timedelta(seconds=1)

#: The folder under store/events/schema of each engine word.
FOLDERS = {"duckdb": "duckdb", "postgres": "postgres", "chdb": "clickhouse"}

_CREATE = {
    "duckdb": "CREATE TABLE {name} (number INTEGER);\n",
    "postgres": "CREATE TABLE {name} (number integer);\n",
    "chdb": "CREATE TABLE {name} (number Int32) ENGINE = MergeTree ORDER BY number;\n",
}

Ship = Callable[[list[Migration]], None]


@pytest.fixture
def steps(engine: str) -> list[Migration]:
    """The migrations of this engine as they are shipped."""
    return migrations.load(FOLDERS[engine])


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Makes the program one that knows exactly these migrations."""

    def shipped(known: list[Migration]) -> None:
        monkeypatch.setattr(migrations, "load", lambda engine: known)

    return shipped


def later_step(engine: str, number: int, sql: str | None = None) -> Migration:
    """A migration that a future version may bring: it makes one small table."""
    text = sql or _CREATE[engine].format(name=f"later_{number}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Migration(number, f"{number:04d}_later.sql", text, digest)


def test_an_empty_database_comes_up_and_then_nothing_is_left_to_do(
    empty_home: Home, steps: list[Migration]
) -> None:
    store = empty_home.open()
    assert store.migrate() == [step.number for step in steps]
    assert store.migrate() == []
    assert list(store.append(to_batch([make_event()]))) == [Outcome.STORED]
    store = empty_home.reopen(store)
    assert store.migrate() == []
    assert stored_ids(store) == [make_event().event_uuid]


def test_what_was_applied_is_on_record(empty_home: Home, steps: list[Migration]) -> None:
    store = empty_home.open()
    store.migrate()
    rows = store.query("SELECT number, name, checksum FROM ebbtide_schema ORDER BY number")
    assert rows == [(step.number, step.name, step.checksum) for step in steps]


#: An event and its sums, as a program of the first version stored them.
_EVENT = (
    "INSERT INTO events (event_uuid, timestamp, received_at, tenant_id, event_type, source,"
    " metadata) VALUES ('{uuid}', '2026-03-12 11:59:59', '2026-03-12 12:00:00', '{tenant}',"
    " 'LOGIN', 'test', '{{}}')"
)
_SUM = (
    "INSERT INTO {table} (tenant_id, hour_end, event_type, num, num_cost, num_latency, first_at,"
    " last_at, last_received_at) VALUES ('{tenant}', '2026-03-12 12:00:00', 'LOGIN', 1, 0, 0,"
    " '2026-03-12 11:59:59', '2026-03-12 11:59:59', '2026-03-12 12:00:00')"
)
_SUM_TABLES = {
    "duckdb": ("rollup_folded", "rollup_fresh"),
    "postgres": ("event_rollup", "event_rollup"),
    "chdb": (),  # the roll-up lies inside the events
}
_SCHEMA_TABLES = {
    "duckdb": "CREATE TABLE ebbtide_schema (number INTEGER NOT NULL, name VARCHAR NOT NULL,"
    " checksum VARCHAR NOT NULL)",
    "postgres": "CREATE TABLE ebbtide_schema (number integer PRIMARY KEY, name text NOT NULL,"
    " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
    "chdb": "CREATE TABLE ebbtide_schema (number UInt32, name String, checksum String)"
    " ENGINE = MergeTree ORDER BY number",
}
OLD_TENANTS = ("old-1", "old-2")


def lay_out(home: Home, steps: list[Migration]) -> None:
    """Make the database of an earlier program, with an event of each old tenant."""
    statements = [_SCHEMA_TABLES[home.engine]]
    for step in steps:
        statements += split_statements(step.sql)
        statements.append(
            "INSERT INTO ebbtide_schema (number, name, checksum)"
            f" VALUES ({step.number}, '{step.name}', '{step.checksum}')"
        )
    for i, tenant in enumerate(OLD_TENANTS):
        statements.append(_EVENT.format(uuid=make_event(tenant).event_uuid, tenant=tenant))
        for table in _SUM_TABLES[home.engine][i : i + 1]:
            statements.append(_SUM.format(table=table, tenant=tenant))
    if home.engine == "duckdb":
        with duckdb.connect(home.url) as con:
            for statement in statements:
                con.execute(statement)
    elif home.engine == "postgres":
        with psycopg.connect(home.url, autocommit=True, options="-c timezone=UTC") as postgres:
            for statement in statements:
                postgres.execute(statement)
    else:
        folder, _, database = home.url.removeprefix("chdb://").partition("?database=")
        with closing(importlib.import_module("chdb").connect(folder)) as chdb:
            for statement in [f"CREATE DATABASE {database}", f"USE {database}", *statements]:
                chdb.query(statement)


def test_every_earlier_version_comes_up_with_its_events(
    empty_home: Home, steps: list[Migration], ship: Ship
) -> None:
    """A database of the first version, brought to this one, then to two later ones."""
    engine = empty_home.engine
    future = [later_step(engine, len(steps) + 1), later_step(engine, len(steps) + 2)]
    lay_out(empty_home, steps[:1])
    for known in range(len(steps), len(steps) + 3):
        ship([*steps, *future][:known])
        store = empty_home.open()
        brought_up = [step.number for step in steps[1:]] if known == len(steps) else [known]
        assert store.migrate() == brought_up
        event = make_event(f"event of version {known}")
        assert list(store.append(to_batch([event]))) == [Outcome.STORED]
        store.close()
    store = empty_home.open()
    assert store.migrate() == []
    assert len(stored_ids(store)) == 3
    for tenant in OLD_TENANTS:
        assert stored_ids(store, tenant) == [make_event(tenant).event_uuid]
        again = make_event(tenant, tenant_id=tenant, timestamp=OLD_AT, received_at=NOON)
        assert list(store.append(to_batch([again]))) == [Outcome.DUPLICATE]
    assert store.query("SELECT SUM(num) FROM event_rollup") == [(5,)]


def test_what_an_earlier_version_stored_counts_as_a_change_once(
    empty_home: Home, steps: list[Migration]
) -> None:
    lay_out(empty_home, steps[:1])
    store = empty_home.open()
    store.migrate()
    changes, since = store.changes(0)
    assert changes == [Change(tenant, "LOGIN", OLD_AT, OLD_AT) for tenant in OLD_TENANTS]
    assert store.changes(since) == ([], since)
    store.append(to_batch([make_event(tenant_id="new")]))
    store.maintain()
    assert store.changes(since)[0] == [Change("new", "LOGIN", NOON, NOON)]


def test_several_versions_are_made_up_at_once(
    empty_home: Home, steps: list[Migration], ship: Ship
) -> None:
    future = [later_step(empty_home.engine, len(steps) + i) for i in (1, 2, 3)]
    store = empty_home.open()
    store.migrate()
    store.append(to_batch([make_event()]))
    ship([*steps, *future])
    store.close()
    store = empty_home.open()
    assert store.migrate() == [step.number for step in future]
    assert stored_ids(store) == [make_event().event_uuid]
    assert store.query("SELECT COUNT(*) FROM later_" + str(future[-1].number)) == [(0,)]


def test_a_newer_schema_is_left_untouched(
    empty_home: Home, steps: list[Migration], ship: Ship
) -> None:
    newer = [*steps, later_step(empty_home.engine, len(steps) + 1)]
    ship(newer)
    store = empty_home.open()
    store.migrate()
    store.append(to_batch([make_event()]))
    store.close()
    ship(steps)
    store = empty_home.open()
    with pytest.raises(SchemaTooNew, match=f"schema {len(newer)}.*knows {len(steps)}"):
        store.migrate()
    store.close()
    ship(newer)
    store = empty_home.open()
    assert store.migrate() == []
    assert stored_ids(store) == [make_event().event_uuid]


def test_a_migration_changed_after_it_was_applied_is_refused(
    empty_home: Home, steps: list[Migration], ship: Ship
) -> None:
    store = empty_home.open()
    store.migrate()
    ship([replace(steps[0], checksum="0" * 64), *steps[1:]])
    with pytest.raises(MigrationError, match=steps[0].name) as refusal:
        store.migrate()
    assert not isinstance(refusal.value, SchemaTooNew)


def test_a_failing_step_names_its_file_and_can_be_tried_again(
    empty_home: Home, steps: list[Migration], ship: Ship
) -> None:
    engine = empty_home.engine
    number = len(steps) + 1
    store = empty_home.open()
    store.migrate()
    store.append(to_batch([make_event()]))
    ship([*steps, later_step(engine, number, "CREATE TABEL wrong (number INTEGER);\n")])
    with pytest.raises(MigrationError, match=f"{number:04d}_later.sql"):
        store.migrate()
    assert store.query("SELECT MAX(number) FROM ebbtide_schema") == [(len(steps),)]
    repaired = later_step(engine, number)
    ship([*steps, repaired])
    store.close()
    store = empty_home.open()
    assert store.migrate() == [number]
    assert stored_ids(store) == [make_event().event_uuid]


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_shipped_migrations_are_numbered_without_gaps(folder: str) -> None:
    steps = migrations.load(folder)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert steps


def test_pending_wants_an_unbroken_past() -> None:
    steps = migrations.load("duckdb")
    assert migrations.pending("duckdb", {}) == steps
    assert migrations.pending("duckdb", {step.number: step.checksum for step in steps}) == []


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "schema" / "some"
    folder.mkdir(parents=True)
    (folder / "0001_one.sql").write_text("SELECT 1;\n")
    (folder / "0003_three.sql").write_text("SELECT 3;\n")
    (folder / "notes.txt").write_text("not a migration")
    monkeypatch.setattr(migrations.resources, "files", lambda package: tmp_path)
    with pytest.raises(MigrationError, match="some"):
        migrations.load("some")
    (folder / "0002_two.sql").write_text("SELECT 2;\n")
    assert [step.number for step in migrations.load("some")] == [1, 2, 3]
