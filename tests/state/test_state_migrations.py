"""Migrations of the state store: from nothing, from every revision, by many at once, cut off."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import ebbtide
from ebbtide.domain.errors import MigrationError, SchemaTooNew
from ebbtide.domain.keys import Scope
from ebbtide.domain.quarantine import QuarantineEntry
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.migrate import VERSION_TABLE, downgrade, migrate, revisions
from ebbtide.store.state.quarantine import _to_row
from ebbtide.store.state.tables import (
    ALERT_CHANNELS,
    ALERT_DELIVERIES,
    ALERT_DELIVERY_TENANTS,
    ALERT_STATES,
    ALERT_THRESHOLDS,
    BLOCK_JUDGEMENTS,
    CERTIFICATES,
    CUSTOMER_SEGMENTS,
    ERASURES,
    EVIDENCE_EXPORTS,
    EVIDENCE_KEYS,
    FACTS_HEAD,
    FREEZES,
    INCIDENT_ATTRIBUTIONS,
    INTERVENTION_STEPS,
    INTERVENTIONS,
    JOB_ALERTS,
    JOB_FAILED_TENANTS,
    JOB_RUNS,
    LEARNER_ALERTS,
    METADATA,
    POLICY_ASSIGNMENTS,
    POLICY_PROMOTIONS,
    POLICY_REPLAY_TENANTS,
    POLICY_REPLAYS,
    POLICY_VERSIONS,
    QUARANTINE,
    RECORDED_CALLS,
    RECORDING_CHOICES,
    REPLAY_SAMPLES,
    REPLAY_SPENDING,
    REPLAYS,
    RESOURCE_EDGES,
    RESOURCE_PROBES,
    RESOURCE_PROJECTIONS,
    RESOURCE_SAMPLES,
    RESOURCES,
    SCORES,
    TENANT_CALLS,
    TENANT_FACTS,
    TENANT_PASTS,
    TENANTS,
)

if TYPE_CHECKING:  # every folder has its own conftest, so it is not imported at run time
    from conftest import Place

AT = datetime(2026, 3, 12, 8, 30, 0, 123456, tzinfo=UTC)
REVISIONS = revisions()
TABLES_FROM = {
    "0001": {"settings", "api_keys"},
    "0002": {"quarantine"},
    "0003": {"tenants", "erasures"},
    "0004": {"imports"},
    "0005": set(),
    "0006": {"job_runs", "job_failed_tenants", "job_alerts"},
    "0007": {"facts_head", "tenant_facts", "tenant_calls", "scores", "customer_segments"},
    "0008": {"interventions"},
    "0009": {"alert_thresholds", "incident_attributions"},
    "0010": {
        "resources",
        "resource_samples",
        "resource_edges",
        "resource_projections",
        "resource_probes",
    },
    "0011": {"intervention_steps", "tenant_pasts"},
    "0012": {"alert_states", "alert_channels", "alert_deliveries", "alert_delivery_tenants"},
    "0013": {"learner_alerts"},
    "0014": {"policy_versions", "policy_assignments"},
    "0015": {"recorded_calls", "recording_choices", "freezes"},
    "0016": {
        "replays",
        "replay_samples",
        "replay_spending",
        "policy_replays",
        "policy_replay_tenants",
        "block_judgements",
        "policy_promotions",
    },
    "0017": {"evidence_keys", "evidence_exports", "certificates"},
}


def fill(store: StateStore, revision: str) -> None:
    """Write something into every table that a revision has."""
    if revision >= "0001":
        store.settings.set("installation_id", "ebb-1")
        store.keys.add("x" * 40, "first", {Scope.READ}, AT, tenant_id="acme", expires_at=AT)
    if revision >= "0002":
        raw = b'{"a":"\0\xff"}'
        entry = QuarantineEntry(AT, "http", "conflict", raw, "acme", "k", "f", 3)
        if revision >= "0005":
            entry = replace(entry, event_id="e", mapping="shop")
        with store._database.write() as connection:
            table = as_it_is(connection, QUARANTINE)
            row = _to_row(entry, entry.identity)
            connection.execute(
                table.insert(), {name: row[name] for name in row.keys() & table.columns.keys()}
            )
    if revision >= "0003":
        with store._database.write() as connection:
            connection.execute(TENANTS.insert(), a_row_of(TENANTS))
            connection.execute(ERASURES.insert(), {"tenant_uuid": "globex", "erased_at": AT})
    if revision >= "0004":
        store.imports.start("k", "a.csv", AT)
    if revision >= "0006":
        run = {"job": "a-job", "slot": AT, "as_of": AT, "covers": 1, "attempt": 1, "beat": 0}
        words = {"asked_by": "schedule", "runner": "r", "status": "partial", "counts": "{}"}
        left_out = {"run_id": 1, "tenant_uuid": "u", "tenant_id": "acme", "reason": "r"}
        alert = {"at": AT, "kind": "partial", "job": "a-job", "run_id": 1, "message": "m"}
        with store._database.write() as connection:
            connection.execute(JOB_RUNS.insert(), run | words | {"started_at": AT})
            connection.execute(JOB_FAILED_TENANTS.insert(), left_out)
            connection.execute(JOB_ALERTS.insert(), alert)
    if revision >= "0007":
        tables = (FACTS_HEAD, TENANT_FACTS, TENANT_CALLS, SCORES, CUSTOMER_SEGMENTS)
        with store._database.write() as connection:
            for table in tables:
                connection.execute(table.insert(), a_row_of(table))
    if revision >= "0008":
        with store._database.write() as connection:
            connection.execute(INTERVENTIONS.insert(), a_row_of(INTERVENTIONS))
    if revision >= "0009":
        with store._database.write() as connection:
            for table in (ALERT_THRESHOLDS, INCIDENT_ATTRIBUTIONS):
                connection.execute(table.insert(), a_row_of(table))
    if revision >= "0010":
        with store._database.write() as connection:
            for table in (
                RESOURCES,
                RESOURCE_SAMPLES,
                RESOURCE_EDGES,
                RESOURCE_PROJECTIONS,
                RESOURCE_PROBES,
            ):
                now = as_it_is(connection, table)
                connection.execute(now.insert(), a_row_of(now))
    if revision >= "0011":
        with store._database.write() as connection:
            for table in (INTERVENTION_STEPS, TENANT_PASTS):
                connection.execute(table.insert(), a_row_of(table))
    if revision >= "0012":
        with store._database.write() as connection:
            for table in (ALERT_STATES, ALERT_CHANNELS, ALERT_DELIVERIES, ALERT_DELIVERY_TENANTS):
                connection.execute(table.insert(), a_row_of(table))
    if revision >= "0013":
        with store._database.write() as connection:
            connection.execute(LEARNER_ALERTS.insert(), a_row_of(LEARNER_ALERTS))
    if revision >= "0014":
        with store._database.write() as connection:
            for table in (POLICY_VERSIONS, POLICY_ASSIGNMENTS):
                connection.execute(table.insert(), a_row_of(table))
    if revision >= "0015":
        with store._database.write() as connection:
            for table in (RECORDED_CALLS, RECORDING_CHOICES, FREEZES):
                connection.execute(table.insert(), a_row_of(table))
    if revision >= "0016":
        with store._database.write() as connection:
            for table in (
                REPLAYS,
                REPLAY_SAMPLES,
                REPLAY_SPENDING,
                POLICY_REPLAYS,
                POLICY_REPLAY_TENANTS,
                BLOCK_JUDGEMENTS,
                POLICY_PROMOTIONS,
            ):
                connection.execute(table.insert(), a_row_of(table))
    if revision >= "0017":
        with store._database.write() as connection:
            for table in (EVIDENCE_KEYS, EVIDENCE_EXPORTS, CERTIFICATES):
                connection.execute(table.insert(), a_row_of(table))


def a_row_of(table: sa.Table) -> dict[str, Any]:
    """Some value in every column."""
    values = {object: AT, str: "text", int: 1, bool: True, float: 0.5, bytes: b"sealed"}
    return {column.name: values[column.type.python_type] for column in table.columns}


def as_it_is(connection: sa.Connection, table: sa.Table) -> sa.Table:
    """A table with those columns only that the database has by now."""
    there = {one["name"] for one in sa.inspect(connection).get_columns(table.name)}
    kept = [sa.Column(c.name, c.type) for c in table.columns if c.name in there]
    return sa.Table(table.name, sa.MetaData(), *kept)


def contents(store: StateStore) -> dict[str, list[Any]]:
    """Every row of every table there is, but the version; what a row does not say is left out."""
    found = {}
    with store._database.read() as connection:
        for name in sorted(METADATA.tables):
            if connection.dialect.has_table(connection, name):
                rows = connection.execute(as_it_is(connection, METADATA.tables[name]).select())
                found[name] = [
                    {key: value for key, value in row.items() if value is not None}
                    for row in rows.mappings()
                ]
    return found


def differences(store: StateStore) -> list[Any]:
    """What the schema in the database has otherwise than the one in the code."""
    with store._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return list(compare_metadata(context, METADATA))


def test_revisions_are_numbered_without_gaps() -> None:
    assert [f"{n:04}" for n in range(1, len(REVISIONS) + 1)] == REVISIONS
    assert set(TABLES_FROM) == set(REVISIONS)


def test_an_empty_place_gets_the_schema_of_the_code_once(place: Place) -> None:
    store = place.open()
    assert differences(store) != []
    assert store.migrate() == REVISIONS
    assert differences(store) == []
    assert store.migrate() == []
    store.close()


#: The way up from each is the end of the way up from the first; the others run with the slow tests.
USUAL = {REVISIONS[0], REVISIONS[len(REVISIONS) // 2], *REVISIONS[-3:]}


@pytest.mark.parametrize(
    "revision",
    [one if one in USUAL else pytest.param(one, marks=pytest.mark.slow) for one in REVISIONS],
)
def test_every_earlier_revision_comes_up_with_its_rows_and_down_again(
    place: Place, revision: str
) -> None:
    store = place.open()
    applied = migrate(store._database, revision)
    fill(store, revision)
    before = contents(store)
    assert set(before) == set().union(*(TABLES_FROM[r] for r in applied))
    assert all(before.values())
    assert store.migrate() == REVISIONS[len(applied) :]
    after = contents(store)
    assert {name: after[name] for name in before} == before
    assert not any(after[name] for name in set(after) - set(before))
    assert differences(store) == []
    downgrade(store._database, revision)
    assert contents(store) == before
    store.migrate()
    after = contents(store)
    assert {name: after[name] for name in before} == before
    assert differences(store) == []
    downgrade(store._database, "base")
    assert contents(store) == {}
    store.close()


@pytest.mark.parametrize(
    ("stored", "error"),
    [("9999", SchemaTooNew), (f"{len(REVISIONS) + 1:04}", SchemaTooNew), ("abc", MigrationError)],
)
def test_a_schema_we_do_not_know_is_refused_and_not_touched(
    place: Place, stored: str, error: type[MigrationError]
) -> None:
    store = place.open()
    store.migrate()
    fill(store, REVISIONS[-1])
    before = contents(store)
    with store._database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{stored}'")
    with pytest.raises(MigrationError, match=stored) as caught:
        store.migrate()
    assert type(caught.value) is error
    assert contents(store) == before
    store.close()


# Four processes that know everything, held at one line, and let go at one moment.
RACING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from conftest import Place
held, let_go = os.pipe()
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        os.close(let_go)
        os.read(held, 1)  # ends when the parent closes its side
        store = Place(sys.argv[2], sys.argv[3]).open()
        num_applied = len(store.migrate())
        store.close()
        os._exit(num_applied)
    children.append(child)
os.close(let_go)
print(sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""

# Dies at the nth statement of a migration, for every n of a row until one migration comes through.
DYING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from conftest import Place
import sqlalchemy as sa
for n in range(int(sys.argv[4]), 1000, int(sys.argv[5])):
    child = os.fork()
    if child == 0:
        store = Place(sys.argv[2], sys.argv[3]).open()
        left = n
        def count(*_):
            global left
            left -= 1
            if left == 0:
                os._exit(9)
        sa.event.listen(store._database.engine, "after_cursor_execute", count)
        sa.event.listen(store._database.engine, "commit", count)
        store.migrate()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == 9, status
    store = Place(sys.argv[2], sys.argv[3]).open()
    with store._database.read() as connection:
        names = sa.inspect(connection).get_table_names()
    store.close()
    assert names == [], (n, names)
print(n)
"""


def run(script: str, place: Place, *words: object) -> str:
    source = str(Path(ebbtide.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent), place.engine, place.address]
        + [str(word) for word in words],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_of_four_processes_that_start_together_one_migrates(place: Place) -> None:
    assert run(RACING, place) == str([0, 0, 0, len(REVISIONS)])
    store = place.open()
    assert store.migrate() == []
    assert differences(store) == []
    store.close()


@pytest.mark.parametrize(
    ("first", "step"), [(1, 13), pytest.param(1, 1, marks=pytest.mark.slow)], ids=["some", "each"]
)
def test_a_migration_that_is_cut_off_at_any_statement_leaves_nothing(
    place: Place, first: int, step: int
) -> None:
    num_statements = int(run(DYING, place, first, step))
    assert num_statements > len(METADATA.tables)
    store = place.open()
    assert store.migrate() == []
    assert differences(store) == []
    store.close()
