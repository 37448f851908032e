"""What was stored since an earlier look is found, whatever its times say and whatever happened."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from ebbtide.domain.event import Event, Outcome
from ebbtide.store.events.base import Change, EventStore, to_batch
from event_factory import NOON, make_event, make_many
from homes import Home

HOUR = timedelta(hours=1)
US = timedelta(microseconds=1)
#: Examples in a usual run, by what a commit and a reopening cost on each engine.
EXAMPLES = {"duckdb": 20, "postgres": 25, "chdb": 5}


def missing(changes: Iterable[Change], events: Iterable[Event]) -> list[Event]:
    """Events that no change covers."""
    spans = {(one.tenant_id, one.event_type): one for one in changes}
    uncovered = []
    for event in events:
        span = spans.get((event.tenant_id, event.event_type))
        if span is None or not span.first_at <= event.timestamp <= span.last_at:
            uncovered.append(event)
    return uncovered


def test_a_store_without_events_has_no_changes(store: EventStore) -> None:
    changes, since = store.changes(0)
    assert changes == []
    assert store.changes(since) == ([], since)


def test_each_look_tells_what_came_since_the_last_one(home: Home, store: EventStore) -> None:
    store.append(
        to_batch(
            [
                make_event("a", tenant_id="b", timestamp=NOON + US),
                make_event("b", tenant_id="b", timestamp=NOON - 50 * HOUR),
                make_event("c", tenant_id="a", event_type="REPLAY_EXECUTED"),
                make_event("d", tenant_id="a"),
            ]
        )
    )
    changes, since = store.changes(0)
    assert changes == [
        Change("a", "LOGIN", NOON, NOON),
        Change("a", "REPLAY_EXECUTED", NOON, NOON),
        Change("b", "LOGIN", NOON - 50 * HOUR, NOON + US),
    ]
    assert store.changes(since) == ([], since)
    store.append(to_batch([make_event("e", tenant_id="c")]))
    changes, later = store.changes(since)
    assert changes == [Change("c", "LOGIN", NOON, NOON)]
    assert store.changes(later) == ([], later)
    assert store.changes(since)[0] == changes
    store = home.reopen(store)
    assert store.changes(since)[0] == changes
    assert store.changes(later)[0] == []
    assert len(store.changes(0)[0]) == 4


def test_an_event_that_says_it_came_long_ago_is_a_change(store: EventStore) -> None:
    """Late and imported events bring their own times, so no time tells when they were stored."""
    store.append(to_batch([make_event("a")]))
    _, since = store.changes(0)
    old = NOON - 1000 * 24 * HOUR
    store.append(to_batch([make_event("b", timestamp=old, received_at=old)]))
    assert store.changes(since)[0] == [Change("acme", "LOGIN", old, old)]


def test_what_only_repeats_is_no_change(store: EventStore) -> None:
    event = make_event("a")
    store.append(to_batch([event]))
    _, since = store.changes(0)
    assert list(store.append(to_batch([event]))) == [Outcome.DUPLICATE]
    assert store.changes(since)[0] == []


def test_upkeep_hides_no_change_and_makes_none(
    home: Home, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums that are folded into one keep the newest of their numbers."""
    if home.engine == "duckdb":
        from ebbtide.store.events import duckdb

        monkeypatch.setattr(duckdb, "FOLD_ROWS", 10)
        monkeypatch.setattr(duckdb, "REFOLD_ROWS", 0)
        monkeypatch.setattr(duckdb, "LARGE_COMMIT_EVENTS", 300)
    seen, since = store.changes(0)
    for round_ in range(6):
        events = make_many(400 if round_ % 2 else 100, seed=round_, span=timedelta(hours=2))
        store.append(to_batch(events))
        if round_ % 3 == 0:
            store.maintain()
        seen, since = store.changes(since)
        assert missing(seen, events) == []
        store.maintain()
        assert store.changes(since) == ([], since)
    store = home.reopen(store)
    assert store.changes(since)[0] == []


def test_events_after_an_erasure_are_changes_although_the_newest_number_went_with_it(
    home: Home, store: EventStore
) -> None:
    store.append(to_batch([make_event("a", tenant_id="kept")]))
    for i in range(5):
        store.append(to_batch([make_event(f"b{i}", tenant_id="erased")]))
    _, since = store.changes(0)
    store.erase_tenant("erased")
    for name in ("one", "two", "three"):
        store = home.reopen(store)
        assert store.changes(since)[0] == []
        store.append(to_batch([make_event("c", tenant_id=name)]))
        changes, since = store.changes(since)
        assert changes == [Change(name, "LOGIN", NOON, NOON)]


