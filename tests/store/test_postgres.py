"""What only PostgreSQL has: several writers, a server that goes away, settings of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebbtide.domain.errors import (
    EbbtideError,
    MigrationError,
    QueryError,
    SettingsError,
    StorageFull,
    StoreRefused,
    StoreUnavailable,
)
from ebbtide.domain.event import Outcome
from ebbtide.store.events.base import EVENT_SCHEMA, EventStore, to_batch
from ebbtide.store.events.postgres import PostgresEventStore, _durability
from ebbtide.store.events.postgres_arrays import encode, type_name
from ebbtide.store.events.postgres_connection import Binary, BinaryDumper
from event_factory import NOON, make_event, make_full_event, make_many, stored_ids
from homes import Home
from postgres_server import PostgresServer

US = timedelta(microseconds=1)


@pytest.fixture
def engine() -> str:
    """These tests run on PostgreSQL alone."""
    return "postgres"


@pytest.fixture
def store(home: Home) -> PostgresEventStore:
    opened = home.open()
    assert isinstance(opened, PostgresEventStore)
    return opened


@pytest.fixture
def admin(home: Home) -> Iterator[psycopg.Connection[Any]]:
    """An operator's own connection to the same database."""
    with psycopg.connect(home.url, autocommit=True) as connection:
        yield connection


