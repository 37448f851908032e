"""Fixtures that run a test once on every event store engine; a ``conftest.py`` takes them in."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ebbtide.store.events.base import EventStore
from homes import Home
from optional_package import IN_CI, needed
from postgres_server import PostgresServer

#: A new engine joins the suite by one word here and one home below.
ENGINES = ["duckdb", "postgres", "chdb"]


def chosen_engines() -> list[str]:
    """``TEST_ENGINES=duckdb,chdb`` narrows a run while working; CI always runs all."""
    words = os.environ.get("TEST_ENGINES", "").replace(",", " ").split()
    unknown = set(words) - set(ENGINES)
    if unknown:
        raise pytest.UsageError(f"TEST_ENGINES names {sorted(unknown)}; known are {ENGINES}")
    if words and IN_CI and set(words) != set(ENGINES):
        raise pytest.UsageError("TEST_ENGINES leaves engines out, and in CI every engine runs")
    return [engine for engine in ENGINES if not words or engine in words]


def _engine_class(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"ebbtide.store.events.{module}"), name)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"engine {module} cannot be imported: {error}")


# -- PostgreSQL: one real server per process, one database per test ------------------------


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    if "postgres" not in chosen_engines():
        pytest.skip("TEST_ENGINES leaves PostgreSQL out")
    server: PostgresServer = request.getfixturevalue("postgresql")
    return server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """A migrated, empty database that is cloned for each test: faster than migrating."""
    name = "template_events"
    postgres_server.execute(f"CREATE DATABASE {name}")
    store = _engine_class("postgres", "PostgresEventStore")(postgres_server.url(name))
    store.migrate()
    store.close()
    return name


def _postgres_home(server: PostgresServer, template: str | None) -> Iterator[Home]:
    store_class = _engine_class("postgres", "PostgresEventStore")
    with server.database(f"TEMPLATE {template}" if template else "") as url:
        home = Home("postgres", lambda: store_class(url), url)
        yield home
        home.close()


# -- ClickHouse in process, and DuckDB -----------------------------------------------------


@pytest.fixture(scope="session")
def chdb_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for the whole process: it can hold one engine only, with many databases.

    A connection that stays open keeps the engine up; otherwise every test would start it anew.
    """
    chdb = needed("chdb")
    folder = tmp_path_factory.mktemp("chdb")
    with closing(chdb.connect(str(folder))):
        yield folder


def _chdb_home(folder: Path) -> Iterator[Home]:
    name = f"test_{uuid4().hex}"
    url = f"chdb://{folder}?database={name}"
    store_class = _engine_class("clickhouse", "ClickHouseEventStore")
    home = Home("chdb", lambda: store_class(url), url)
    yield home
    home.close()
    with closing(needed("chdb").connect(str(folder))) as con:
        con.query(f"DROP DATABASE IF EXISTS {name} SYNC")


def _duckdb_home(folder: Path) -> Iterator[Home]:
    path = folder / "events.duckdb"
    store_class = _engine_class("duckdb", "DuckDBEventStore")
    home = Home("duckdb", lambda: store_class(path), str(path))
    yield home
    home.close()


def home_of(
    request: pytest.FixtureRequest, engine: str, make_folder: Callable[[], Path], *, migrated: bool
) -> Iterator[Home]:
    """The place of one database, which goes when the generator is asked on.

    Args:
        make_folder: a fresh folder for the engine that needs one.
        migrated: ready for use; else nothing was ever created in it.
    """
    if engine == "duckdb":
        yield from _duckdb_home(make_folder())
    elif engine == "chdb":
        yield from _chdb_home(request.getfixturevalue("chdb_folder"))
    else:
        server = request.getfixturevalue("postgres_server")
        template = request.getfixturevalue("postgres_template") if migrated else None
        yield from _postgres_home(server, template)


# -- what tests ask for --------------------------------------------------------------------


@pytest.fixture(params=chosen_engines())
def engine(request: pytest.FixtureRequest) -> str:
    """The engine word of this run of the test."""
    word: str = request.param
    return word


@pytest.fixture
def home(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Iterator[Home]:
    """The place of a database that is ready for use; ``home.open()`` gives a store on it."""
    yield from home_of(request, engine, lambda: tmp_path, migrated=True)


@pytest.fixture
def empty_home(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Iterator[Home]:
    """The place of a database in which nothing was ever created."""
    yield from home_of(request, engine, lambda: tmp_path, migrated=False)


@pytest.fixture
def store(home: Home) -> EventStore:
    """An empty, migrated event store."""
    opened = home.open()
    opened.migrate()
    return opened
