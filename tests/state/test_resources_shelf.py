"""Resources on their shelf: a repeat changes nothing, and the newest is the newest in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ebbtide.domain.resource import (
    Edge,
    EdgeKind,
    Origin,
    ProbeState,
    ResourceSample,
    StoredProjection,
)
from ebbtide.store.state.base import StateStore

AT = datetime(2026, 3, 12, 8, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PROJECTION = StoredProjection(
    "disk", AT, "days_to_limit/1", 81.0, 100.0, "growing", 4.0, 3.0, None, 4.5, 99, 10.0, 1, True
)


def sample(minutes: int, used: float, resource: str = "disk") -> ResourceSample:
    return ResourceSample(resource, AT + minutes * MINUTE, used, 100.0, "GB", Origin.GAUGE)


def test_a_repeat_changes_nothing(store: StateStore) -> None:
    assert store.resources.add([sample(0, 1), sample(5, 2)]) == 2
    assert store.resources.add([sample(5, 99), sample(10, 3)]) == 1
    assert store.resources.window("disk", AT - MINUTE, AT + 60 * MINUTE) == [
        sample(0, 1),
        sample(5, 2),
        sample(10, 3),
    ]


def test_a_late_sample_is_not_the_newest(store: StateStore) -> None:
    store.resources.add([sample(10, 5), sample(3, 1, "memory")])
    store.resources.add([sample(5, 4)])
    assert store.resources.newest() == [sample(10, 5), sample(3, 1, "memory")]
    assert store.resources.newest_at(AT + 7 * MINUTE) == [sample(5, 4), sample(3, 1, "memory")]
    assert store.resources.newest_at(AT) == []
    assert store.resources.num_resources() == 2


def test_windows_are_open_on_the_left(store: StateStore) -> None:
    store.resources.add([sample(n, n) for n in range(5)])
    found = store.resources.window("disk", AT + MINUTE, AT + 3 * MINUTE)
    assert [one.used for one in found] == [2, 3]


def test_what_came_later_is_not_known(store: StateStore) -> None:
    """Samples without a moment of their arrival came at their own."""
    late = replace(sample(2, 9), received_at=AT + 30 * MINUTE)
    store.resources.add([sample(1, 5), late, sample(40, 7)])
    for minute, used in ((0, []), (1, [5]), (29, [5]), (30, [5, 9]), (40, [5, 9, 7])):
        known = store.resources.as_known(AT + minute * MINUTE)
        end = AT + 60 * MINUTE
        assert [one.used for one in known.window("disk", AT, end)] == used
        assert [value for _, value in known.values("disk", AT, end)] == used
        assert [one.used for one in known.newest_at(end)] == used[-1:]
        assert (known.first_at("disk", AT) is None) == (used == [])
        peak = known.peak("disk", AT, end)
        assert (None if peak is None else peak.used) == max(used, default=None)
        assert max((top for _, top in known.hourly_peaks("disk", AT, end)), default=None) == max(
            used, default=None
        )
    assert len(store.resources.as_known(None).window("disk", AT, AT + 60 * MINUTE)) == 3


def test_many_samples_go_in_at_once(store: StateStore) -> None:
    assert store.resources.add([sample(n, n) for n in range(1234)]) == 1234
    assert len(store.resources.window("disk", AT - MINUTE, AT + 2000 * MINUTE)) == 1234


def test_hours_keep_their_peak_and_their_last_moment(store: StateStore) -> None:
    store.resources.add([sample(0, 1), sample(10, 9), sample(20, 4), sample(40, 2), sample(95, 3)])
    assert store.resources.hourly_peaks("disk", AT - MINUTE, AT + 99 * MINUTE) == [
        (AT + 20 * MINUTE, 9),
        (AT + 40 * MINUTE, 2),
        (AT + 95 * MINUTE, 3),
    ]
    assert store.resources.hourly_peaks("disk", AT + 10 * MINUTE, AT + 20 * MINUTE) == [
        (AT + 20 * MINUTE, 4)
    ]
    assert store.resources.values("disk", AT, AT + 20 * MINUTE) == [
        (AT + 10 * MINUTE, 9),
        (AT + 20 * MINUTE, 4),
    ]
    assert store.resources.first_at("disk", AT) == AT + 10 * MINUTE
    assert store.resources.first_at("disk", AT + 95 * MINUTE) is None


def test_a_limit_may_be_unknown(store: StateStore) -> None:
    unlimited = ResourceSample("redis_memory", AT, 5.0, None, None, Origin.PROBE)
    store.resources.add([unlimited])
    assert store.resources.newest() == [unlimited]
    assert unlimited.saturation is None


def test_the_peak_is_the_fullest_and_the_newest_of_equals(store: StateStore) -> None:
    store.resources.add([sample(0, 50), sample(5, 90), sample(10, 90), sample(15, 40)])
    assert store.resources.peak("disk", AT - MINUTE, AT + 60 * MINUTE) == sample(10, 90)
    assert store.resources.peak("disk", AT + 10 * MINUTE, AT + 60 * MINUTE) == sample(15, 40)
    assert store.resources.peak("disk", AT + 20 * MINUTE, AT + 60 * MINUTE) is None


def test_what_a_run_found_is_kept_once(store: StateStore) -> None:
    edge = Edge("disk", AT, EdgeKind.WARNING, 81.0, 100.0)
    said = PROJECTION
    for checked_at, reason in ((AT, "refused"), (AT - MINUTE, "older"), (AT, "refused")):
        with store._database.write() as transaction:
            state = ProbeState("redis", checked_at, False, reason)
            store.resources.record(transaction, [edge], [said], [state])
    assert store.resources.edges("disk", AT) == [edge]
    assert store.resources.edges("disk", AT - MINUTE) == []
    assert store.resources.edges_by_resource(AT) == {"disk": [edge]}
    later = replace(said, as_of=AT + 5 * MINUTE, is_first_of_day=False)
    with store._database.write() as transaction:
        store.resources.record(transaction, [], [later], [])
    shelf = store.resources
    assert shelf.daily_projections(AT - MINUTE, AT + 60 * MINUTE) == {"disk": [said]}
    assert shelf.newest_projection("disk", AT + 60 * MINUTE) == later
    assert shelf.newest_projection("disk", AT) == said
    assert shelf.newest_projection("disk", AT - MINUTE) is None
    assert store.resources.probes() == {"redis": ProbeState("redis", AT, False, "refused")}


def test_what_is_older_than_asked_for_goes_with_the_next_run(store: StateStore) -> None:
    store.resources.add([sample(n, n) for n in range(4)] + [sample(0, 1, "memory")])
    now = replace(PROJECTION, resource="disk", as_of=AT + 9 * MINUTE)
    before = [replace(now, as_of=AT + minute * MINUTE) for minute in (0, 4)]
    with store._database.write() as transaction:
        store.resources.record(transaction, [], before, [])
        store.resources.record(transaction, [], [now], [], forget_before=AT + 2 * MINUTE)
    found = store.resources.window("disk", AT - MINUTE, AT + 60 * MINUTE)
    assert [one.used for one in found] == [2, 3]
    assert len(store.resources.window("memory", AT - MINUTE, AT + MINUTE)) == 1
    assert store.resources.newest_projection("disk", AT + MINUTE) is None
    kept = store.resources.newest_projection("disk", AT + 5 * MINUTE)
    assert kept is not None and kept.as_of == AT + 4 * MINUTE
