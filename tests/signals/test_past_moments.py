"""Past moments that are kept are what computing them again gives."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from company import START, Company

from ebbtide.domain.ids import to_uuid_text
from ebbtide.signals import snapshots
from ebbtide.signals.read import CustomerReader
from ebbtide.signals.revenue_reading import RevenueReader
from ebbtide.signals.snapshots import Snapshots
from ebbtide.signals.watch import watch_over
from ebbtide.store.events.base import to_batch

HOUR = timedelta(hours=1)
TYPES = ("INCIDENT_VIEWED", "REPLAY_EXECUTED", "LLM_CALL_MADE", "SUBSCRIPTION_CANCELLED", "LOGIN")
TENANTS = tuple(f"t{number}" for number in range(6))


def test_what_is_kept_is_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    company, random_ = Company(tmp_path), random.Random(1)
    now = [START]
    stores = company.catalog, company.events, company.state

    def clock() -> object:
        return now[0]

    watch = watch_over(company.events, company.state)
    seen = Snapshots(*stores, clock, company.rules, watch)  # type: ignore[arg-type]
    customers = CustomerReader(*stores, clock, watch)  # type: ignore[arg-type]
    revenue = RevenueReader(*stores, customers, clock, watch)  # type: ignore[arg-type]

    def some(num: int) -> None:
        made = []
        for _ in range(num):
            kind = random_.choice(TYPES)
            happened = now[0] - random_.randrange(3, 40 * 24) * HOUR
            cost = Decimal("0.5") if kind == "LLM_CALL_MADE" else None
            event = company.event(kind, happened, random_.choice(TENANTS), cost_usd=cost)
            made.append(event._replace(received_at=now[0]))
        company.events.append(to_batch(made))

    some(40)
    at = START - 2 * HOUR
    num_same = 0
    for step in range(5):
        known_at = START if step == 3 else None
        now[0] = START + step * HOUR
        if step in (1, 3):
            some(1)
        if step == 2:  # what happened after a moment leaves it as it was
            event = company.event("LOGIN", START + HOUR, "t1")
            company.events.append(to_batch([event]))
        if step == 4:
            company.events.erase_tenant("t2")
            company.state.erase_tenant("t2", now[0])
        anew = Snapshots(*stores, clock, company.rules)  # type: ignore[arg-type]
        found, full = seen.at(at, known_at), anew.compute(at, known_at, None)
        assert (found.facts, found.customers) == (full.facts, full.customers)
        assert found.money == full.money
        one, other = found.moment, full.moment
        assert (one.known_at, one.computed_at) == (other.known_at, other.computed_at)
        assert one.newest_received_at == other.newest_received_at
        names = [customer.tenant_id for customer in full.customers.values()]
        assert found.log.around(names) == full.log.around(names)
        num_same += seen.at(at, known_at).facts is found.facts
        fresh = RevenueReader(*stores, customers, clock)  # type: ignore[arg-type]
        assert revenue.units(as_of=at, known_at=START) == fresh.units(as_of=at, known_at=START)
    # More customers than may be kept are computed each time.
    assert num_same == 5
    company.events.append(to_batch([company.event("LOGIN", at, "t1")]))
    monkeypatch.setattr(snapshots, "CUSTOMERS_KEPT_MAX", 0)
    assert seen.at(at, None).facts is not seen.at(at, None).facts
    assert to_uuid_text("t2") not in seen.at(at, None).customers
