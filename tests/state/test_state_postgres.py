"""What is special to the state store in PostgreSQL: its session, lost and missing servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest
import sqlalchemy as sa

from ebbtide.domain.errors import SettingsError, StorageFull, StoreUnavailable
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.postgres import PostgresStateStore

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)


@pytest.fixture
def url(postgres_database: Callable[[], str]) -> str:
    return postgres_database()


@pytest.fixture
def store(url: str) -> Iterator[StateStore]:
    """A migrated store whose sessions may be ended without harm to other tests."""
    opened = PostgresStateStore(url)
    opened.migrate()
    yield opened
    opened.close()


def end_all_sessions(url: str) -> None:
    """What a restart of the server does to the connections it had."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_every_session_is_durable_and_in_utc_whatever_the_server_prefers(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'")
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = PostgresStateStore(url)
    store.migrate()
    with store._database.read() as connection:
        for setting, expected in (
            ("TimeZone", "UTC"),
            ("synchronous_commit", "on"),
            ("lock_timeout", "10s"),
            ("client_encoding", "UTF8"),
            ("transaction_isolation", "read committed"),
        ):
            actual = connection.exec_driver_sql(f"SHOW {setting}").scalar()
            assert (setting, actual) == (setting, expected)
    assert store.imports.start("k", "a.csv", AT).started_at == AT
    store.close()


def test_ids_sort_by_code_point_whatever_the_locale_of_the_server(store: StateStore) -> None:
    with store._database.read() as connection:
        collation = connection.exec_driver_sql(
            "SELECT collation_name FROM information_schema.columns"
            " WHERE table_name = 'tenants' AND column_name = 'tenant_id'"
        ).scalar()
    assert collation == "C"


def test_a_restarted_server_is_used_again_at_once(store: StateStore, url: str) -> None:
    store.settings.set("a", "1")
    end_all_sessions(url)
    assert store.settings.get("a") == "1"


def test_a_session_lost_within_a_transaction_is_unavailable(store: StateStore, url: str) -> None:
    with pytest.raises(StoreUnavailable), store._database.write() as connection:
        connection.exec_driver_sql("INSERT INTO settings VALUES ('a', '1')")
        end_all_sessions(url)
        connection.exec_driver_sql("INSERT INTO settings VALUES ('b', '2')")
    assert store.settings.get("a") is None


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:pass-word-7@127.0.0.1:1/db",
        "postgresql://u:pass-word-7@no-such-host.invalid/db",
        "postgresql://u:pass-word-7@/db?host=/no/such/folder",
    ],
)
def test_a_server_that_is_not_there_is_unavailable_and_the_password_unsaid(address: str) -> None:
    store = PostgresStateStore(address)
    with pytest.raises(StoreUnavailable) as caught:
        store.ping()
    assert "pass-word-7" not in str(caught.value)
    store.close()


def test_a_database_that_does_not_exist_is_unavailable(url: str) -> None:
    name = sa.make_url(url).database
    store = PostgresStateStore(url.replace(str(name), "no_such_database"))
    with pytest.raises(StoreUnavailable, match="no_such_database"):
        store.ping()
    store.close()


def test_a_text_that_is_no_address_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError):
        PostgresStateStore("not an address")


def test_a_lock_held_too_long_is_unavailable(store: StateStore, url: str) -> None:
    store.settings.set("a", "1")
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE settings IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable), store._database.write() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
            connection.exec_driver_sql("UPDATE settings SET value = '2'")
        holder.rollback()
    assert store.settings.get("a") == "1"


def test_a_full_disk_of_the_server_is_told_from_other_errors(store: StateStore) -> None:
    translate = store._database.translate
    assert type(translate(psycopg.errors.DiskFull())) is StorageFull
    assert type(translate(psycopg.errors.TooManyConnections())) is StoreUnavailable
    assert type(translate(psycopg.errors.ReadOnlySqlTransaction())) is StoreUnavailable
    assert translate(psycopg.errors.UndefinedTable()) is None
    assert translate(psycopg.errors.NotNullViolation()) is None
