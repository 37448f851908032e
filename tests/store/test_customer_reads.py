"""Customers read the same on every engine: lists, profiles, explanations, recorded changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.signals.read import CustomerReader
from ebbtide.store.events.base import EventStore, to_batch
from ebbtide.store.events.reading import EventFilter, count_events, read_events
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from event_factory import NOON, make_event

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def story() -> list[Event]:
    """A customer that declines after a change, and one that saw the change and does not."""
    events: list[Event] = []

    def add(tenant: str, event_type: str, ago: timedelta, **more: Any) -> None:
        name = f"{tenant}-{len(events)}"
        events.append(
            make_event(name, tenant_id=tenant, event_type=event_type, timestamp=NOON - ago, **more)
        )

    for tenant in ("falling", "steady"):
        plan = '{"plan":"pro","price_usd":99,"source":"friends"}'
        add(tenant, "SUBSCRIPTION_STARTED", 70 * DAY, metadata_json=plan, plan="pro")
        for day in range(65):
            add(tenant, "API_CALL_RECEIVED", day * DAY + HOUR)
            if tenant == "steady" or day >= 8:
                add(tenant, "INCIDENT_VIEWED", day * DAY + 2 * HOUR, user_id="u")
        said = '{"kind":"model","model":"m-2"}'
        add(tenant, "CHANGE_RECORDED", 10 * DAY, metadata_json=said, model="m-2")
    return events


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    """An empty state store."""
    opened = SQLiteStateStore(tmp_path / "state.sqlite")
    opened.migrate()
    yield opened
    opened.close()


def test_customers_read_the_same_everywhere(store: EventStore, state: StateStore) -> None:
    store.append(to_batch(story()))
    reader = CustomerReader(load_catalog(), store, state, lambda: NOON)
    found = reader.at_risk(10)
    assert [one.customer.tenant_id for one in found.insights] == ["falling"]
    assert (found.moment.newest_event_at, found.num_gone) == (NOON - HOUR, 0)
    around = found.insights[0].around
    assert [one.text(NOON) for one in around.recent] == ["first use of model m-2, 10 days ago"]
    assert around.correlation is not None
    assert (around.correlation.num_others, around.correlation.num_others_declined) == (1, 0)
    profile = reader.profile("falling")
    assert (profile.subscription.day, str(profile.subscription.price_usd)) == (71, "99")
    assert profile.insight.around == around
    assert (profile.usage.active_days_30d, profile.usage.users_24h) == (22, 0)
    lines = {line.name: line for line in profile.timeline}
    assert (lines["API_CALL_RECEIVED"].num_30d, lines["API_CALL_RECEIVED"].num_7d) == (30, 7)
    explained = reader.explain("falling", "stickiness_30d", known_at=NOON)
    assert explained.num_events == 22
    assert explained.since is None
    empty = reader.at_risk(10, as_of=NOON - 400 * DAY)
    assert (empty.total, empty.moment.newest_event_at) == (0, None)


def test_events_of_several_types_are_counted_and_listed(store: EventStore) -> None:
    store.append(to_batch(story()))
    meant = EventFilter(
        "falling",
        since=NOON - 10 * DAY,
        as_of=NOON,
        event_types=("API_CALL_RECEIVED", "INCIDENT_VIEWED"),
    )
    assert count_events(store, meant) == 10 + 2
    assert len(read_events(store, meant).events) == 12
    assert count_events(store, EventFilter(event_types=())) == 0
    assert read_events(store, EventFilter("a\0b")).events == []


def test_newest_events_are_found_from_the_end_whatever_the_window(store: EventStore) -> None:
    ages = [timedelta(minutes=7 * n * n) for n in range(100)]  # dense at the end, 48 days long
    models = ("gpt-4o", None)
    store.append(
        to_batch(
            [
                make_event(f"e{n}", timestamp=NOON - age, model=models[n % 2])
                for n, age in enumerate(ages)
            ]
        )
    )
    for length in (5 * HOUR, 45 * DAY, None):
        for until in (NOON, NOON - timedelta(hours=30, minutes=17)):
            since = None if length is None else until - length
            meant = EventFilter(since=since, as_of=until)
            inside = [
                NOON - age
                for age in ages
                if age >= NOON - until and (since is None or NOON - age > since)
            ]
            assert count_events(store, meant) == len(inside)
            listed, cursor = [], None
            while True:
                page = read_events(store, meant, cursor=cursor, limit=30)
                listed += [one.timestamp for one in page.events]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert listed == inside
    named = EventFilter(as_of=NOON, said={"model": "gpt-4o"})
    silent = EventFilter(as_of=NOON, said={"model": None})
    assert count_events(store, named) == count_events(store, silent) == 50
    assert {one.model for one in read_events(store, silent).events} == {None}
