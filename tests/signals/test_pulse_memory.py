"""The pulse from memory is the one that reading everything again gives, whatever comes in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.domain.time import floor_hour
from ebbtide.signals import pulse_memory
from ebbtide.signals.pulse_memory import PulseMemory
from ebbtide.signals.pulse_reading import take_pulse
from ebbtide.signals.watch import Watch
from ebbtide.store.events.base import EventStore, to_batch
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from event_engines import chosen_engines, home_of
from event_factory import NOON, make_event

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CATALOG = load_catalog()
_numbers = count()


@pytest.fixture(params=chosen_engines())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """An empty store of each engine."""
    for home in home_of(request, request.param, lambda: tmp_path, migrated=True):
        made = home.open()
        made.migrate()
        yield made


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    made = SQLiteStateStore(tmp_path / "state.sqlite")
    made.migrate()
    yield made
    made.close()


def draw(random: Random, at: datetime, received_at: datetime) -> Event:
    """Any event at a moment."""
    kind = random.choice(
        [
            "LOGIN",
            "INCIDENT_CREATED",
            "EXPORT_GENERATED",
            "LLM_CALL_MADE",
            "LLM_CALL_FAILED",
            "API_CALL_RECEIVED",
            "INFRA_LIMIT_HIT",
        ]
    )
    more: dict[str, object] = {}
    if kind.startswith("LLM") and random.random() < 0.7:
        more["cost_usd"] = random.choice(
            [Decimal("0.0000000001"), Decimal("99999999.5"), Decimal(0)]
        )
    if kind == "API_CALL_RECEIVED" and random.random() < 0.7:
        more["latency_ms"] = random.choice([0, 7, 2**40])
    if kind == "INFRA_LIMIT_HIT":
        more["resource"] = random.choice(["redis", "disk"])
        more["metadata_json"] = f'{{"current":{random.randrange(9)},"limit":10}}'
    return make_event(
        f"event {next(_numbers)}",
        event_type=kind,
        timestamp=at,
        received_at=received_at,
        tenant_id=random.choice(["acme", "beta", "gamma"]),
        source=random.choice(["proxy", "sdk"]),
        **more,
    )


def edges(random: Random, as_of: datetime) -> datetime:
    """A moment at, or just beside, one that a window or an hour begins or ends with."""
    back = random.choice([0, 1, 3, 24, 25, 48, 167, 168, 171, 191, 192]) * HOUR
    at = random.choice([as_of, floor_hour(as_of), as_of.replace(hour=0, minute=0, second=0)]) - back
    return (
        at
        + random.choice([-30 * MINUTE, -4 * MINUTE, timedelta(microseconds=-1)])
        * (random.randrange(3))
        + random.choice([timedelta(0), timedelta(microseconds=1)])
    )


@pytest.mark.parametrize("seed", range(2))
def test_memory_says_what_the_metrics_say(store: EventStore, state: StateStore, seed: int) -> None:
    random = Random(seed)
    erased = [0]
    memory = PulseMemory(CATALOG, store, Watch(store, lambda: erased[0]))
    as_of = NOON + random.choice([timedelta(0), 17 * MINUTE, timedelta(microseconds=1)])
    num_used = 0
    for step in range(5):
        came = as_of + step * timedelta(seconds=1)
        made = [draw(random, edges(random, as_of), came) for _ in range(16)]
        store.append(to_batch([one for one in made if one.timestamp <= came]))
        if step == 3:
            store.erase_tenant("beta")
            erased[0] += 1
        known_at = random.choice([None, None, came, came - timedelta(seconds=2)])
        for at in (as_of, as_of + step * 9 * MINUTE, as_of - 3 * HOUR):
            asked = CATALOG, store, state, at, known_at
            assert take_pulse(*asked, memory) == take_pulse(*asked), (step, at, known_at)
            num_used += memory.look(at, known_at) is not None
    assert num_used >= 5


def test_hours_with_very_many_events_are_left_to_the_store(
    store: EventStore, state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(1)
    store.append(to_batch([draw(random, NOON + 5 * MINUTE, NOON) for _ in range(30)]))
    assert store.newest_change() == store.changes(0)[1]
    memory = PulseMemory(CATALOG, store, Watch(store, lambda: None))
    at = NOON + 20 * MINUTE
    assert memory.look(at) is not None
    monkeypatch.setattr(pulse_memory, "NUM_READ_MAX", 29)
    memory = PulseMemory(CATALOG, store, Watch(store, lambda: None))
    assert memory.look(at) is None
    asked = CATALOG, store, state, at
    assert take_pulse(*asked, None, memory) == take_pulse(*asked)
    # The mean hour has 30 / 23 events.
    monkeypatch.setattr(pulse_memory, "HOURLY_MAX", 1)
    memory = PulseMemory(CATALOG, store, Watch(store, lambda: None))
    assert memory.look(at + HOUR) is None