def assert_rollup_equals_events(store: EventStore) -> None:
    """Every roll-up row says what a scan of its events says."""
    rollup = store.query(
        "SELECT tenant_id, event_type, hour_end, num, num_cost, cost_usd, num_latency, latency_ms,"
        " first_at, last_at, last_received_at FROM event_rollup ORDER BY 1, 2, 3"
    )
    scan = store.query(
        "SELECT tenant_id, event_type, date_trunc('hour', timestamp - interval '1 microsecond')"
        " + interval '1 hour', COUNT(*), COUNT(cost_usd), SUM(cost_usd), COUNT(latency_ms),"
        " SUM(latency_ms), MIN(timestamp), MAX(timestamp), MAX(received_at)"
        " FROM events GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    assert rollup == scan


def in_threads(works: list[Callable[[], None]]) -> None:
    """Run all at once and raise what any of them raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        for running in [pool.submit(work) for work in works]:
            running.result()


# -- several writers -----------------------------------------------------------------------


def test_writers_that_send_the_same_events_store_each_once(home: Home) -> None:
    """Four stores get the same events in different orders and different batches."""
    events = make_many(1_200, seed=11, tenants=3, span=timedelta(hours=2))
    tallies: list[Counter[int]] = []

    def writer(seed: int) -> Callable[[], None]:
        mine = events.copy()
        random.Random(seed).shuffle(mine)
        store = home.open()

        def work() -> None:
            tally: Counter[int] = Counter()
            for start in range(0, len(mine), 150):
                tally.update(store.append(to_batch(mine[start : start + 150])).tolist())
            tallies.append(tally)

        return work

    in_threads([writer(seed) for seed in range(4)])
    total = sum(tallies, Counter())
    assert total == {Outcome.STORED: 1_200, Outcome.DUPLICATE: 3 * 1_200}
    assert_rollup_equals_events(home.open())


_PROCESS = """
import sys
sys.path[:0] = sys.argv[1:3]
from event_factory import make_many
from ebbtide.store.events.base import to_batch
from ebbtide.store.events.postgres import PostgresEventStore

store = PostgresEventStore(sys.argv[3])
events = make_many(1_000, seed=12, tenants=3)
if sys.argv[4] == "backwards":
    events.reverse()
stored = 0
for start in range(0, 1_000, 100):
    stored += int((store.append(to_batch(events[start : start + 100])) == 0).sum())
print(stored)
"""


def test_two_processes_store_each_event_once(home: Home) -> None:
    import ebbtide

    folders = [str(Path(ebbtide.__file__).parents[1]), str(Path(__file__).parents[1])]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, *folders, home.url, direction],
            stdout=subprocess.PIPE,
            text=True,
        )
        for direction in ("forwards", "backwards")
    ]
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(int(answer) for answer in answers) == 1_000
    store = home.open()
    assert store.query("SELECT COUNT(*) FROM events") == [(1_000,)]
    assert_rollup_equals_events(store)


def test_four_programs_that_start_at_once_migrate_once(empty_home: Home) -> None:
    applied: list[list[int]] = []
    stores = [empty_home.open() for _ in range(4)]
    in_threads([lambda store=store: applied.append(store.migrate()) for store in stores])
    assert sorted(map(bool, applied)) == [False, False, False, True]


def test_a_program_that_dies_while_migrating_leaves_the_way_free(
    empty_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(script: str) -> Iterator[str]:
        yield "CREATE TABLE half_done (a integer)"
        yield "SELECT pg_terminate_backend(pg_backend_pid())"

    with monkeypatch.context() as patch:
        patch.setattr("ebbtide.store.events.postgres.split_statements", die)
        with pytest.raises(StoreUnavailable):
            empty_home.open().migrate()
    store = empty_home.open()
    assert store.migrate()[0] == 1
    assert store.query("SELECT to_regclass('half_done') IS NULL") == [(True,)]


def test_erasing_beside_writers_keeps_events_and_rollup_in_step(home: Home) -> None:
    """Whatever the erasures leave, the roll-up says the same as the events."""
    done = threading.Event()

    def writer(number: int) -> Callable[[], None]:
        store = home.open()

        def work() -> None:
            for i in range(25):
                events = [
                    make_event(
                        f"{number}-{i}-{k}",
                        tenant_id=f"tenant-{k % 2}",
                        timestamp=NOON + timedelta(minutes=17 * (i + k)),
                        latency_ms=k,
                    )
                    for k in range(20)
                ]
                assert set(store.append(to_batch(events))) == {Outcome.STORED}

        return work

    eraser = home.open()

    def erase() -> None:
        while not done.is_set():
            eraser.erase_tenant("tenant-0")

    erasing = threading.Thread(target=erase)
    erasing.start()
    try:
        in_threads([writer(1), writer(2)])
    finally:
        done.set()
        erasing.join()
    store = home.open()
    assert store.query("SELECT COUNT(*) FROM events WHERE tenant_id = 'tenant-1'") == [(500,)]
    assert_rollup_equals_events(store)


def test_events_that_come_while_their_tenant_is_erased_keep_their_rollup(
    home: Home, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two deletions of an erasure, another program stores an event of a new hour."""
    store.append(to_batch([make_event("old")]))
    other = home.open()
    late = make_event("late", timestamp=NOON + timedelta(days=1))
    con = store._writing()
    execute = con.execute

    def interrupted(sql: str, *args: Any) -> Any:
        if sql.startswith("DELETE FROM events"):
            other.append(to_batch([late]))
        return execute(sql, *args)

    with monkeypatch.context() as patch:
        patch.setattr(con, "execute", interrupted)
        assert store.erase_tenant("acme") == 1
    assert stored_ids(store) == [late.event_uuid]
    assert_rollup_equals_events(store)


def test_an_erasure_starts_over_when_the_rollup_changed_under_it(
    store: PostgresEventStore, admin: psycopg.Connection[Any]
) -> None:
    store.append(to_batch([make_event("one"), make_event("two")]))
    waiting = (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND application_name = 'ebbtide writer' AND datname = current_database()"
    )
    with ThreadPoolExecutor(1) as pool:
        with admin.transaction():
            admin.execute("UPDATE event_rollup SET num = num")  # as a writer that has not committed
            erasing = pool.submit(store.erase_tenant, "acme")
            while store.query(waiting) == [(0,)]:
                assert not erasing.done()
        assert erasing.result() == 2
    assert store.query("SELECT COUNT(*) FROM event_rollup") == [(0,)]


def test_a_row_erased_between_two_looks_is_new_again(
    home: Home, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = make_event()
    store.append(to_batch([event]))
    other = home.open()
    compare = store._compare

    def erased_before(*args: Any) -> Any:
        other.erase_tenant("acme")
        return compare(*args)

    monkeypatch.setattr(store, "_compare", erased_before)
    assert list(store.append(to_batch([event, make_event("other", tenant_id="b")]))) == [
        Outcome.STORED,
        Outcome.STORED,
    ]
    assert_rollup_equals_events(store)
    assert stored_ids(store) == [event.event_uuid]


# -- a server that goes away ---------------------------------------------------------------


def cut(admin: psycopg.Connection[Any], role: str) -> int:
    """End all connections of one role, as a restart does; returns how many there were."""
    rows = admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        [f"ebbtide {role}"],
    ).fetchall()
    return len(rows)


def test_a_lost_writing_connection_is_said_and_then_replaced(
    store: PostgresEventStore, admin: psycopg.Connection[Any]
) -> None:
    event = make_event()
    store.append(to_batch([event]))
    assert cut(admin, "writer") == 1
    with pytest.raises(StoreUnavailable) as fault:
        store.append(to_batch([make_event("second")]))
    assert fault.value.retry_after_s > 0
    assert list(store.append(to_batch([event, make_event("second")]))) == [
        Outcome.DUPLICATE,
        Outcome.STORED,
    ]


def test_lost_reading_connections_are_replaced_unnoticed(
    store: PostgresEventStore, admin: psycopg.Connection[Any]
) -> None:
    in_threads([lambda: store.ping() for _ in range(4)])
    assert cut(admin, "reader") >= 1
    for _ in range(6):
        store.ping()


def test_batches_cut_off_at_any_moment_are_stored_once_after_their_retry(
    home: Home, store: PostgresEventStore, admin: psycopg.Connection[Any]
) -> None:
    """The connection is cut at random moments; a client that retries loses nothing."""
    rng = random.Random(13)
    batches = [make_many(200, seed=1_000 + i, tenants=3) for i in range(30)]
    cuts = 0
    for events in batches:
        timer = threading.Timer(rng.uniform(0, 0.03), cut, (admin, "writer"))
        timer.start()
        while True:
            try:
                outcomes = store.append(to_batch(events))
            except StoreUnavailable:
                cuts += 1
            else:
                break
        timer.join()
        assert set(outcomes) <= {Outcome.STORED, Outcome.DUPLICATE}
    assert cuts, "no cut hit a batch: the test showed nothing"
    assert store.query("SELECT COUNT(*) FROM events") == [(30 * 200,)]
    assert_rollup_equals_events(store)


def test_a_server_that_cannot_be_reached_is_unavailable_and_its_password_stays_secret(
    tmp_path: Path,
) -> None:
    url = f"postgresql://someone:S3cretWord@/nowhere?host={tmp_path}"
    store = PostgresEventStore(url)
    for use in (store.migrate, store.ping, lambda: store.append(to_batch([make_event()]))):
        with pytest.raises(StoreUnavailable) as fault:
            use()
        assert "S3cretWord" not in str(fault.value)
    store.close()


@pytest.mark.parametrize("url", ["postgresql://u:S3cretWord@[host/x", "S3cretWord", "x=S3cretWord"])
def test_a_url_that_cannot_be_read_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        PostgresEventStore(url)
    assert "S3cretWord" not in str(refusal.value)


def test_a_closed_store_is_unavailable(store: PostgresEventStore) -> None:
    store.append(to_batch([make_event()]))
    store.ping()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.append(to_batch([make_event("second")]))
    with pytest.raises(StoreUnavailable, match="closed"):
        store.ping()


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("53100", StorageFull),
        ("53200", StoreUnavailable),
        ("57P01", StoreUnavailable),
        ("40P01", StoreUnavailable),
        ("58030", StoreUnavailable),
        ("25006", StoreUnavailable),
        ("42501", StoreUnavailable),
        ("22021", StoreRefused),
        ("23514", StoreRefused),
        ("54000", StoreRefused),
    ],
)
def test_what_the_server_says_becomes_an_error_of_ours_and_stores_nothing(
    store: PostgresEventStore, admin: psycopg.Connection[Any], state: str, meaning: type
) -> None:
    store.append(to_batch([make_event("before")]))
    admin.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{state}'; END $$"
    )
    admin.execute("CREATE TRIGGER t BEFORE UPDATE ON event_rollup EXECUTE FUNCTION refuse()")
    events = [make_event("one"), make_event("two", timestamp=NOON + timedelta(days=1))]
    with pytest.raises(EbbtideError) as fault:
        store.append(to_batch(events))
    assert type(fault.value) is meaning
    assert store.query("SELECT COUNT(*) FROM events") == [(1,)]
    admin.execute("DROP TRIGGER t ON event_rollup")
    assert list(store.append(to_batch(events))) == [Outcome.STORED, Outcome.STORED]
    assert_rollup_equals_events(store)