def test_a_number_that_this_store_never_gave_reports_everything(store: EventStore) -> None:
    """After a restore from a backup the reader may be ahead of the store."""
    store.append(to_batch([make_event("a")]))
    _, since = store.changes(0)
    changes, again = store.changes(since + (1 << 40))
    assert changes == [Change("acme", "LOGIN", NOON, NOON)]
    assert again == since


sent = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from([f"id-{i}" for i in range(20)]),
        "tenant_id": st.sampled_from(["a", "b", "c"]),
        "event_type": st.sampled_from(["LOGIN", "REPLAY_EXECUTED"]),
        "timestamp": st.integers(-200, 200).map(lambda minutes: NOON + minutes * HOUR / 60),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(sent, min_size=1, max_size=8)),
        st.tuples(st.just("append"), st.lists(sent, min_size=1, max_size=8)),
        st.tuples(st.just("look"), st.none()),
        st.tuples(st.just("erase"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("maintain"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
    ),
    min_size=2,
    max_size=12,
)


def test_no_stored_event_is_ever_missed(home: Home) -> None:
    _check_looks(home, EXAMPLES[home.engine])


@pytest.mark.slow
def test_no_stored_event_is_ever_missed_in_many_examples(home: Home) -> None:
    _check_looks(home, 20 * EXAMPLES[home.engine])


def _check_looks(home: Home, examples: int) -> None:
    """Looks, appends, erasures, upkeep and restarts in any order."""
    store = home.open()
    store.migrate()
    numbers = count()

    @settings(
        max_examples=examples,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(steps=steps)
    def check(steps: list[tuple[str, Any]]) -> None:
        nonlocal store
        example = next(numbers)
        _, since = store.changes(0)
        new: list[Event] = []
        for step, detail in [*steps, ("look", None)]:
            if step == "append":
                batch = [
                    make_event(**{**d, "tenant_id": f"{d['tenant_id']}-{example}"}) for d in detail
                ]
                outcomes = store.append(to_batch(batch))
                new += [e for e, o in zip(batch, outcomes, strict=True) if o == Outcome.STORED]
            elif step == "look":
                changes, since = store.changes(since)
                assert missing(changes, new) == []
                assert {one.tenant_id for one in changes} <= {event.tenant_id for event in new}
                new = []
            elif step == "erase":
                tenant_id = f"{detail}-{example}"
                store.erase_tenant(tenant_id)
                new = [event for event in new if event.tenant_id != tenant_id]
            elif step == "maintain":
                store.maintain()
            elif step == "reopen":
                store = home.reopen(store)

    check()


def test_looks_beside_writers_miss_nothing(home: Home) -> None:
    """PostgreSQL takes several writers; their commits do not come in the order of their numbers."""
    num_writers = 3 if home.engine == "postgres" else 1
    stores = [home.open() for _ in range(num_writers)]
    for one in stores:
        one.migrate()
    batches = [
        [
            [
                make_event(
                    f"{writer}-{i}-{j}", tenant_id=f"t{(i * 7 + j) % 5}", timestamp=NOON + i * HOUR
                )
                for j in range(20)
            ]
            for i in range(40)
        ]
        for writer in range(num_writers)
    ]
    faults: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for batch in batches[number]:
                stores[number].append(to_batch(batch))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(num_writers)]
    for thread in threads:
        thread.start()
    reader, since = stores[0], 0
    everything = "SELECT tenant_id, timestamp, event_uuid FROM events"
    told: list[list[Change]] = []
    stored: set[tuple[Any, ...]] = set()
    while True:
        alive = any(thread.is_alive() for thread in threads)
        new = set(reader.query(everything)) - stored
        changes, since = reader.changes(since)
        told.append(changes)
        # An event was told by this look, or by the one before, if it came between two reads.
        spans = [one for changes in told[-2:] for one in changes]
        for tenant_id, timestamp, _ in new:
            assert any(
                one.tenant_id == tenant_id and one.first_at <= timestamp <= one.last_at
                for one in spans
            )
        stored |= new
        if not alive:
            break
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(stored) == num_writers * 800
