"""One database with the learners' tables for a whole test file, emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from ebbtide.learners.schema import DDL
from learner_tables import Learners
from postgres_server import PostgresServer


@pytest.fixture(scope="session")
def learners_template(postgresql: PostgresServer) -> str:
    """A database with the tables, cloned wherever one is needed."""
    name = "template_learners"
    postgresql.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(postgresql.url(name), autocommit=True) as connection:
        connection.execute(DDL)
    return name


@pytest.fixture(scope="module")
def learners_url(postgresql: PostgresServer, learners_template: str) -> Iterator[str]:
    """The URL of a database with the tables."""
    with postgresql.database(f"TEMPLATE {learners_template}") as url:
        yield url


@pytest.fixture(scope="module")
def _connected(learners_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(learners_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off; SET client_min_messages = error")
        yield connection


@pytest.fixture
def learners(_connected: psycopg.Connection) -> Iterator[Learners]:
    """The tables, empty; what a test makes beside them goes with it."""
    _connected.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    _connected.execute(DDL)
    yield Learners(_connected)


@pytest.fixture
def bare(_connected: psycopg.Connection) -> Iterator[Learners]:
    """No table at all."""
    _connected.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    yield Learners(_connected)
