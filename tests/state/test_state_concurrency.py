"""Many threads on one state store, and two stores on one place: nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

import pytest

from ebbtide.domain.keys import Scope
from ebbtide.domain.quarantine import QuarantineEntry, ReleaseResult
from ebbtide.domain.tenant import Fact, Origin, Sighting
from ebbtide.store.state.base import StateStore

if TYPE_CHECKING:  # every folder has its own conftest, so it is not imported at run time
    from conftest import Place

AT = datetime(2026, 3, 12, 8, tzinfo=UTC)
NUM_THREADS = 8
T = TypeVar("T")


@pytest.fixture
def stores(migrated_place: Place, store: StateStore):  # type: ignore[no-untyped-def]
    """Two stores on one place, as two processes would have them."""
    other = migrated_place.open()
    yield [store, other]
    other.close()


def together(stores: list[StateStore], work: Callable[[StateStore, int], T]) -> list[T]:
    """Run the same work in threads that start at one moment, half of them on each store."""
    barrier = Barrier(NUM_THREADS)

    def one(n: int) -> T:
        barrier.wait()
        return work(stores[n % 2], n)

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return list(pool.map(one, range(NUM_THREADS)))


def test_all_get_the_same_installation_id(stores: list[StateStore]) -> None:
    ids = together(stores, lambda store, n: store.settings.get_or_set("installation_id", f"id {n}"))
    assert len(set(ids)) == 1
    assert stores[0].settings.get("installation_id") == ids[0]


def test_the_same_events_in_opposite_orders_are_counted_exactly(stores: list[StateStore]) -> None:
    entries = [QuarantineEntry(AT, "http", "conflict", b"%d" % n) for n in range(40)]

    def work(store: StateStore, n: int) -> None:
        for _ in range(3):
            store.quarantine.add(entries if n % 4 < 2 else entries[::-1])

    together(stores, work)
    rows = stores[0].quarantine.list_pending()
    assert sorted(row.entry.raw for row in rows) == sorted(e.raw for e in entries)
    assert {row.num_seen for row in rows} == {NUM_THREADS * 3}


def test_a_row_is_released_by_one_only(stores: list[StateStore]) -> None:
    stores[0].quarantine.add([QuarantineEntry(AT, "http", "x", b"%d" % n) for n in range(20)])
    results = [ReleaseResult(r.id, outcome="stored") for r in stores[0].quarantine.list_pending()]

    def work(store: StateStore, n: int) -> int:
        return store.quarantine.settle(results if n % 4 < 2 else results[::-1], AT)

    assert sum(together(stores, work)) == 20


def test_one_spelling_wins_and_no_fact_is_lost(stores: list[StateStore]) -> None:
    uuid = "6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55"
    spellings = [uuid[:n].upper() + uuid[n:] for n in (1, 3, 4, 6, 8, 11, 12, 16)]
    others = [f"tenant {n}" for n in range(30)]

    def work(store: StateStore, n: int) -> str:
        plan = Fact("plan", f"plan {n}", AT + timedelta(hours=n), Origin.EVENT)
        name = Fact("name", f"name {n}", AT - timedelta(hours=n), Origin.EVENT)
        sightings = [Sighting.of(other, AT, [plan, name]) for other in others]
        mine = Sighting.of(spellings[n], AT, [plan, name])
        order = [mine, *sightings] if n % 2 else [*sightings[::-1], mine]
        return store.tenants.remember(order)[uuid]

    answers = set(together(stores, work))
    assert answers == {stores[1].tenants.get(uuid).tenant_id}
    for tenant in stores[0].tenants.list():
        assert (tenant.plan, tenant.name) == (f"plan {NUM_THREADS - 1}", "name 0")
    assert len(stores[0].tenants.list()) == len(others) + 1


def test_reading_goes_on_beside_writing(stores: list[StateStore]) -> None:
    made = stores[0].keys.create("shared", {Scope.READ}, AT).record

    def work(store: StateStore, n: int) -> None:
        for i in range(15):
            assert store.keys.find(made.key_id) is not None
            store.keys.create(f"{n} {i}", {Scope.READ}, AT)
            store.keys.note_use(made.key_id, AT + timedelta(minutes=i))

    together(stores, work)
    assert len(stores[0].keys.list()) == NUM_THREADS * 15 + 1
    used = stores[1].keys.find(made.key_id)
    assert used is not None
    assert used.last_used_at == AT + timedelta(minutes=14)