@pytest.fixture
def small_disk(postgres_server: PostgresServer) -> Iterator[Path]:
    """A file system of 24 MB that the server may write to."""
    folder = postgres_server.folder / "small-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    owner = (postgres_server.folder / "data").stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_said_loses_nothing_and_heals(
    postgres_server: PostgresServer, small_disk: Path
) -> None:
    postgres_server.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    with postgres_server.database("TABLESPACE small") as url:
        store = PostgresEventStore(url)
        store.migrate()
        # As in a server that runs: whether PostgreSQL lets anybody new in is another question.
        assert store.query("SELECT COUNT(*) FROM events") == [(0,)]
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * (10 << 20))
        stored = 0
        refused = None
        while refused is None:
            batch = to_batch(make_many(1_000, seed=stored, tenants=3))
            try:
                stored += int((store.append(batch) == Outcome.STORED).sum())
            except StorageFull:
                refused = batch
        assert store.query("SELECT COUNT(*) FROM events") == [(stored,)]
        with pytest.raises(StorageFull):
            store.append(refused)
        ballast.unlink()
        assert (store.append(refused) == Outcome.STORED).all()
        assert store.query("SELECT COUNT(*) FROM events") == [(stored + 1_000,)]
        assert_rollup_equals_events(store)
        store.close()
    postgres_server.execute("DROP TABLESPACE small")


