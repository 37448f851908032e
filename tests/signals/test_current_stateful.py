"""Whatever happens between runs: customers kept in memory are those that a full reading finds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from test_refresh_stateful import AGES, CATALOG, HOUR, NUDGES, TENANTS, Refreshing

from ebbtide.signals.change_log import Around
from ebbtide.signals.current import Current, asks_for_money
from ebbtide.signals.customer import Customer
from ebbtide.signals.rules import read_rules
from ebbtide.signals.selection import SORTS, CustomerFilter, select
from ebbtide.signals.snapshot import Snapshot
from ebbtide.signals.snapshots import Snapshots

COSTS = st.sampled_from([None, "0", "0.0000000001", "3.5", "90.25", "99999999.9999999999"])
EVERYBODY = st.sampled_from(["acme", "bolt", "platform"])
CHANGES = st.sampled_from(
    [
        {"kind": "policy_version", "policy_id": "PII", "policy_version": "v2"},
        {"kind": "deploy", "subject": "api", "value": "7"},
        {"kind": "nothing that is known"},
    ]
)


class Reading(Refreshing):
    """Readers and jobs look at some runs, and not at others."""

    def __init__(self) -> None:
        super().__init__()
        self.is_watched = True
        self.begin()

    def begin(self) -> None:
        """As a process does when it starts."""
        of = self.company
        self.current = Current(CATALOG, of.events, of.state, of.refresher)

    @rule(tenant=TENANTS, cost=COSTS, model=st.sampled_from(["a", "b", "c"]), age=AGES, by=NUDGES)
    def calls_a_model(
        self, tenant: str, cost: str | None, model: str, age: timedelta, by: timedelta
    ) -> None:
        company = self.company
        usd = None if cost is None else Decimal(cost)
        at = company.now - age + min(by, age)
        self._send(company.event("LLM_CALL_MADE", at, tenant, cost_usd=usd, model=model))

    @rule(
        tenant=TENANTS,
        age=AGES,
        by=NUDGES,
        price=st.sampled_from([None, 0.5, 10, 10_000]),
        event_type=st.sampled_from(["SUBSCRIPTION_STARTED", "FREEZE_ACTIVATED"]),
    )
    def signs_or_stops(
        self, tenant: str, age: timedelta, by: timedelta, price: float | None, event_type: str
    ) -> None:
        said = {} if price is None else {"price_usd": price}
        at = self.company.now - age + min(by, age)
        more = {"metadata_json": json.dumps(said), "plan": f"plan {price}", "entity_type": "user"}
        self._send(self.company.event(event_type, at, tenant, **more))

    @rule(tenant=TENANTS, version=st.sampled_from(["v1", "v2", "v3"]), age=AGES, by=NUDGES)
    def meets_a_version(self, tenant: str, version: str, age: timedelta, by: timedelta) -> None:
        at = self.company.now - age + min(by, age)
        policy = {"policy_id": "PII", "policy_version": version}
        self._send(self.company.event("POLICY_EVALUATED", at, tenant, **policy))

    @rule(tenant=EVERYBODY, said=CHANGES, hours=st.integers(-30, 1200))
    def is_recorded(self, tenant: str, said: dict[str, str], hours: int) -> None:
        """Perhaps dated ahead."""
        at = self.company.now - timedelta(hours=hours)
        more = {"metadata_json": json.dumps(said)}
        self._send(self.company.event("CHANGE_RECORDED", at, tenant, **more))

    @rule()
    def looks_away_or_again(self) -> None:
        self.is_watched = not self.is_watched

    @rule()
    def restarts(self) -> None:
        super().restarts()
        self.begin()

    @invariant()
    def equals_a_full_reading(self) -> None:
        if self.is_settled and self.is_watched:
            self.check()
            self.is_settled = False

    def check(self) -> None:
        company, at = self.company, self.company.now
        head = company.state.scores.head()
        if head.as_of is None:
            return
        snapshots = Snapshots(CATALOG, company.events, company.state, lambda: at, company.rules)
        seen, full = self.current.newest(head), snapshots.compute(at, None, None)
        assert seen.moment.as_of == at
        assert (seen.moment.newest_event_at, seen.moment.newest_received_at) == (
            full.moment.newest_event_at,
            full.moment.newest_received_at,
        )
        facts = {uuid: replace(one, expires_at=None) for uuid, one in seen.facts.items()}
        assert facts == full.facts
        assert ranked(seen, seen.standing.values()) == ranked(full, full.customers.values())
        assert all(one.as_of <= at for one in seen.standing.values())
        assert seen.now(seen.standing.values()) == list(full.customers.values())
        for uuid, one in full.customers.items():
            assert seen.customers[uuid].interventions == one.interventions
            assert money(seen.customers[uuid]) == money(one)
        names = [one.tenant_id for one in full.customers.values()]
        assert seen.log.around(names) == full.log.around(names)


def ranked(seen: Snapshot, customers: object) -> object:
    """Everything that lists are chosen and ordered by."""
    found: list[object] = []
    for sort in SORTS.keys() - {"recent"}:
        ordered = select(customers, CustomerFilter(), sort)  # type: ignore[arg-type]
        found.append(
            [
                (
                    one.tenant_id,
                    one.status,
                    one.paying,
                    one.silence.is_silent_churn,
                    one.risk.is_on_list,
                    one.risk.risk_level,
                    one.stickiness.stickiness_trend,
                    one.intent.inferred_buyer_type,
                    [match.playbook_id for match in one.playbooks],
                )
                for one in ordered
            ]
        )
    gone = select(customers, CustomerFilter(status="gone"), "recent")  # type: ignore[arg-type]
    return found, [one.tenant_id for one in gone]


def money(customer: Customer) -> object:
    """What its margin is worked out from."""
    return customer._measured.economics


def test_late_events_move_what_was_known_of_declines_changes_and_money() -> None:
    """One by one, what random events meet too seldom."""
    seen = Reading()
    try:
        company = seen.company

        def check() -> Around:
            company.tick(HOUR / 4)
            seen.check()
            name = "acme"
            return seen.current.newest(company.state.scores.head()).log.around([name])[name]

        days = [n * 24 * HOUR for n in range(12, 60)]
        company.happens("INCIDENT_VIEWED", *days)
        company.happens("INCIDENT_VIEWED", *days, tenant="bolt")
        company.happens("LLM_CALL_MADE", 80 * 24 * HOUR, model="a", cost_usd=Decimal("0.5"))
        company.happens("LLM_CALL_MADE", 15 * 24 * HOUR, model="b", cost_usd=Decimal("0.25"))
        company.happens("API_CALL_RECEIVED", 40 * 24 * HOUR, HOUR)
        found = check()
        assert found.correlation is not None
        # The change itself turns out to be older than the decline can explain.
        company.happens("LLM_CALL_MADE", 50 * 24 * HOUR, model="b", cost_usd=Decimal("3"))
        assert check().correlation is None
        company.happens("LLM_CALL_MADE", 330 * HOUR, model="c")
        assert check().correlation is not None
        # It did look into things after all.
        company.happens("INCIDENT_VIEWED", *(n * HOUR for n in range(30, 150, 2)))
        assert check().correlation is None
        said = json.dumps({"kind": "deploy", "subject": "api", "value": "7"})
        company.happens("CHANGE_RECORDED", 13 * 24 * HOUR, tenant="platform", metadata_json=said)
        assert [one.kind for one in check().recent] == ["deploy", "model_switch"]
        company.now += 26 * HOUR  # the deploy is not recent any more
        assert [one.kind for one in check().recent] == []
        priced = json.dumps({"price_usd": 1})
        company.happens("SUBSCRIPTION_STARTED", 45 * 24 * HOUR, metadata_json=priced)
        check()
        # A start that is dated ahead counts from its moment on.
        company.happens("SUBSCRIPTION_STARTED", -HOUR / 2, metadata_json=priced, plan="pro")
        for _ in range(4):
            check()
    finally:
        seen.teardown()


def test_a_playbook_that_asks_for_money_is_seen() -> None:
    """Then nothing that was assessed without money may be used."""
    rules = read_rules(CATALOG)
    assert not asks_for_money(rules)
    name, playbook = next(iter(rules.playbooks.items()))
    spoken = replace(playbook, reason="margin {margin_usd} USD")
    asked = replace(
        playbook, when=(*playbook.when, replace(playbook.when[0], metric="margin_warning"))
    )
    for other in (spoken, asked):
        assert asks_for_money(replace(rules, playbooks={**rules.playbooks, name: other}))


class TestReading(Reading.TestCase):
    settings = settings(
        max_examples=12,
        stateful_step_count=20,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


@pytest.mark.slow
class TestReadingForLong(Reading.TestCase):
    settings = settings(
        max_examples=400,
        stateful_step_count=50,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
