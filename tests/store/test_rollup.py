"""The roll-up never differs from the events, whatever happens in whatever order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from ebbtide.domain.event import Event, Outcome
from ebbtide.store.events.base import EventStore, same_content, to_batch
from ebbtide.store.events.relations import event_counts, events_within
from event_factory import NOON, make_event
from homes import Home

HOUR = timedelta(hours=1)
US = timedelta(microseconds=1)
#: Examples in a usual run, by what a commit and a reopening cost on each engine.
EXAMPLES = {"duckdb": 25, "postgres": 25, "chdb": 8}

#: Moments on full hours, a microsecond beside them, and anywhere: six hours around noon.
moments = st.one_of(
    st.builds(
        lambda hours, off: NOON + hours * HOUR + off * US,
        st.integers(-3, 3),
        st.sampled_from([-1, 0, 0, 1]),
    ),
    st.builds(
        lambda off: NOON + off * US,
        st.integers(-3 * HOUR // US, 3 * HOUR // US),
    ),
)

#: What a producer may send; few names, so that ids, tenants and types meet again and again.
sent = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from([f"id-{i}" for i in range(12)]),
        "tenant_id": st.sampled_from(["a", "b", "c"]),
        "event_type": st.sampled_from(["LOGIN", "REPLAY_EXECUTED"]),
        "timestamp": moments,
        "received_at": moments,
        "cost_usd": st.one_of(
            st.none(),
            st.integers(-(10**18) + 1, 10**18 - 1).map(lambda units: Decimal(units).scaleb(-10)),
        ),
        "latency_ms": st.one_of(st.none(), st.integers(0, 2**53 - 1)),
    }
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(sent, min_size=1, max_size=12)),
        st.tuples(st.just("append"), st.lists(sent, min_size=1, max_size=12)),
        st.tuples(st.just("repeat"), st.integers(0, 5)),
        st.tuples(st.just("erase"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("maintain"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
    ),
    min_size=1,
    max_size=8,
)
#: A start (or none), an end, moments in between that no row may straddle, and what was known.
windows = st.lists(
    st.tuples(
        st.one_of(st.none(), moments),
        moments,
        st.lists(moments, max_size=4),
        st.one_of(st.none(), moments),
        st.sampled_from([None, ("LOGIN",), ("LOGIN", "REPLAY_EXECUTED")]),
    ),
    min_size=3,
    max_size=6,
)

Totals = dict[tuple[str, str], tuple[Any, ...]]


@dataclass
class Model:
    """What the store should hold: per identity, the first event that came."""

    kept: dict[tuple[str, str], Event] = field(default_factory=dict)

    def append(self, events: Iterable[Event]) -> list[Outcome]:
        outcomes = []
        for event in events:
            first = self.kept.get((event.tenant_id, event.event_uuid))
            if first is None:
                self.kept[event.tenant_id, event.event_uuid] = event
                outcomes.append(Outcome.STORED)
            elif same_content(_content(first), _content(event)):
                outcomes.append(Outcome.DUPLICATE)
            else:
                outcomes.append(Outcome.CONFLICT)
        return outcomes

    def erase(self, tenant_id: str) -> int:
        gone = [key for key in self.kept if key[0] == tenant_id]
        for key in gone:
            del self.kept[key]
        return len(gone)

    def totals(
        self,
        start: datetime | None,
        as_of: datetime,
        known_at: datetime | None,
        event_types: tuple[str, ...] | None,
    ) -> Totals:
        groups: dict[tuple[str, str], list[Event]] = {}
        for event in self.kept.values():
            known = known_at is None or event.received_at <= known_at
            meant = event_types is None or event.event_type in event_types
            inside = event.timestamp <= as_of and (start is None or event.timestamp > start)
            if known and meant and inside:
                groups.setdefault((event.tenant_id, event.event_type), []).append(event)
        return {key: _sum_up(events) for key, events in groups.items()}


def _content(event: Event) -> dict[str, Any]:
    return {**event._asdict(), "metadata": event.metadata_json}


def _sum_up(events: list[Event]) -> tuple[Any, ...]:
    costs = [event.cost_usd for event in events if event.cost_usd is not None]
    latencies = [event.latency_ms for event in events if event.latency_ms is not None]
    return (
        len(events),
        len(costs),
        sum(costs) if costs else None,
        len(latencies),
        sum(latencies) if latencies else None,
        min(event.timestamp for event in events),
        max(event.timestamp for event in events),
        max(event.received_at for event in events),
    )


def _counted(
    store: EventStore, relation: str, params: dict[str, Any], after: datetime | None = None
) -> Totals:
    """Sums of a relation; with ``after``, of the rows whose newest event is later."""
    rows = store.query(
        "SELECT tenant_id, event_type, SUM(num), SUM(num_cost), SUM(cost_usd), SUM(num_latency),"
        " SUM(latency_ms), MIN(first_at), MAX(last_at), MAX(last_received_at)"
        f" FROM {relation} event_counts"
        + ("" if after is None else " WHERE last_at > :after")
        + " GROUP BY tenant_id, event_type",
        {**params, "after": after},
    )
    return {row[:2]: row[2:] for row in rows}


def test_counts_equal_a_scan_of_what_was_kept(home: Home) -> None:
    _check_counts(home, EXAMPLES[home.engine])


@pytest.mark.slow
def test_counts_equal_a_scan_of_what_was_kept_in_many_examples(home: Home) -> None:
    _check_counts(home, 40 * EXAMPLES[home.engine])


def _check_counts(home: Home, examples: int) -> None:
    """The property, on one database that grows: each example has tenants of its own."""
    store = home.open()
    store.migrate()
    numbers = count()

    @settings(
        max_examples=examples,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(steps=steps, windows=windows)
    def check(steps: list[tuple[str, Any]], windows: list[tuple[Any, ...]]) -> None:
        nonlocal store
        example = next(numbers)
        model = Model()
        batches: list[list[Event]] = []

        def tenant(name: str) -> str:
            return f"{name}-{example}"

        for step, detail in steps:
            if step == "append":
                batch = [make_event(**{**d, "tenant_id": tenant(d["tenant_id"])}) for d in detail]
                batches.append(batch)
                assert list(store.append(to_batch(batch))) == model.append(batch)
            elif step == "repeat" and batches:
                batch = batches[detail % len(batches)]
                assert list(store.append(to_batch(batch))) == model.append(batch)
            elif step == "erase":
                assert store.erase_tenant(tenant(detail)) == model.erase(tenant(detail))
            elif step == "maintain":
                store.maintain()
            elif step == "reopen":
                store = home.reopen(store)

        tenants = [tenant(name) for name in "abc"]
        for start, as_of, cuts, known_at, event_types in windows:
            if start is not None and start > as_of:
                start, as_of = as_of, start
            narrowed = {"event_types": event_types, "tenants": tenants}
            expected = model.totals(start, as_of, known_at, event_types)
            relation, params = event_counts(start, as_of, cuts, known_at=known_at, **narrowed)
            assert ("event_rollup" in relation) is (known_at is None and "hour_end" in relation)
            assert _counted(store, relation, params) == expected
            for cut in cuts:
                if cut <= as_of and (start is None or cut >= start):
                    later = model.totals(cut, as_of, known_at, event_types)
                    assert _counted(store, relation, params, after=cut) == later
            if known_at is None:  # the raw scan, which knows no roll-up
                known_at = NOON + 100 * HOUR
                raw, raw_params = event_counts(start, as_of, cuts, known_at=known_at, **narrowed)
                assert "event_rollup" not in raw
                assert _counted(store, raw, raw_params) == expected
            within, values = events_within(start, as_of, known_at=known_at, **narrowed)
            ((num,),) = store.query(f"SELECT COUNT(*) FROM {within} AS events", values)
            assert num == sum(total[0] for total in expected.values())

    check()


def test_the_rollup_of_a_store_equals_its_events_hour_by_hour(home: Home) -> None:
    """Each hour alone, and hours that only a late event fills."""
    store = home.open()
    store.migrate()
    events = [
        make_event(f"{hour}-{offset}", timestamp=NOON + hour * HOUR + offset * US, latency_ms=1)
        for hour in range(-30, 30)
        for offset in (-1, 0, 1)
    ]
    late = [event for i, event in enumerate(events) if i % 7 == 0]
    store.append(to_batch([event for event in events if event not in late]))
    store.append(to_batch(late))
    rows = store.query(
        "SELECT hour_end, SUM(num), SUM(latency_ms), MIN(first_at), MAX(last_at)"
        " FROM event_rollup GROUP BY hour_end ORDER BY hour_end"
    )
    first, last = NOON - 30 * HOUR, NOON + 30 * HOUR
    inner = [
        (NOON + hour * HOUR, 3, 3, NOON + (hour - 1) * HOUR + US, NOON + hour * HOUR)
        for hour in range(-29, 30)
    ]
    assert rows == [
        (first, 2, 2, first - US, first),
        *inner,
        (last, 1, 1, last - HOUR + US, last - HOUR + US),
    ]
