"""Stickiness of an earlier moment, read in little, is that of all facts of the moment."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

from company import Company

from ebbtide.signals.gather import gather
from ebbtide.signals.last_week import stickiness_before
from ebbtide.signals.rules import read_rules
from ebbtide.signals.stickiness import compute_stickiness

DAY = timedelta(days=1)
TYPES = ("INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED", "API_CALL_RECEIVED", "LOGIN")


def test_it_is_that_of_all_facts(tmp_path: Path) -> None:
    draw = random.Random(3)
    company = Company(tmp_path)
    names = [f"tenant-{number}" for number in range(25)]
    for name in names:
        oldest = draw.choice([2, 7, 10, 40, 90])
        events = [
            company.event(draw.choice(TYPES), company.now - oldest * DAY * draw.random(), name)
            for _ in range(draw.choice([1, 3, 30]))
        ]
        edge = company.now - 7 * DAY
        company.store(*events, company.event("INCIDENT_VIEWED", edge, draw.choice(names)))
    rules, earlier = read_rules(company.catalog), company.now - 7 * DAY
    unheard_of = company.now - 90 * DAY
    everybody = gather(company.events, company.catalog, company.now)
    then = gather(company.events, company.catalog, earlier)
    assert 0 < len(then) < len(everybody)
    for name, facts in everybody.items():
        found = stickiness_before(facts, earlier, company.events, company.catalog, rules)
        there = then.get(name)
        assert found == (None if there is None else compute_stickiness(there, earlier, rules))
    some = next(iter(then))
    unknown = stickiness_before(
        everybody[some], earlier, company.events, company.catalog, rules, known_at=unheard_of
    )
    assert unknown is not None and unknown.stickiness_7d == 0
    company.state.close()
    company.events.close()
