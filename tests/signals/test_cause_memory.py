"""Causes that are kept are those that reading everything again would find."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.signals.cause_memory import Cause, CauseMemory
from ebbtide.store.events.base import EventStore, to_batch
from event_engines import chosen_engines, home_of
from event_factory import NOON, make_event

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CATALOG = load_catalog()
SINCE, AS_OF = NOON - 30 * DAY + timedelta(minutes=7), NOON + timedelta(minutes=20)
TENANTS = ("acme", "other", "gone")


@pytest.fixture(params=chosen_engines())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """An empty store of each engine."""
    for home in home_of(request, request.param, lambda: tmp_path, migrated=True):
        made = home.open()
        made.migrate()
        yield made


def incident(name: str, hours: float, tenant: str = "acme", evidence: str = "{}") -> Event:
    return make_event(
        name,
        event_type="INCIDENT_CREATED",
        timestamp=NOON - timedelta(hours=hours),
        tenant_id=tenant,
        metadata_json=evidence,
    )


BUDGET, MISUSE = '{"limit":"cost"}', '{"input_violation":true}'
FIRST = [
    incident("in the first part of an hour", 30 * 24 - 0.12, evidence=BUDGET),
    incident("too old", 30 * 24, evidence=BUDGET),
    incident("on a full hour", 48, evidence=MISUSE),
    incident("no rule", 47.5),
    incident("of another", 47.5, "other", BUDGET),
    incident("of one that goes", 5, "gone", MISUSE),
    incident("open hour", -0.2, evidence=MISUSE),
    incident("not yet", -0.5, evidence=MISUSE),
]


def add(store: EventStore, *events: Event) -> None:
    store.append(to_batch(events))


def anew(store: EventStore) -> list[Cause]:
    return sorted(CauseMemory(CATALOG, store).causes(SINCE, AS_OF, TENANTS))


def test_memory_tells_what_is_there_now(store: EventStore) -> None:
    memory = CauseMemory(CATALOG, store)
    assert memory.causes(SINCE, AS_OF, TENANTS) == []
    add(store, *FIRST)
    found = sorted(memory.causes(SINCE, AS_OF, TENANTS))
    assert [(one.tenant_id, one.attribution) for one in found] == [
        ("acme", "BUDGET_EXCEEDED"),
        ("acme", "USER_MISUSE"),
        ("acme", "USER_MISUSE"),
        ("gone", "USER_MISUSE"),
        ("other", "BUDGET_EXCEEDED"),
    ]
    assert [one.tenant_id for one in memory.causes(SINCE, AS_OF, ["other"])] == ["other"]

    add(store, incident("late", 47.6, evidence=BUDGET), incident("later still", 47.4))
    assert sorted(memory.causes(SINCE, AS_OF, TENANTS)) == anew(store)
    assert len(anew(store)) == 6

    store.erase_tenant("gone")
    left = sorted(memory.causes(SINCE, AS_OF, TENANTS))
    assert left == anew(store) and "gone" not in {one.tenant_id for one in left}
    assert len(left) == 5


def test_what_was_not_known_is_not_told(store: EventStore) -> None:
    memory = CauseMemory(CATALOG, store)
    add(store, *FIRST)
    assert len(memory.causes(SINCE, AS_OF, TENANTS)) == 5
    known_at = NOON - 24 * HOUR
    assert len(memory.causes(SINCE, AS_OF, TENANTS, known_at)) == 3


def test_hours_that_are_as_they_were_are_not_read_again(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = CauseMemory(CATALOG, store)
    add(store, *FIRST)
    before = memory.causes(SINCE, AS_OF, TENANTS)
    read = []
    original = store.query_arrow

    def counted(sql: str, params: dict[str, object]) -> object:
        read.append(params)
        return original(sql, params)

    monkeypatch.setattr(store, "query_arrow", counted)
    assert sorted(memory.causes(SINCE, AS_OF, TENANTS)) == sorted(before)
    assert len(read) == 2  # the parts of hours at both ends
