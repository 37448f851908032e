"""How soon the regression planted in a simulated company shows, and how often others do falsely.

    python -m benchmarks.planted --seeds 301 302 303

Each seed is a company of 45 days. Beside the planted version, five versions are rolled out in them
in which nothing but the name changes, each at two customers of five. The comparison is asked about
every hour: whatever it calls a regression, other than the planted version, is a false alarm, and
the planted one must be called within its first hour. That hour is asked about minute by minute.
"""

from __future__ import annotations

import argparse
import json
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from benchmarks.results import save

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.time import parse_instant
from ebbtide.signals.regressions import Calls, Comparison, Incidents, compare_versions
from ebbtide.simulate.simulation import simulate

END = datetime(2026, 3, 14, tzinfo=UTC)  # the planted version comes on a working day
NUM_DAYS, ROLLOUT_DAYS = 45, (9, 16, 23, 30, 37)
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
_RULE = load_catalog().signals.regression

#: Tenant, policy, version, and of an incident its severity and whether the policy fired.
Key = tuple[Any, ...]


class Rollout:
    """A version that behaves as the one before it, at two customers of five."""

    def __init__(self, number: int, tenants: list[str], policies: list[str], draw: random.Random):
        self.version = f"harmless-{number}"
        self.policy_id = draw.choice(policies)
        self.tenants = frozenset(draw.sample(tenants, len(tenants) * 2 // 5))
        begin = END - NUM_DAYS * DAY
        self.at = begin + ROLLOUT_DAYS[number] * DAY + draw.randrange(24) * HOUR

    def takes(self, fields: dict[str, Any], at: datetime) -> bool:
        """Whether an event happened under this version."""
        return (
            at >= self.at
            and fields["metadata"]["policy_id"] == self.policy_id
            and fields["tenant_id"] in self.tenants
        )


class Company:
    """All that policies checked in a simulated company, for questions about any moment."""

    def __init__(self, seed: int, customers: int) -> None:
        simulation = simulate(seed, customers, NUM_DAYS, END)
        self.truth = simulation.truth["regression"]
        self.start = parse_instant(self.truth["at"])
        tenants = [one["tenant_id"] for one in simulation.truth["tenants"]]
        draw = random.Random(seed)
        # Not the policy of the planted version: two new versions of one policy are two truths.
        policies = ["PII_SHIELD", "PROMPT_INJECTION", "TOXICITY"]
        rollouts = [Rollout(i, tenants, policies, draw) for i in range(len(ROLLOUT_DAYS))]
        self._calls: dict[Key, list[datetime]] = defaultdict(list)
        self._incidents: dict[Key, list[datetime]] = defaultdict(list)
        for fields in simulation:
            metadata = fields["metadata"]
            is_incident = fields["event_type"] == "INCIDENT_CREATED"
            if not is_incident and fields["event_type"] != "POLICY_EVALUATED":
                continue
            if not metadata.get("policy_id") or not metadata.get("policy_version"):
                continue
            at, version = parse_instant(fields["timestamp"]), metadata["policy_version"]
            for rollout in rollouts:
                if rollout.takes(fields, at):
                    version = rollout.version
            key: Key = (fields["tenant_id"], metadata["policy_id"], version)
            if is_incident:
                key += (fields.get("severity"), metadata.get("policies_fired") != [])
                self._incidents[key].append(at)
            else:
                self._calls[key].append(at)
        for times in (*self._calls.values(), *self._incidents.values()):
            times.sort()

    def compare(self, at: datetime) -> list[Comparison]:
        """What the door would say at a moment."""
        calls = [Calls(*key, num, first) for key, num, first in _within(self._calls, at)]
        incidents = [
            Incidents(*key[:4], num, num * key[4], first)
            for key, num, first in _within(self._incidents, at)
        ]
        return compare_versions(calls, incidents, at, _RULE)

    def is_planted(self, one: Comparison) -> bool:
        """Whether a comparison is of the planted version."""
        names = (self.truth["policy_id"], self.truth["to_version"])
        return (one.policy_id, one.new.version) == names


def _within(all_times: dict[Key, list[datetime]], at: datetime) -> Iterable[tuple[Key, int, Any]]:
    for key, times in all_times.items():
        first, last = bisect_right(times, at - 14 * DAY), bisect_right(times, at)
        if last > first:
            yield key, last - first, times[first]


def measured(seed: int, customers: int) -> dict[str, Any]:
    """The figures of one company."""
    company = Company(seed, customers)
    alarms: set[str] = set()
    compared: set[str] = set()
    at = END - NUM_DAYS * DAY
    while (at := at + HOUR) <= END:
        others = [one for one in company.compare(at) if not company.is_planted(one)]
        compared |= {one.new.version for one in others}
        alarms |= {one.new.version for one in others if one.is_regression}
    minutes = None
    for minute in range(1, 24 * 60):
        found = [one for one in company.compare(company.start + minute * MINUTE) if
                 company.is_planted(one) and one.is_regression]  # fmt: skip
        if found:
            minutes = minute
            break
    after_an_hour = [
        one for one in company.compare(company.start + HOUR) if company.is_planted(one)
    ]
    return {
        "seed": seed,
        "minutes_to_detect": minutes,
        "is_found_after_an_hour": any(one.is_regression for one in after_an_hour),
        "calls_in_its_hour": sum(one.new.num_calls for one in after_an_hour),
        "incidents_in_its_hour": sum(one.new.num_incidents for one in after_an_hour),
        "p_rate_after_an_hour": min((one.p_rate or 1.0 for one in after_an_hour), default=None),
        "versions_compared": sorted(compared),
        "false_alarms": sorted(alarms),
    }


def summary(customers: int, companies: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all companies, and each of them."""
    minutes = [one["minutes_to_detect"] for one in companies]
    return {
        "customers": customers,
        "days": NUM_DAYS,
        "companies": len(companies),
        "found_within_an_hour": sum(m is not None and m <= 60 for m in minutes),
        "found_after_an_hour": sum(one["is_found_after_an_hour"] for one in companies),
        "minutes_to_detect_median": median(m for m in minutes if m is not None),
        "minutes_to_detect_longest": max(m for m in minutes if m is not None),
        "harmless_versions": sum(len(one["versions_compared"]) for one in companies),
        "false_alarms": sum(len(one["false_alarms"]) for one in companies),
        "most_false_alarms_of_a_company": max(len(one["false_alarms"]) for one in companies),
        "each": companies,
    }


def main() -> None:
    """Print one line for each seed, and keep the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(301, 313)))
    given = parser.parse_args()
    companies = []
    for seed in given.seeds:
        companies.append(measured(seed, given.customers))
        print(json.dumps(companies[-1]), flush=True)
    figures = summary(given.customers, companies)
    print(json.dumps({name: value for name, value in figures.items() if name != "each"}))
    print(save("planted", {f"companies_of_{given.customers}": figures}))


if __name__ == "__main__":
    main()
