"""Unit economics and revenue: exact, and nothing made up where nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.metrics.compute import MetricTable
from ebbtide.signals.billing import (
    CANCELLED,
    FAILED,
    STARTED,
    UPDATED,
    BillingEvent,
    subscriptions_of,
)
from ebbtide.signals.day_counts import DayCounts
from ebbtide.signals.facts import DAY
from ebbtide.signals.revenue import (
    STEPS_PER_USD,
    Counts,
    Part,
    Revenue,
    Unit,
    sum_up,
    units_of,
)
from ebbtide.store.events.base import Change

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
FIRST = NOW - 200 * DAY
RULES = load_catalog().signals
DEFAULT = Fraction(99)


def event(tenant: str, kind: str, days_ago: float, **more: Any) -> BillingEvent:
    return BillingEvent(NOW - days_ago * DAY, kind, f"{tenant}{days_ago}", tenant, **more)


def started(tenant: str, days_ago: float = 90, price: int | str = 99, **more: Any) -> BillingEvent:
    return event(tenant, STARTED, days_ago, price_usd=Fraction(price), **more)


def counts(calls: int = 1, cost: str | None = "0", api: int = 0, **more: int) -> Counts:
    steps = 0 if cost is None else int(Fraction(cost) * STEPS_PER_USD)
    return Counts(calls, 0 if cost is None else calls, steps, api, **more)


def units(
    *events: BillingEvent,
    use: dict[str, Counts] | None = None,
    firsts: dict[str, datetime] | None = None,
    entered: dict[str, Fraction] | None = None,
) -> list[Unit]:
    names = {one.tenant_id for one in events} | (use or {}).keys() | (firsts or {}).keys()
    return units_of(
        dict.fromkeys(sorted(names), FIRST) | (firsts or {}),
        use or {},
        subscriptions_of(events, NOW),
        entered or {},
        NOW,
        DEFAULT,
        RULES.revenue,
    )


def one(*events: BillingEvent, **more: Any) -> Unit:
    (unit,) = units(*events, **more)
    return unit


def flags(unit: Unit) -> list[tuple[str, str]]:
    return [(flag.name, flag.level) for flag in unit.flags]


# -- one tenant --------------------------------------------------------------------------------


def test_the_price_less_the_cost_is_the_margin() -> None:
    unit = one(started("acme"), use={"acme": counts(3, "33.0000000001")})
    assert unit.revenue_usd == 99 and unit.subscribed_days == 30
    assert unit.margin_usd == Fraction("65.9999999999")
    assert unit.margin == Fraction("65.9999999999") / 99
    assert (unit.paying, unit.mrr_usd, unit.flags) == ("yes", 99, ())


def test_the_price_is_prorated_to_the_time_subscribed() -> None:
    unit = one(started("acme", 45, 60), event("acme", CANCELLED, 22.5))
    assert (unit.subscribed_days, unit.revenue_usd) == (Fraction(15, 2), 15)
    assert (unit.paying, unit.mrr_usd) == ("no", 0)


def test_without_a_word_on_a_subscription_it_is_taken_to_pay_the_default() -> None:
    unit = one(use={"acme": counts()}, firsts={"acme": NOW - 10 * DAY})
    assert (unit.paying, unit.mrr_usd, unit.revenue_usd) == ("unknown", None, 33)
    assert [price.source for price in unit.prices] == ["default"]
    entered = one(firsts={"acme": FIRST}, entered={"acme": Fraction(20)})
    assert (entered.revenue_usd, entered.prices[0].source) == (20, "directory")


def test_a_cancellation_alone_ends_what_began_with_the_first_event() -> None:
    unit = one(event("acme", CANCELLED, 20))
    assert (unit.paying, unit.revenue_usd) == ("no", 33)


def test_a_trial_brings_nothing() -> None:
    unit = one(event("acme", UPDATED, 9, subscription_id="s", status="trialing", currency="usd"))
    assert (unit.paying, unit.revenue_usd, unit.mrr_usd, unit.price_usd) == ("no", 0, 0, None)


def test_two_subscriptions_bring_both() -> None:
    unit = one(
        started("acme", 90, 40, subscription_id="a"), started("acme", 15, 20, subscription_id="b")
    )
    assert (unit.mrr_usd, unit.revenue_usd, unit.price_usd) == (60, 50, 60)


def test_an_unknown_price_is_an_unknown_margin() -> None:
    metered = event("acme", STARTED, 90, subscription_id="s", status="active", currency="usd")
    unit = one(metered, use={"acme": counts()})
    assert (unit.mrr_usd, unit.revenue_usd, unit.margin_usd) == (None, None, None)
    assert unit.reason == "price_unknown"


def test_no_call_costs_nothing_and_calls_without_a_cost_an_unknown_amount() -> None:
    assert one(started("acme")).margin_usd == 99
    unknown = one(started("acme"), use={"acme": counts(2, None)})
    assert (unknown.counts.llm_cost_usd, unknown.margin_usd) == (None, None)
    assert unknown.reason == "cost_unknown"
    partly = one(started("acme"), use={"acme": Counts(2, 1, STEPS_PER_USD)})
    assert partly.margin_usd == 98


def test_the_lowest_margin_comes_first_and_unknown_ones_last() -> None:
    use = {"a": counts(1, "5"), "b": counts(1, "99.0000000001"), "c": counts(1, None)}
    found = units(*map(started, "abcd"), use=use)
    assert [unit.tenant_id for unit in found] == ["b", "a", "d", "c"]


# -- flags -------------------------------------------------------------------------------------


def test_a_margin_below_zero_is_critical() -> None:
    assert flags(one(started("a"), use={"a": counts(1, "99.0000000001")})) == [
        ("margin_negative", "critical")
    ]
    assert flags(one(started("a"), use={"a": counts(1, "99")})) == []


def share(own: str, others: int) -> list[tuple[str, str]]:
    use = {"a": counts(1, own)} | {f"o{n}": counts(1, "1") for n in range(others)}
    found = units(*map(started, use), use=use)
    return flags(next(unit for unit in found if unit.tenant_id == "a"))


def test_more_than_three_tenths_of_all_costs_is_critical() -> None:
    assert share("3", 7) == []  # exactly
    assert share("3.0000000001", 7) == [("resource_share", "critical")]


def test_a_share_means_something_from_four_tenants_on() -> None:
    assert share("50", 2) == []
    assert share("50", 3) == [("resource_share", "critical")]


def test_tenants_that_do_not_use_it_are_no_comparison() -> None:
    use = {"a": counts(1, "50"), "b": counts(1, "1"), "c": counts(1, "0"), "d": counts(0)}
    assert all(not unit.flags for unit in units(*map(started, use), use=use))


def test_exports_without_a_replay_are_a_warning() -> None:
    assert flags(one(started("a"), use={"a": counts(num_exports=2)})) == [
        ("exports_without_replay", "warning")
    ]
    assert flags(one(started("a"), use={"a": counts(num_exports=2, num_replays=1)})) == []


@pytest.mark.parametrize(
    ("own", "others", "is_flagged"),
    [
        (100, [10], False),
        (101, [10], True),
        (101, [10, 0, 0, 0], True),  # only those with a call
        (105, [10, 11], False),  # the median is 10.5
        (106, [10, 11], True),
        (1_000, [], False),
        (1_000, [0], False),
        (1_000, [5, 90, 2_000], True),
        (1_000, [5, 100, 2_000], False),
    ],
)
def test_calls_far_above_the_median_of_the_others(
    own: int, others: list[int], is_flagged: bool
) -> None:
    use = {"a": counts(api=own)} | {f"o{n}": counts(api=num) for n, num in enumerate(others)}
    found = units(*map(started, use), use=use)
    unit = next(unit for unit in found if unit.tenant_id == "a")
    assert (("calls_far_above_others", "warning") in flags(unit)) is is_flagged


# -- all together ------------------------------------------------------------------------------


def total(*events: BillingEvent, levels: dict[str, str] | None = None, **more: Any) -> Revenue:
    return sum_up(units(*events, **more), levels or {}, {}, NOW, DEFAULT)


def test_mrr_is_of_running_subscriptions_not_of_activity() -> None:
    found = total(
        started("a"),
        started("b", price=50),
        started("c"),
        event("c", CANCELLED, 40),
        use={"d": counts(api=500)},
    )
    assert found.mrr == Part(2, Fraction(149))
    assert found.num_unknown == 1
    assert found.churned == Part()


def test_churned_mrr_is_what_stopped_within_30_days() -> None:
    found = total(
        started("a"),
        event("a", CANCELLED, 29, reason="too_expensive"),
        started("b", price=50),
        event("b", CANCELLED, 3, reason="payment_failed", is_involuntary=True),
        started("c"),
        event("c", CANCELLED, 30),
        started("d"),
        event("d", CANCELLED, 9),
        started("d", 8, 10),
    )
    assert found.churned == Part(2, Fraction(149))
    assert found.involuntary == Part(1, Fraction(50))
    assert found.labels == (
        ("too_expensive", Part(1, Fraction(99))),
        ("payment_failed", Part(1, Fraction(50))),
    )


def test_a_trial_that_ends_is_no_churned_mrr() -> None:
    named = {"subscription_id": "s", "currency": "usd"}
    found = total(
        event("a", UPDATED, 9, status="trialing", **named), event("a", CANCELLED, 2, **named)
    )
    assert found.churned == Part()


def test_what_may_be_lost_is_told_apart() -> None:
    found = total(
        started("a", is_leaving=True),
        started("b", price=50),
        event("b", FAILED, 2),
        started("c", price=7, has_discount=True),
        event("d", STARTED, 9),
        levels={"a": "critical", "c": "medium", "gone": "high"},
    )
    assert found.leaving == Part(1, Fraction(99))
    assert found.failing == Part(1, Fraction(50))
    assert found.discounted == Part(1, Fraction(7))
    assert found.default_price == Part(1, Fraction(99))
    assert found.at_risk == (("critical", Part(1, Fraction(99))), ("medium", Part(1, Fraction(7))))


def test_a_price_that_is_not_known_is_counted_and_not_summed() -> None:
    metered = event("b", STARTED, 90, subscription_id="s", status="active", currency="usd")
    assert total(started("a"), metered).mrr == Part(2, Fraction(99), 1)


def test_the_margin_pays_all_calls_and_assumes_no_revenue() -> None:
    use = {"a": counts(1, "10"), "b": counts(1, "5")}
    found = total(started("a"), use=use)
    assert (found.revenue_usd, found.cost_usd, found.margin_usd) == (99, 15, 84)
    assert found.assumed == Part(1, Fraction(99))
    assert total(use=use).margin_usd is None
    assert total(started("a"), use={"a": counts(2, None)}).margin_usd is None


# -- what is kept ------------------------------------------------------------------------------


class Store:
    """Events of one type by moment, read like the metric."""

    def __init__(self) -> None:
        self.events: list[tuple[str, datetime, Decimal]] = []
        self.num_reads = 0

    def read(self, start: datetime, end: datetime) -> MetricTable:
        self.num_reads += 1
        found: dict[str, list[Decimal]] = {}
        for tenant, at, cost in self.events:
            if start < at <= end:
                found.setdefault(tenant, []).append(cost)
        rows = [(name, len(all), len(all), sum(all), 0, 0, 0, 0) for name, all in found.items()]
        return MetricTable("unit_counts", (), rows, end, None, "", None)


def test_kept_days_give_what_a_full_reading_gives() -> None:
    store, kept, types = Store(), DayCounts(), frozenset({"LLM_CALL_MADE"})

    def check(as_of: datetime) -> None:
        found = kept.within(as_of - 30 * DAY, as_of, store.read)
        table = store.read(as_of - 30 * DAY, as_of)
        expected = {row[0]: (row[1], Fraction(row[3])) for row in table.rows}
        assert {
            name: (one.num_llm_calls, one.llm_cost_usd) for name, one in found.items()
        } == expected

    for number in range(300):
        at = NOW - timedelta(hours=5 * number)
        at -= timedelta(microseconds=number % 2)  # some at midnight itself
        store.events.append(
            (f"t{number % 7}", at.replace(minute=0), Decimal("0.0000000001") * number)
        )
    for back in (0, 0.5, 1, 7.25, 31):
        check(NOW - back * DAY)
    late = NOW - 3 * DAY
    store.events.append(("late", late, Decimal(10) ** 17))
    kept.forget([Change("late", "LLM_CALL_MADE", late, late)], types)
    check(NOW)
    midnight = NOW.replace(hour=0) - 2 * DAY
    store.events.append(("late", midnight, Decimal(1)))
    kept.forget([Change("late", "LLM_CALL_MADE", midnight, midnight)], types)
    check(NOW)
    before = store.num_reads
    kept.forget([Change("t1", "LOGIN", FIRST, NOW)], types)
    kept.within(NOW - 30 * DAY, NOW, store.read)
    assert store.num_reads == before


def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebbtide.signals.day_counts.KEPT_ROWS_MAX", 5)
    store, kept = Store(), DayCounts()
    store.events = [(f"t{n % 3}", NOW - n * DAY, Decimal(1)) for n in range(90)]
    for back in range(60):
        found = kept.within(NOW - (30 + back) * DAY, NOW - back * DAY, store.read)
        assert sum(one.num_llm_calls for one in found.values()) == 30
    assert kept._num_rows <= 5