# -- settings of the server ----------------------------------------------------------------


def test_a_lazy_server_is_overruled_and_it_is_said(
    home: Home, admin: psycopg.Connection[Any]
) -> None:
    name = admin.info.dbname
    admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = home.open()
    assert isinstance(store, PostgresEventStore)
    store.append(to_batch([make_event()]))
    assert store._writing().execute("SHOW synchronous_commit").fetchone() == ("on",)
    assert store.durability.survives_power_cut
    assert "synchronous_commit=off" in store.durability.note


@pytest.mark.parametrize("value", ["on", "remote_apply", "local"])
def test_a_stricter_or_equal_setting_stays(
    home: Home, admin: psycopg.Connection[Any], value: str
) -> None:
    admin.execute(f"ALTER DATABASE {admin.info.dbname} SET synchronous_commit = {value}")
    store = home.open()
    assert isinstance(store, PostgresEventStore)
    assert store._writing().execute("SHOW synchronous_commit").fetchone() == (value,)
    assert "synchronous_commit" not in store.durability.note


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_never_flushes_does_not_survive_a_power_cut(setting: str) -> None:
    durability = _durability({setting: "off", "synchronous_commit": "on"})
    assert durability.survives_process_kill
    assert not durability.survives_power_cut
    assert f"{setting}=off" in durability.note


def test_the_zone_and_formats_of_the_server_change_nothing(
    home: Home, admin: psycopg.Connection[Any]
) -> None:
    name = admin.info.dbname
    for setting in (
        "timezone = 'America/St_Johns'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "extra_float_digits = -15",
        "standard_conforming_strings = on",
    ):
        admin.execute(f"ALTER DATABASE {name} SET {setting}")
    store = home.open()
    event = make_full_event(timestamp=NOON, received_at=NOON + US)
    store.append(to_batch([event]))
    sql = "SELECT timestamp, received_at, cost_usd FROM events WHERE timestamp = :noon"
    (row,) = store.query(sql, {"noon": NOON})
    assert row == (NOON, NOON + US, event.cost_usd)
    assert row[0].utcoffset() == timedelta(0)
    assert store.query("SELECT hour_end FROM event_rollup") == [(NOON,)]
    assert list(store.append(to_batch([event]))) == [Outcome.DUPLICATE]


