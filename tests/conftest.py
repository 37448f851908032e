"""What holds for every test: a strange time zone, no outside settings, no way off this machine."""

from __future__ import annotations

import gc
import ipaddress
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from event_engines import chdb_folder, postgres_server, postgres_template

#: One of each for a test process, whichever folder asks: a second one would meet the first.
__all__ = ["chdb_folder", "postgres_server", "postgres_template"]

if TYPE_CHECKING:
    from postgres_server import PostgresServer

# No assertion may depend on the machine's zone, so the tests run in one that nobody expects.
os.environ["TZ"] = "Asia/Kathmandu"
time.tzset()

# A developer's own settings and proxies would make other tests of these.
_FOR_TESTS = {"EBBTIDE_TEST_DATA", "EBBTIDE_ACCEPT"}
for _name in set(os.environ) - _FOR_TESTS:
    if _name.startswith("EBBTIDE_") or _name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
        del os.environ[_name]

# Half the time of a run on a disk is waiting for it: every store of every test flushes each commit.
# Memory takes flushes as a disk does, and what they are worth is shown elsewhere: by traces of
# the system calls, and by `make chaos` on a real disk.
_MEMORY, _MEMORY_MIN_FREE_BYTES = Path("/dev/shm"), 4 << 30
if "TMPDIR" not in os.environ and os.path.ismount(_MEMORY) and os.access(_MEMORY, os.W_OK):
    if shutil.disk_usage(_MEMORY).free >= _MEMORY_MIN_FREE_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

# Time limits per example measure the machine, not the code. CI must judge a change by the change,
# so there the examples are the same in every run; at a desk they are new each time.
settings.register_profile("desk", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")


def _stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every connection that is neither a loopback nor a unix socket."""
    if event != "socket.connect":
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return  # a unix socket
    host = address[0]
    if host == "localhost" or ipaddress.ip_address(host).is_loopback:
        return
    raise PermissionError(f"a test wanted to connect to {host}; tests use loopback only")


sys.addaudithook(_stay_on_this_machine)


def pytest_configure(config: pytest.Config) -> None:
    """Make PostgreSQL's own user before the workers start: two of them at once would collide.

    PostgreSQL does not run as root, so for root the wheel runs it as the user ``pgserver``.
    """
    if hasattr(config, "workerinput") or os.geteuid() != 0:
        return
    if subprocess.run(["id", "pgserver"], capture_output=True, check=False).returncode != 0:
        subprocess.run(["useradd", "--shell", "/bin/sh", "pgserver"], check=True)


def pytest_collection_finish() -> None:
    """Never look for garbage again in what stays until the end: modules, tests, the catalog."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure() -> None:
    """What stays frozen is never freed: DuckDB's binding would list all of it as leaked."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of this process that want one."""
    from postgres_server import running_postgres  # a driver that most test files need not load

    with running_postgres() as server:
        yield server
