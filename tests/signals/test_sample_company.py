"""The simulated company against its ground truth: silence is found in time, intent is right."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from company import Company

from ebbtide.catalog.loader import load_catalog
from ebbtide.domain.event import Event
from ebbtide.domain.time import parse_instant
from ebbtide.ingest.validate import Rejection, Validator
from ebbtide.signals.customer import assess
from ebbtide.signals.gather import gather
from ebbtide.simulate.simulation import Simulation, simulate
from ebbtide.store.events.base import to_batch

END = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
CANCELS_AFTER = 16 * DAY  # of silence; the window ends before, so the rest is played here
WARNING = 7 * DAY  # before a cancellation: less is too late to talk


class Played:
    """One simulation in a store, and who was silent on each day of its end."""

    def __init__(self, company: Company, num_tenants: int) -> None:
        self.company = company
        simulation = simulate(7, num_tenants, 45, END, scale=0.5)
        self.truth = simulation.truth["tenants"]
        self.silent_from = {
            one["tenant_id"]: parse_instant(one["moments"]["silent_from"])
            for one in self.truth
            if one["state"] == "silent"
        }
        for batch in _batches(simulation):
            company.events.append(to_batch(batch))
        company.store(*self._later())
        company.now = END
        company.tick()

    def cancelled_at(self, tenant: str) -> datetime:
        """When a silent one leaves."""
        return max(self.silent_from[tenant], END - 13 * DAY) + CANCELS_AFTER

    def _later(self) -> Iterator[Event]:
        """The silent ones go on calling, until they cancel."""
        for tenant in self.silent_from:
            at, end = END + DAY / 2, self.cancelled_at(tenant)
            while at < end:
                yield self.company.event("API_CALL_RECEIVED", at, tenant)
                at += DAY / 2
            yield self.company.event("SUBSCRIPTION_CANCELLED", end, tenant)

    def customers(self, as_of: datetime) -> dict[str, Any]:
        """Everybody at a moment."""
        facts = gather(self.company.events, self.company.catalog, as_of)
        return {name: assess(one, as_of, self.company.rules) for name, one in facts.items()}

    def silent(self, as_of: datetime) -> set[str]:
        """Who is flagged at a moment."""
        found = self.customers(as_of).items()
        return {name for name, one in found if one.silence.is_silent_churn}


def _batches(simulation: Simulation) -> Iterator[list[Event]]:
    validator = Validator(load_catalog())
    for day in simulation.batches():
        events = []
        for fields in day:
            event = validator.check(
                fields, received_at=parse_instant(fields["timestamp"]), default_source="simulated"
            )
            assert not isinstance(event, Rejection)
            events.append(event)
        if events:
            yield events


@pytest.fixture(
    scope="module", params=[24, pytest.param(60, marks=pytest.mark.slow)], ids="{} tenants".format
)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    company = Company(tmp_path_factory.mktemp("company"))
    yield Played(company, request.param)
    company.close()


def test_the_silent_are_found_a_week_before_they_cancel(played: Played) -> None:
    moments = [END - 8 * DAY + n * DAY / 4 for n in range(20 * 4)]
    unseen = dict(played.silent_from)
    margins = []
    for moment in moments:
        for tenant in unseen.keys() & played.silent(moment):
            del unseen[tenant]
            margins.append(played.cancelled_at(tenant) - moment)
        if not unseen:
            break
    assert not unseen, f"never found: {sorted(unseen)}"
    print(f"{len(margins)} silent customers, found {min(margins).days} days or more before")
    assert margins
    assert min(margins) >= WARNING


def test_nobody_who_is_active_is_called_silent(played: Played) -> None:
    """At the end the flags are those of the ground truth; before it no healthy one was flagged."""
    expected = {one["tenant_id"] for one in played.truth if one["expect"]["silent_churn"]}
    assert played.silent(END) == expected
    rows = played.company.state.scores.segments()
    assert {row["tenant_id"] for row in rows if row["is_silent_churn"]} == expected
    active = {
        one["tenant_id"]
        for one in played.truth
        if one["state"] in ("healthy", "frustrated", "new", "decaying")
        and one["persona"] != "proxy_only"
    }
    assert len(active) >= 10
    for day in range(20):
        moment = END - day * DAY
        flagged = played.silent(moment) & active
        assert not flagged, f"{sorted(flagged)} on {moment:%Y-%m-%d}"


def test_intent_is_right_for_four_of_five(played: Played) -> None:
    customers = played.customers(END)
    told = [one for one in played.truth if one["expect"]["intent"] is not None]
    right = [
        one
        for one in told
        if customers[one["tenant_id"]].intent.inferred_buyer_type
        == one["expect"]["intent"]["buyer_type"]
    ]
    print(f"intent right for {len(right)} of {len(told)}")
    assert len(told) >= 20
    assert len(right) * 100 >= 80 * len(told)
