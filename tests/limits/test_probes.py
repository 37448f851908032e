"""Probes of disk, stores and PostgreSQL: real figures, or the reason why there are none."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from ebbtide.domain.errors import StoreUnavailable
from ebbtide.limits.disk import DiskProbe, StoreProbe, files_bytes
from ebbtide.limits.postgres import PostgresProbe
from ebbtide.limits.probe import Reading, Unavailable

if TYPE_CHECKING:
    from postgres_server import PostgresServer


def test_the_disk_is_as_full_as_the_system_says(tmp_path: Path) -> None:
    found = DiskProbe(tmp_path).read()
    assert isinstance(found, list)
    usage = shutil.disk_usage(tmp_path)
    assert found[0].used == pytest.approx(usage.used, rel=0.05)
    assert found[0].limit is not None and found[0].used < found[0].limit <= usage.total


def test_a_folder_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    assert DiskProbe(tmp_path / "gone").read() == Unavailable("No such file or directory")


def test_a_store_counts_its_journals_and_may_grow_into_what_is_free(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    file.write_bytes(b"x" * 1000)
    (tmp_path / "state.sqlite-wal").write_bytes(b"x" * 500)
    (tmp_path / "other").write_bytes(b"x" * 9000)
    found = StoreProbe("state_store", lambda: files_bytes(file), tmp_path).read()
    assert isinstance(found, list)
    assert found[0].used == 1500
    assert found[0].limit == pytest.approx(1500 + shutil.disk_usage(tmp_path).free, rel=0.05)


def test_a_store_elsewhere_has_no_limit_that_we_know() -> None:
    assert StoreProbe("event_store", lambda: 7, None).read() == [
        Reading("event_store", 7, None, "bytes")
    ]


def test_a_store_that_does_not_answer_is_unavailable() -> None:
    def fail() -> int:
        raise StoreUnavailable("at a host that nobody shall see")

    assert StoreProbe("event_store", fail, None).read() == Unavailable("the store does not answer")
    unknown = StoreProbe("event_store", lambda: None, None).read()
    assert unknown == Unavailable("the engine cannot say how large it is")


def test_postgres_tells_size_and_connections(postgresql: PostgresServer) -> None:
    with postgresql.database() as url:
        probe = PostgresProbe(url, limit_bytes=10**10)
        before = {one.resource: one for one in _readings(probe)}
        with psycopg.connect(url), psycopg.connect(url):
            after = {one.resource: one for one in _readings(probe)}
    assert after["db_connections"].used - before["db_connections"].used == 2
    limit = after["db_connections"].limit
    assert limit is not None and limit > after["db_connections"].used
    assert after["db_storage"].used > 5_000_000  # an empty database has that much
    assert after["db_storage"].limit == 10**10


def _readings(probe: PostgresProbe) -> list[Reading]:
    found = probe.read()
    assert isinstance(found, list), found
    return found


def test_a_postgres_that_is_down_says_so_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = PostgresProbe(f"postgresql://me:geheim@127.0.0.1:{port}/db", None).read()
    assert isinstance(found, Unavailable)
    assert "refused" in found.reason
    assert "geheim" not in found.reason


def test_a_wrong_postgres_url_is_not_repeated() -> None:
    found = PostgresProbe("postgresql://me:geheim@[::1", None).read()
    assert isinstance(found, Unavailable)
    assert "geheim" not in found.reason
