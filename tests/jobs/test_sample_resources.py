"""The job that looks at resources: real looks, one event at each edge, projections for all."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from jobs_at_hand import NOON, Clock

from ebbtide.app.demo import _gauges
from ebbtide.app.house import House
from ebbtide.app.settings import Settings
from ebbtide.domain.resource import EdgeKind, Origin, ResourceSample
from ebbtide.limits.infra import read_infra
from ebbtide.simulate.simulation import simulate
from ebbtide.store.events.reading import EventFilter, count_events

FIVE = timedelta(minutes=5)
HOUR = timedelta(hours=1)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def house(tmp_path: Path, clock: Clock) -> Iterator[House]:
    """An installation whose Redis is down."""
    settings = Settings(
        data_dir=tmp_path / "data", probe_redis_url=f"redis://127.0.0.1:{closed_port()}"
    )
    with House(settings, clock, make_first_key=False) as opened:
        yield opened


def run(house: House, as_of: datetime | None = None) -> dict[str, int]:
    found = house.services.runner.run_now("sample-resources", "test", as_of)
    assert found.status == "completed", found.message
    return dict(found.counts)


def gauge(house: House, at: datetime, used: float, limit: float | None = 100.0) -> None:
    sample = ResourceSample("queue", at, used, limit, "jobs", Origin.GAUGE)
    house.services.state.resources.add([sample])


def num_hits(house: House) -> int:
    meant = EventFilter(as_of=NOON + timedelta(days=99), event_types=("INFRA_LIMIT_HIT",))
    return count_events(house.services.events, meant)


def test_it_looks_at_what_is_there_and_says_what_cannot_be_reached(house: House) -> None:
    counts = run(house)
    assert counts == {
        "num_samples": 3,
        "num_unavailable": 1,
        "num_projected": 3,
        "num_limit_hits": 0,
    }
    services = house.services
    found = read_infra(services.state, services.events, NOON)
    names = {one.resource for one in found.resources}
    assert names == {"disk", "event_store", "state_store", "redis_memory", "redis_clients"}
    disk, redis = found.find("disk"), found.find("redis_memory")
    assert disk is not None and disk.sample is not None and disk.sample.used > 0
    assert redis is not None and redis.sample is None and redis.projection is None
    assert (redis.reason, redis.detail) == ("unavailable", "Connection refused")


def test_a_run_for_the_past_looks_at_nothing_and_tells_nobody(house: House) -> None:
    for hour in range(48):
        gauge(house, NOON - 72 * HOUR + hour * HOUR, 50 + hour)
    counts = run(house, NOON - 24 * HOUR)
    assert counts == {
        "num_samples": 0,
        "num_unavailable": 0,
        "num_projected": 1,
        "num_limit_hits": 0,
    }
    said = house.services.state.resources.newest_projection("queue", NOON)
    assert said is not None and said.as_of == NOON - 24 * HOUR
    assert num_hits(house) == 0


def test_the_warning_is_an_event_once_at_each_edge(house: House, clock: Clock) -> None:
    for used in (70, 79, 81, 85, 90, 79, 74, 83, 84):
        clock.now += FIVE
        gauge(house, clock.now, used)
        run(house)
    assert num_hits(house) == 2
    edges = house.services.state.resources.edges("queue", clock.now)
    assert [one.kind for one in edges] == [EdgeKind.WARNING, EdgeKind.CLEARED, EdgeKind.WARNING]
    rows = house.services.events.query(
        "SELECT tenant_id, source, resource, timestamp FROM events ORDER BY timestamp"
    )
    assert rows[0] == ("platform", "ebbtide", "queue", NOON + 3 * FIVE)


def test_a_second_run_of_the_same_moment_changes_nothing(house: House) -> None:
    gauge(house, NOON, 90)
    run(house)
    before = house.services.state.resources.newest_projection("queue", NOON)
    run(house)
    assert num_hits(house) == 1
    assert house.services.state.resources.newest_projection("queue", NOON) == before


def test_a_peak_between_two_runs_is_not_missed(house: House, clock: Clock) -> None:
    for minute, used in ((1, 50), (2, 95), (3, 50)):
        gauge(house, NOON + timedelta(minutes=minute), used)
    clock.now += FIVE
    run(house)
    assert num_hits(house) == 1


def test_past_projections_are_scored(house: House, clock: Clock) -> None:
    # Two a day up to 100: it is reached on day 25.
    for hour in range(24 * 26):
        at = NOON + hour * HOUR
        gauge(house, at, 50 + hour / 12)
        if hour % 24 == 0 and hour >= 24 * 15:
            clock.now = at
            run(house)
    clock.now = NOON + 26 * 24 * HOUR
    run(house)
    services = house.services
    found = read_infra(services.state, services.events, clock.now).find("queue")
    assert found is not None and found.score is not None
    assert found.score.num_settled == found.score.num_projections == 10
    assert found.score.inside is not None and found.score.inside >= 0.7
    assert found.score.median_error_days is not None and found.score.median_error_days < 1


def test_what_events_of_others_report_is_not_reported_again(house: House, clock: Clock) -> None:
    story = simulate(7, 3, 45, NOON)
    hits = [one for one in story if one["event_type"] == "INFRA_LIMIT_HIT"]
    assert hits
    store_events(house, hits)
    house.services.state.resources.add(list(_gauges(story)))
    run(house)
    assert num_hits(house) == len(hits)


def store_events(house: House, events: list[dict[str, object]]) -> None:
    """Send events as their producer would."""
    import msgspec

    from ebbtide.ingest.incoming import Incoming

    incoming = [Incoming(one, msgspec.json.encode(one), None) for one in events]
    results = house.services.ingestor.submit(incoming, door="events", received_at=NOON).result(30)
    assert {one.outcome.name for one in results} == {"STORED"}


@pytest.mark.parametrize(
    ("days_before", "hour"), [(0, 0), (5, 0), (10, 0), (20, 0), (0, 3), (0, 10)]
)
def test_the_planted_growth_of_redis_is_foreseen(house: House, days_before: int, hour: int) -> None:
    """The day on which the line truly reaches the limit lies inside of the interval."""
    end = NOON - hour * HOUR
    story = simulate(7, 3, 45, end)
    redis = story.truth["redis"]
    at = end - timedelta(days=days_before)
    services = house.services
    services.state.resources.add(list(_gauges(story)))
    store_events(house, [one for one in story if one["event_type"] == "INFRA_LIMIT_HIT"])
    found = read_infra(services.state, services.events, NOON, at).find(redis["resource"])
    assert found is not None and found.projection is not None
    said, truth_days = found.projection, redis["days_to_limit"] + days_before
    assert said.status == "growing"
    assert said.days_to_limit == pytest.approx(truth_days, rel=0.2)
    assert said.days_low is not None and said.days_low <= truth_days
    assert said.days_high is None or truth_days <= said.days_high
    assert said.growth_per_day == pytest.approx(redis["growth_per_day"], rel=0.15)


def test_headroom_of_rate_limits_comes_from_the_calls(house: House, clock: Clock) -> None:
    def call(number: int, minute: int, remaining: int) -> dict[str, object]:
        return {
            "event_id": f"call-{number}",
            "timestamp": (NOON + timedelta(minutes=minute)).isoformat(),
            "tenant_id": "acme",
            "event_type": "LLM_CALL_MADE",
            "metadata": {
                "model": "gpt-4o-mini",
                "headers": {
                    "x-ratelimit-limit-requests": "100",
                    "x-ratelimit-remaining-requests": str(remaining),
                },
            },
        }

    clock.now += FIVE
    store_events(house, [call(1, 1, 60), call(2, 2, 22), call(3, 3, 70)])
    run(house)
    services = house.services
    found = read_infra(services.state, services.events, clock.now).find("llm_requests/gpt-4o-mini")
    assert found is not None and found.sample is not None
    assert (found.sample.used, found.sample.limit) == (78, 100)
