"""``python -m benchmarks.assess``: what it costs to say everything about one customer."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.customer import assess, next_change_at
from ebbtide.signals.facts import DAY, NO_ACTIONS, Actions, Facts, FrictionEvent, Span
from ebbtide.signals.rules import read_rules

NOW = datetime(2026, 3, 12, 12, 7, 3, 123, tzinfo=UTC)
DAILY = "API_CALL_RECEIVED LLM_CALL_MADE POLICY_EVALUATED INCIDENT_CREATED LOGIN SESSION_STARTED"
LOOKS = "INCIDENT_VIEWED REPLAY_EXECUTED EXPORT_GENERATED REPLAY_STARTED REPLAY_ABORTED"


def customers() -> dict[str, Facts]:
    """One customer of each kind, 90 days old."""
    begin = NOW - 90 * DAY
    spans = {name: Span(begin, NOW - timedelta(seconds=17)) for name in DAILY.split()}
    spans |= {name: Span(begin + 10 * DAY, NOW - DAY) for name in LOOKS.split()}
    spans["SUBSCRIPTION_STARTED"] = Span(begin - DAY, begin - DAY)
    aborts = tuple(
        FrictionEvent(NOW - (n + 1) * DAY / 2, f"{n}", "REPLAY_ABORTED", f"s{n % 3}", None)
        for n in range(8)
    )
    ordinary = Facts(
        tenant_id="acme",
        spans=spans,
        firsts={name: span.first_at for name, span in spans.items()},
        actions_3d=Actions(3, 2, 1),
        actions_7d=Actions(8, 5, 3),
        actions_30d=Actions(30, 20, 12),
        peak_tenths=80,
        friction_14d={"REPLAY_ABORTED": 2},
        friction_events_7d=aborts[:2],
        expires_at=NOW + DAY,
    )
    quiet = {name: Span(begin, NOW - 9 * DAY) for name in LOOKS.split()}
    return {
        "ordinary": ordinary,
        "held up and falling": replace(
            ordinary, actions_3d=NO_ACTIONS, actions_7d=Actions(1), friction_events_7d=aborts
        ),
        "silent": replace(
            ordinary, spans=spans | quiet, actions_3d=NO_ACTIONS, actions_7d=NO_ACTIONS
        ),
    }


def main() -> None:
    """Print the median in microseconds of each step."""
    rules = read_rules(load_catalog())
    for name, facts in customers().items():
        took: dict[str, list[int]] = {"assess": [], "interventions": [], "next_change_at": []}
        for _ in range(3_000):
            start = time.perf_counter_ns()
            customer = assess(facts, NOW, rules)
            assessed = time.perf_counter_ns()
            _ = customer.interventions
            suggested = time.perf_counter_ns()
            next_change_at(facts, NOW, rules)
            done = time.perf_counter_ns()
            took["assess"].append(assessed - start)
            took["interventions"].append(suggested - assessed)
            took["next_change_at"].append(done - suggested)
        figures = ", ".join(
            f"{step} {statistics.median(times) / 1000:.0f} us" for step, times in took.items()
        )
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()
