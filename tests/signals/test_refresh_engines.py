"""The same life on every engine: what runs bring forward equals a full reading on all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from company import Company

from ebbtide.store.state.base import StateStore
from ebbtide.store.state.postgres import PostgresStateStore
from event_engines import chosen_engines, home_of
from postgres_server import PostgresServer

DAY = timedelta(days=1)
TYPES = (
    "API_CALL_RECEIVED", "LLM_CALL_MADE", "INCIDENT_CREATED", "INCIDENT_VIEWED", "REPLAY_EXECUTED",
    "EXPORT_GENERATED", "REPLAY_ABORTED", "POLICY_BLOCK_REPEAT", "SESSION_IDLE_TIMEOUT", "LOGIN",
)  # fmt: skip


def live(company: Company, seed: int, num_runs: int) -> None:
    """Some weeks of random events of every age, with runs by two processes in between."""
    draw = random.Random(seed)
    other = company.new_refresher()
    for number in range(num_runs):
        events = []
        for _ in range(draw.randrange(12)):
            age = draw.choice([0, 0, 1, 3, 24, 24 * 7, 24 * 29, 24 * 90]) * timedelta(hours=1)
            at = company.now - age * draw.choice([1, draw.random()])
            tenant = draw.choice(["acme", "bolt", "core"])
            session = draw.choice([None, "s-1", "s-2"])
            events.append(
                company.event(draw.choice(TYPES), at, tenant, session_id=session, policy_id="p")
            )
        if draw.random() < 0.2:
            events.append(company.event("EXPORT_GENERATED", company.now + 2 * DAY, "acme"))
        if events:
            company.store(*events)
        if draw.random() < 0.1:
            company.erase("core")
        if draw.random() < 0.2:
            company.events.maintain()
        pause = draw.choice([timedelta(minutes=15), timedelta(hours=5), DAY, 4 * DAY])
        company.tick(pause, other if number % 3 == 1 else None)
        company.check()


@pytest.fixture(params=chosen_engines())
def on_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Company]:
    """A company on each event store engine, with its state in SQLite."""
    for home in home_of(request, request.param, lambda: tmp_path, migrated=True):
        one = Company(tmp_path, open_events=home.open)
        yield one
        one.state.close()


def test_every_event_store_brings_facts_forward_alike(on_engine: Company) -> None:
    live(on_engine, seed=11, num_runs=12)


@pytest.fixture
def open_state(postgresql: PostgresServer) -> Callable[[], StateStore]:
    """Opens the state store in a database of its own on PostgreSQL."""
    url = postgresql.new_database("TEMPLATE template0")
    return lambda: PostgresStateStore(url)


def test_a_state_store_on_postgresql_keeps_the_same(
    tmp_path: Path, open_state: Callable[[], StateStore]
) -> None:
    one = Company(tmp_path, open_state=open_state)
    try:
        live(one, seed=12, num_runs=25)
    finally:
        one.close()


def test_two_processes_that_write_at_once_wait_for_each_other(
    tmp_path: Path, open_state: Callable[[], StateStore]
) -> None:
    """The second one finds the facts moved on, does its work anew and writes what is right."""
    one = Company(tmp_path, open_state=open_state)
    try:
        one.happens("EXPORT_GENERATED", DAY, 20 * DAY)
        one.tick()
        other = one.new_refresher()
        for _ in range(4):
            one.now += DAY
            one.happens("REPLAY_EXECUTED", timedelta(0))
            mine, theirs = one.prepare(one.now), one.prepare(one.now, other)
            one.write(mine)
            one.write(theirs, other)
            one.check()
    finally:
        one.close()
