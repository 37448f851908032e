"""What is kept of a window's full hours is what asking for all of it again would give."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.signals import stretches
from ebbtide.signals.incident_reading import IncidentReader
from ebbtide.signals.stretches import Stretch, Stretches
from ebbtide.signals.watch import Watch
from ebbtide.store.events.base import to_batch
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from event_factory import NOON, make_event

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CATALOG = load_catalog()


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[DuckDBEventStore, SQLiteStateStore]]:
    events = DuckDBEventStore(tmp_path / "events.duckdb")
    state = SQLiteStateStore(tmp_path / "state.sqlite")
    events.migrate()
    state.migrate()
    yield events, state
    state.close()
    events.close()


class Whole(Stretches):
    """Keeps nothing, and asks for each window as a whole."""

    def parts(
        self, metric: str, start: datetime, end: datetime, known_at: datetime | None = None
    ) -> Iterator[Stretch]:
        yield self.kept(metric, start, end, known_at)

    def kept(
        self, metric: str, start: datetime, end: datetime, known_at: datetime | None = None
    ) -> Stretch:
        return self._read(metric, start, end, known_at)


def draw(random: Random, name: str, at: datetime, received_at: datetime) -> Event:
    """A call or an incident of a policy, of which one has two versions."""
    policy = random.choice(["PII", "TOXICITY", None])
    is_new = policy == "PII" and at > NOON - 4 * DAY and random.random() < 0.6
    kind = "INCIDENT_CREATED" if random.random() < (0.6 if is_new else 0.2) else "POLICY_EVALUATED"
    return make_event(
        name,
        event_type=kind,
        timestamp=at,
        received_at=received_at,
        tenant_id=random.choice(["acme", "beta", "gamma"]),
        policy_id=policy,
        policy_version=None if policy is None else "v2" if is_new else "v1",
        model=random.choice(["large", None]),
        severity=random.choice([None, 1, 5]) if kind == "INCIDENT_CREATED" else None,
        metadata_json=random.choice(["{}", '{"policies_fired":[]}']),
    )


@pytest.mark.parametrize("rows_max", [stretches.ROWS_MAX, 0])
def test_answers_are_those_of_whole_windows(
    stores: tuple[DuckDBEventStore, SQLiteStateStore],
    monkeypatch: pytest.MonkeyPatch,
    rows_max: int,
) -> None:
    monkeypatch.setattr(stretches, "ROWS_MAX", rows_max)
    events, state = stores
    random = Random(rows_max)
    erased = [0]
    kept = Stretches(CATALOG, events, Watch(events, lambda: erased[0]))
    found_some = False
    for step in range(3):
        as_of = NOON + step * 25 * timedelta(minutes=1)
        places = [
            random.choice([0, 1, 6, 7, 14, 30]) * DAY + random.random() * DAY for _ in range(40)
        ]
        made = [
            draw(random, f"{step} {number}", as_of - back, as_of)
            for number, back in enumerate([*places, timedelta(0), 30 * DAY, 14 * DAY])
        ]
        events.append(to_batch(made))
        if step == 2:
            events.erase_tenant("beta")
            erased[0] = 1
        for at, known_at in ((as_of, None), (NOON - step * HOUR, as_of - timedelta(minutes=1))):
            reader, anew = (
                IncidentReader(CATALOG, events, state, at, known_at, None, one)
                for one in (kept, Whole(CATALOG, events, Watch(events, lambda: None)))
            )
            found = reader.regressions()
            assert found == anew.regressions()
            assert reader.day_over_day() == anew.day_over_day()
            for length in (30 * DAY, HOUR / 2):
                assert reader.heatmap(at - length) == anew.heatmap(at - length)
            found_some |= bool(found[1])
    assert found_some