def test_every_text_sorts_by_code_point_whatever_the_database_says(
    admin: psycopg.Connection[Any],
) -> None:
    rows = admin.execute(
        "SELECT attribute.attname, collname FROM pg_attribute attribute"
        " JOIN pg_collation ON pg_collation.oid = attcollation"
        " WHERE attrelid IN ('events'::regclass, 'event_rollup'::regclass)"
    ).fetchall()
    texts = [field.name for field in EVENT_SCHEMA if pa.types.is_string(field.type)]
    assert sorted(name for name, _ in rows) == sorted([*texts, "tenant_id", "event_type"])
    assert {collation for _, collation in rows} == {"C"}


def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres_server: PostgresServer,
) -> None:
    with postgres_server.database("TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'") as url:
        store = PostgresEventStore(url)
        with pytest.raises(MigrationError, match="LATIN1"):
            store.migrate()
        store.close()


# -- reading -------------------------------------------------------------------------------


def test_readers_share_a_bounded_number_of_connections(
    home: Home, admin: psycopg.Connection[Any]
) -> None:
    store = PostgresEventStore(home.url, readers_max=3)
    most = 0

    def read() -> None:
        nonlocal most
        for _ in range(5):
            ((connections,),) = store.query(
                "SELECT COUNT(*) FROM pg_stat_activity"
                " WHERE application_name = 'ebbtide reader' AND datname = current_database()"
            )
            most = max(most, connections)

    in_threads([read] * 12)
    store.close()
    assert 1 <= most <= 3


@pytest.mark.parametrize(
    "sql",
    [
        "WITH gone AS (DELETE FROM events RETURNING 1) SELECT COUNT(*) FROM gone",
        "SELECT pg_catalog.lo_create(0)",
        "SET default_transaction_read_only = off",
        "BEGIN",
        "COPY events TO STDOUT",
        "EXPLAIN ANALYZE DELETE FROM events",
        "-- a comment\nDELETE FROM events",
        "(DELETE FROM events)",
        "VACUUM",
    ],
)
def test_a_reader_cannot_write(store: PostgresEventStore, sql: str) -> None:
    store.append(to_batch([make_event()]))
    with pytest.raises(QueryError):
        store.query(sql)
    assert store.query("SELECT COUNT(*) FROM events") == [(1,)]


def test_more_values_than_the_protocol_counts_are_refused(store: PostgresEventStore) -> None:
    sql = "SELECT COUNT(*) FROM events WHERE latency_ms IN (:many)"
    assert store.query(sql, {"many": list(range(65_535))}) == [(0,)]
    with pytest.raises(QueryError, match="65536"):
        store.query(sql, {"many": list(range(65_536))})


# -- arrays in binary ----------------------------------------------------------------------

_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
_values: dict[str, st.SearchStrategy[Any]] = {
    "event_uuid": st.binary(min_size=16, max_size=16),
    "user_id": st.none() | _texts,
    "metadata": _texts,
    "timestamp": st.datetimes(timezones=st.just(NOON.tzinfo)),
    "severity": st.none() | st.integers(-128, 127),
    "status_code": st.none() | st.integers(-(2**31), 2**31 - 1),
    "latency_ms": st.none() | st.integers(-(2**63), 2**63 - 1),
    "cost_usd": st.none()
    | st.integers(-(10**18) + 1, 10**18 - 1).map(lambda units: Decimal(units).scaleb(-10)),
}


@pytest.mark.parametrize("name", _values)
def test_a_column_reaches_the_server_as_it_is(admin: psycopg.Connection[Any], name: str) -> None:
    kind = EVENT_SCHEMA.field(name).type
    admin.execute("SET TIME ZONE 'UTC'")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(_values[name], max_size=20), st.integers(0, 5), st.integers(0, 5))
    def check(values: list[Any], skip: int, drop: int) -> None:
        column = pa.array(values, kind).slice(skip)
        column = column.slice(0, max(0, len(column) - drop))
        assert _receive(admin, type_name(kind), encode(column)) == column.to_pylist()

    check()


def _receive(con: psycopg.Connection[Any], kind: str, data: bytes) -> list[Any]:
    """What the server makes of an array in binary."""
    con.adapters.register_dumper(Binary, BinaryDumper)
    cursor = psycopg.RawCursor(con)
    cursor.execute(f"SELECT unnest($1::{kind}[])", [Binary(data)], binary=True)
    values = [row[0] for row in cursor.fetchall()]
    return [value.bytes for value in values] if kind == "uuid" else values
