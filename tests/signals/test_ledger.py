"""Money that is kept up from moment to moment is that of a full reading, on every engine."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from company import Company

from ebbtide.signals.economics import gather_economics
from ebbtide.signals.facts import Economics
from ebbtide.signals.ledger import Ledger
from event_engines import chosen_engines, home_of

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
#: Where windows begin, end and are cut, and what comes late into each of them.
AGES = (0 * HOUR, HOUR / 7, HOUR, 2 * HOUR, 3 * DAY, 29.9 * DAY, 30 * DAY, 59.95 * DAY, 61 * DAY)
COSTS = (None, "0", "0.0000000001", "1.5", "99999999.9999999999")


@pytest.fixture(params=chosen_engines())
def on_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Company]:
    """A company on each event store engine, with its state in SQLite."""
    for home in home_of(request, request.param, lambda: tmp_path, migrated=True):
        one = Company(tmp_path, open_events=home.open)
        yield one
        one.state.close()


def happen(company: Company, draw: random.Random, num: int) -> None:
    events = []
    for _ in range(num):
        more: dict[str, Any] = {}
        name = draw.choice(["API_CALL_RECEIVED", "LLM_CALL_MADE", "SUBSCRIPTION_STARTED", "LOGIN"])
        cost = draw.choice(COSTS) if name == "LLM_CALL_MADE" else None
        if cost is not None:
            more["cost_usd"] = Decimal(cost)
        if name == "SUBSCRIPTION_STARTED":
            more["metadata_json"] = json.dumps({"price_usd": draw.choice([1, 0.5, 1000])})
        at = company.now - draw.choice(AGES) - HOUR * draw.choice([0, 0, draw.random()])
        if draw.random() < 0.1:
            at = company.now + 2 * HOUR  # dated ahead
        events.append(company.event(name, at, draw.choice(["acme", "bolt", "core"]), **more))
    if events:
        company.store(*events)


def plain(found: dict[str, Economics]) -> dict[str, Economics]:
    """With subscriptions in one order: engines have their own for equal moments."""
    return {
        name: replace(one, subscription=tuple(sorted(one.subscription, key=str)))
        for name, one in found.items()
    }


def test_moving_on_equals_reading_in_full(on_engine: Company) -> None:
    draw = random.Random(7)
    ledger = Ledger(on_engine.events, on_engine.catalog)
    since = 0
    for number in range(14):
        happen(on_engine, draw, draw.choice([0, 5, 40]))
        changes, since = on_engine.events.changes(since)
        found = ledger.at(on_engine.now, None if number == 0 else changes)
        full = gather_economics(on_engine.events, on_engine.catalog, on_engine.now)
        assert plain(dict(found)) == plain(full), number
        assert len(found) == len(full) and "nobody" not in found
        on_engine.now += draw.choice([0 * HOUR, HOUR / 4, HOUR / 4, HOUR, 4 * HOUR, 3 * DAY])


def test_what_was_read_ahead_equals_reading_in_full(on_engine: Company) -> None:
    draw = random.Random(11)
    ledger = Ledger(on_engine.events, on_engine.catalog)
    since = 0
    num_used = 0
    for number in range(14):
        happen(on_engine, draw, draw.choice([0, 5, 40]))
        changes, since = on_engine.events.changes(since)
        ledger.read_ahead(on_engine.now)  # nothing is known yet at first: it does nothing
        if draw.random() < 0.4:
            happen(on_engine, draw, 20)
            more, since = on_engine.events.changes(since)
            changes = [*changes, *more]
            ledger.forget_ahead()
        else:
            num_used += 1
        found = ledger.at(on_engine.now, None if number == 0 else changes)
        full = gather_economics(on_engine.events, on_engine.catalog, on_engine.now)
        assert plain(dict(found)) == plain(full), number
        on_engine.now += draw.choice([HOUR / 4, HOUR / 4, HOUR, 4 * HOUR])
    assert num_used > 3
