"""Equal arguments give equal bytes, and more customers leave the first ones as they were."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebbtide.domain.time import parse_instant
from ebbtide.simulate.simulation import SCALE_MIN, Simulation, simulate

END = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
GOLDEN = Path(__file__).parent / "golden" / "seed-7.json"


def lines(events: Iterable[dict[str, Any]]) -> list[str]:
    return [json.dumps(event) for event in events]


def digest(simulation: Simulation) -> dict[str, Any]:
    """What the golden file holds: counts a person can judge, and one sum over every byte."""
    events = list(simulation)
    by_tenant = Counter(event["tenant_id"] for event in events)
    return {
        "simulated": True,
        "parameters": simulation.truth["parameters"],
        "num_events": len(events),
        "num_events_by_type": dict(sorted(Counter(e["event_type"] for e in events).items())),
        "num_events_by_tenant": dict(sorted(by_tenant.items())),
        "first_event": events[0],
        "last_event": events[-1],
        "sha256_of_events": hashlib.sha256("\n".join(lines(events)).encode()).hexdigest(),
        "sha256_of_truth": hashlib.sha256(json.dumps(simulation.truth).encode()).hexdigest(),
    }


def test_the_golden_company_has_not_changed() -> None:
    """A changed digest is a changed sample company: renew the file only when that is meant."""
    found = digest(simulate(7, 5, 7, END))
    if os.environ.get("EBBTIDE_ACCEPT"):
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    assert found == json.loads(GOLDEN.read_text("utf-8"))


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_gives_the_same_company(hash_seed: str) -> None:
    program = (
        "import hashlib, json; from datetime import UTC, datetime;"
        "from ebbtide.simulate.simulation import simulate;"
        "events = simulate(7, 5, 7, datetime(2026, 3, 1, 9, 30, tzinfo=UTC));"
        "text = '\\n'.join(json.dumps(event) for event in events);"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    environment = os.environ | {
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert answer.stdout.strip() == json.loads(GOLDEN.read_text("utf-8"))["sha256_of_events"]


def test_iterating_again_gives_the_same_events() -> None:
    simulation = simulate(3, 4, 5, END)
    assert lines(simulation) == lines(simulation)


def test_another_seed_is_another_company() -> None:
    one, other = simulate(1, 3, 3, END), simulate(2, 3, 3, END)
    assert lines(one) != lines(other)
    assert not {e["event_id"] for e in one} & {e["event_id"] for e in other}


def test_more_customers_leave_the_first_ones_as_they_were() -> None:
    few, many = simulate(7, 3, 12, END), simulate(7, 7, 12, END)
    assert many.tenants[:3] == few.tenants
    assert many.truth["tenants"][:3] == few.truth["tenants"]
    first_ones = {tenant["tenant_id"] for tenant in few.tenants}
    assert lines(e for e in many if e["tenant_id"] in first_ones) == lines(few)


def test_customers_beyond_the_list_of_names_are_told_apart() -> None:
    tenant_ids = [tenant["tenant_id"] for tenant in simulate(7, 200, 1, END).tenants]
    assert len(set(tenant_ids)) == 200
    assert all(tenant_id.isascii() for tenant_id in tenant_ids)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(-(2**70), 2**70),
    num_tenants=st.integers(1, 6),
    num_days=st.integers(1, 9),
    end=st.datetimes(
        datetime(1990, 1, 1),
        datetime(2090, 1, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
    ),
    scale=st.sampled_from([SCALE_MIN, 1.0, 1.7]),
)
def test_any_company_is_well_formed(
    seed: int, num_tenants: int, num_days: int, end: datetime, scale: float
) -> None:
    simulation = simulate(seed, num_tenants, num_days, end, scale)
    tenant_ids = {tenant["tenant_id"] for tenant in simulation.tenants}
    assert len(tenant_ids) == num_tenants
    start, previous, seen = end - timedelta(days=num_days), "", set()
    for event in simulation:
        assert event["timestamp"] >= previous
        previous = event["timestamp"]
        moment = parse_instant(previous)
        assert previous.endswith("Z") and start < moment <= end
        uuid = UUID(event["event_id"])
        assert uuid.version == 7 and str(uuid) == event["event_id"]
        assert event["tenant_id"] in tenant_ids
        assert event["source"] == "simulated"
        assert None not in event.values()
        seen.add(uuid)
    assert len(seen) == sum(map(len, simulation.batches()))
    assert simulation.truth["simulated"] is True


def test_more_calls_cost_the_same_money() -> None:
    def totals(scale: float) -> tuple[int, float, int]:
        events = list(simulate(7, 8, 14, END, scale))
        return (
            sum(event["event_type"] == "API_CALL_RECEIVED" for event in events),
            sum(event.get("cost_usd", 0.0) for event in events),
            sum(event["event_type"] == "INCIDENT_VIEWED" for event in events),
        )

    calls, cost_usd, views = totals(1)
    calls_3, cost_usd_3, views_3 = totals(3)
    assert 2.7 < calls_3 / calls < 3.3
    assert 0.9 < cost_usd_3 / cost_usd < 1.1
    assert 0.9 < views_3 / views < 1.1


@pytest.mark.parametrize(
    "arguments",
    [
        (1, 0, 7, END, 1.0),
        (1, 5, 0, END, 1.0),
        (1, 5, 7, END.replace(tzinfo=None), 1.0),
        (1, 5, 7, END, 0.0),
        (1, 5, 7, END, float("nan")),
    ],
)
def test_arguments_out_of_bounds_are_refused(
    arguments: tuple[int, int, int, datetime, float],
) -> None:
    with pytest.raises(ValueError, match="simulation"):
        simulate(*arguments)
