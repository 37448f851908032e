"""Causes that are kept are those that reading everything again would find."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.signals.cause_memory import CauseMemory, Judged
from ebbtide.signals.watch import Watch
from ebbtide.store.events.base import EventStore, to_batch
from event_engines import chosen_engines, home_of
from event_factory import NOON, make_event

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
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


def counted(
    memory: CauseMemory, known_at: datetime | None = None, named: tuple[str, ...] | None = TENANTS
) -> dict[tuple[str, str], int]:
    """Causes of the whole window, and of the last two days, by tenant."""
    found = {}
    for since in (SINCE, AS_OF - 2 * DAY):
        count = memory.shares(SINCE, AS_OF, named, known_at)
        for tenant in named or TENANTS:
            for cause, num in count(tenant, since, AS_OF).items():
                found[tenant, cause] = found.get((tenant, cause), 0) + num
    return found


def told(memory: CauseMemory, known_at: datetime | None = None) -> list[Judged]:
    return memory.judged(AS_OF - 47 * HOUR, AS_OF, known_at)


def test_memory_tells_what_is_there_now(store: EventStore) -> None:
    erased = [0]
    memory = CauseMemory(CATALOG, store, Watch(store, lambda: erased[0]))

    def anew() -> CauseMemory:
        return CauseMemory(CATALOG, store)

    assert counted(memory) == {} and told(memory) == []
    add(store, *FIRST)
    assert counted(memory, named=None) == {
        ("acme", "BUDGET_EXCEEDED"): 1,
        ("acme", "USER_MISUSE"): 3,  # one on the full hour 48 hours before noon is too old
        ("gone", "USER_MISUSE"): 2,
        ("other", "BUDGET_EXCEEDED"): 2,
    }
    # A few tenants alone, read by themselves, and from what is kept.
    for one in (anew(), memory):
        assert counted(one, named=("other",)) == {("other", "BUDGET_EXCEEDED"): 2}
        assert counted(one) == counted(memory, named=None)
    assert [one.incident.incident_id for one in told(memory)] == [
        one.incident.incident_id for one in told(anew())
    ]

    add(store, incident("late", 46.6, evidence=BUDGET), incident("later still", 46.4))
    assert counted(memory)["acme", "BUDGET_EXCEEDED"] == 3
    assert counted(memory, named=None) == counted(anew(), named=None)
    assert told(memory) == told(anew()) and len(told(memory)) == 4

    store.erase_tenant("gone")
    erased[0] = 1
    assert counted(memory, named=None) == counted(anew(), named=None)
    assert told(memory) == told(anew()) and len(told(memory)) == 3
    assert ("gone", "USER_MISUSE") not in counted(memory)


def test_what_was_not_known_is_not_told(store: EventStore) -> None:
    memory = CauseMemory(CATALOG, store)
    add(store, *FIRST)
    for named in (TENANTS, None, TENANTS):
        assert sum(counted(memory, NOON - 24 * HOUR, named).values()) == 4
        assert sum(counted(memory, None, named).values()) == 8
    assert [one.incident.tenant_id for one in told(memory, NOON - 5 * HOUR)] == []
    assert [one.incident.tenant_id for one in told(memory, NOON - 5 * HOUR + SECOND)] == ["gone"]


def test_hours_that_are_as_they_were_are_not_read_again(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = CauseMemory(CATALOG, store)
    add(store, *FIRST)
    before = counted(memory, named=None), told(memory)
    read = []
    original = store.query_arrow

    def counting(sql: str, params: dict[str, object]) -> object:
        read.append(params)
        return original(sql, params)

    monkeypatch.setattr(store, "query_arrow", counting)
    assert (counted(memory, named=None), told(memory)) == before
    assert not read
    add(store, incident("another", 3))
    counted(memory, named=None)
    assert len(read) == 1  # that hour
