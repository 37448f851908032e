"""The regression planted in the simulated company: seen within its first hour, and nothing else.

How soon a difference stands out depends on how much happens, so the hour is held for a company
of 150 customers on a working day; docs/howto/incidents.md says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.time import parse_instant
from ebbtide.ingest.validate import Rejection, Validator
from ebbtide.signals.attribution import FALLBACK
from ebbtide.signals.incident_reading import IncidentReader
from ebbtide.simulate.simulation import simulate
from ebbtide.store.events.base import EventStore, to_batch
from ebbtide.store.events.duckdb import DuckDBEventStore
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore

END = datetime(2026, 3, 14, tzinfo=UTC)  # the new version comes on a working day
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CATALOG = load_catalog()
Fields = dict[str, Any]


def stores(folder: Path) -> tuple[EventStore, StateStore]:
    """Empty stores of files."""
    events, state = DuckDBEventStore(folder / "events.duckdb"), SQLiteStateStore(folder / "s.db")
    events.migrate()
    state.migrate()
    return events, state


def load(events: EventStore, simulated: Iterable[Fields], edit: Callable[[Fields], None]) -> None:
    """Store the checked calls and the incidents of a simulation, each edited before."""
    validator, batch = Validator(CATALOG), []
    for fields in simulated:
        if fields["event_type"] in ("POLICY_EVALUATED", "INCIDENT_CREATED"):
            edit(fields)
            at = parse_instant(fields["timestamp"])
            event = validator.check(fields, received_at=at, default_source="simulation")
            assert not isinstance(event, Rejection)
            batch.append(event)
    for start in range(0, len(batch), 50_000):
        events.append(to_batch(batch[start : start + 50_000]))


def as_it_is(_: Fields) -> None:
    """No edit."""


def test_the_planted_regression_is_seen_within_its_first_hour(tmp_path: Path) -> None:
    simulation = simulate(7, 150, 16, END)
    truth = simulation.truth["regression"]
    start = parse_instant(truth["at"])
    events, state = stores(tmp_path)
    load(events, simulation, as_it_is)
    found, _ = IncidentReader(CATALOG, events, state, start).regressions()
    assert found == []
    found, compared = IncidentReader(CATALOG, events, state, start + HOUR).regressions()
    assert len(compared) == 1
    (one,) = found
    comparison = one.comparison
    assert comparison.policy_id == truth["policy_id"]
    assert comparison.new.version == truth["to_version"]
    assert comparison.old.version == truth["from_version"]
    assert one.first_hour == start
    assert one.minutes_to_detect is not None and 0 <= one.minutes_to_detect < 60
    assert {tenant for tenant, _ in comparison.affected} <= set(truth["affected_tenants"])

    # The cause of every incident is the one that was planted, where its evidence tells it.
    reader = IncidentReader(CATALOG, events, state, END)
    incidents = reader.incidents(END - 3 * DAY)
    causes = reader.attributions(incidents)
    planted = simulation.truth["attribution_by_trigger_type"]
    assert len(incidents) > 100
    for incident in incidents:
        cause = causes[incident.tenant_id, incident.event_uuid]
        expected = planted[incident.metadata["trigger_type"]]
        if expected is None:
            assert cause.rule == FALLBACK
        else:
            assert cause.attribution == expected, incident
    events.close()
    state.close()


@pytest.mark.slow
def test_harmless_versions_give_at_most_one_alarm_in_45_days(tmp_path: Path) -> None:
    """Each week another policy gets a new name for the same behaviour, at two tenants of five."""
    simulation = simulate(1, 60, 45, END)
    begin, planted = END - 45 * DAY, parse_instant(simulation.truth["regression"]["at"])
    two_of_five = {
        tenant["tenant_id"]
        for number, tenant in zip(count(), simulation.truth["tenants"], strict=False)
        if number % 5 < 2
    }
    policies = ("TOXICITY", "PII_SHIELD", "PROMPT_INJECTION", "TOXICITY", "PII_SHIELD")
    rollouts = [
        (begin + timedelta(days=9 + 7 * week, hours=14), policy, f"harmless-{week}")
        for week, policy in enumerate(policies)
    ]

    def rename(fields: Fields) -> None:
        at, metadata = parse_instant(fields["timestamp"]), fields["metadata"]
        for since, policy, version in rollouts:
            is_touched = fields["tenant_id"] in two_of_five and metadata["policy_id"] == policy
            if is_touched and at >= since:
                metadata["policy_version"] = version

    events, state = stores(tmp_path)
    load(events, simulation, rename)
    alarms, num_compared, at = set(), 0, begin
    while (at := at + 3 * HOUR) <= planted:
        found, compared = IncidentReader(CATALOG, events, state, at).regressions()
        alarms |= {(one.comparison.policy_id, one.comparison.new.version) for one in found}
        num_compared += len(compared)
    assert num_compared > 200
    assert len(alarms) <= 1, alarms
    events.close()
    state.close()
