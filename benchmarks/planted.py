"""How often the regression planted in a simulated company shows within an hour, and false alarms.

    python -m benchmarks.planted --customers 60 --seeds 101 102 103

For each seed the comparison is made one hour after the new version came. Then other rollouts are
made up in the days before, in which nothing but the name of the version changes, at two customers
of five: whatever is found there is a false alarm. Each is asked about every six hours of a week.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.time import parse_instant
from ebbtide.signals.regressions import Calls, Comparison, Incidents, compare_versions
from ebbtide.simulate.simulation import simulate

END = datetime(2026, 3, 14, tzinfo=UTC)  # the new version comes on a working day
NUM_DAYS, NUM_HARMLESS = 16, 3
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_RULE = load_catalog().signals.regression


class Checked(NamedTuple):
    """A call that a policy checked, or an incident of one."""

    is_incident: bool
    at: datetime
    tenant_id: str
    policy_id: str
    version: str
    severity: int | None
    has_fired: bool


def checked(seed: int, customers: int) -> tuple[datetime, list[Checked]]:
    """When the planted version comes, and everything that policies checked."""
    simulation = simulate(seed, customers, NUM_DAYS, END)
    rows = []
    for fields in simulation:
        metadata = fields["metadata"]
        is_incident = fields["event_type"] == "INCIDENT_CREATED"
        if (is_incident or fields["event_type"] == "POLICY_EVALUATED") and (
            metadata.get("policy_id") and metadata.get("policy_version")
        ):
            rows.append(
                Checked(
                    is_incident,
                    parse_instant(fields["timestamp"]),
                    fields["tenant_id"],
                    metadata["policy_id"],
                    metadata["policy_version"],
                    fields.get("severity"),
                    metadata.get("policies_fired") != [],
                )
            )
    return parse_instant(simulation.truth["regression"]["at"]), rows


def compare(rows: Iterable[Checked], at: datetime) -> list[Comparison]:
    """What the door would say at a moment."""
    calls: list[Calls] = []
    incidents: list[Incidents] = []
    for one in rows:
        if at - 14 * DAY < one.at <= at:
            who = (one.tenant_id, one.policy_id, one.version)
            if one.is_incident:
                incidents.append(Incidents(*who, one.severity, 1, int(one.has_fired), one.at))
            else:
                calls.append(Calls(*who, 1, one.at))
    return compare_versions(calls, incidents, at, _RULE)


def harmless(rows: Sequence[Checked], start: datetime, draw: random.Random) -> bool:
    """Whether a rollout that changes a name alone gives an alarm within its week."""
    policy = draw.choice(sorted({one.policy_id for one in rows}))
    tenants = sorted({one.tenant_id for one in rows})
    chosen = set(draw.sample(tenants, len(tenants) * 2 // 5))
    at = start - draw.randint(7 * 24, 8 * 24) * HOUR
    renamed = [
        one._replace(version="renamed") if one.tenant_id in chosen and one.at >= at else one
        for one in rows
        if one.policy_id == policy and one.at < start
    ]
    looks = (at + hours * HOUR for hours in range(1, 7 * 24, 6))
    return any(one.is_regression for look in looks for one in compare(renamed, look))


def main() -> None:
    """Print one line for each seed, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 113)))
    given = parser.parse_args()
    num_seen = num_alarms = 0
    for seed in given.seeds:
        start, rows = checked(seed, given.customers)
        (planted,) = compare(rows, start + HOUR)
        draw = random.Random(seed)
        alarms = sum(harmless(rows, start, draw) for _ in range(NUM_HARMLESS))
        num_seen += planted.is_regression
        num_alarms += alarms
        found = {
            "seed": seed,
            "seen_within_an_hour": planted.found_by,
            "new_calls": planted.new.num_calls,
            "new_incidents": planted.new.num_incidents,
            "false_alarms": alarms,
        }
        print(json.dumps(found), flush=True)
    num = len(given.seeds)
    print(f"seen within an hour: {num_seen} of {num}")
    print(f"harmless rollouts with an alarm: {num_alarms} of {num * NUM_HARMLESS}")


if __name__ == "__main__":
    main()
