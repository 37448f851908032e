"""Money: prorated prices, two periods, and when the price needs a word."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from ebbtide.signals.facts import DAY, Economics, SubscriptionEvent
from ebbtide.signals.margin import Margin, compute_margin, price_usd, subscribed_times
from ebbtide.signals.rules import Rules

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
FIRST = NOW - 200 * DAY


def started(days_ago: float, price: str | None = None) -> SubscriptionEvent:
    return SubscriptionEvent(NOW - days_ago * DAY, "SUBSCRIPTION_STARTED", price)


def cancelled(days_ago: float) -> SubscriptionEvent:
    return SubscriptionEvent(NOW - days_ago * DAY, "SUBSCRIPTION_CANCELLED")


def of(rules: Rules, *events: SubscriptionEvent, **more: Any) -> Margin:
    values: dict[str, Any] = {"num_api_calls_30d": 110, "num_api_calls_30d_before": 100}
    economics = Economics(**(values | more), subscription=events)
    margin = compute_margin(economics, FIRST, NOW, rules)
    assert margin is not None
    return margin


@pytest.mark.parametrize(
    ("events", "stretches"),
    [
        ([], [(200, 0)]),  # never a word: from the first event
        ([cancelled(50)], [(200, 50)]),
        ([started(40)], [(40, 0)]),
        ([started(40), cancelled(10)], [(40, 10)]),
        ([cancelled(60), started(20)], [(20, 0)]),  # only from that start
        ([started(90), started(30)], [(90, 0)]),  # a second start changes the price only
        ([started(90), cancelled(60), started(20)], [(90, 60), (20, 0)]),
        ([started(90), cancelled(60), cancelled(50)], [(90, 60)]),
        ([started(90), cancelled(40), started(40)], [(90, 40), (40, 0)]),
    ],
)
def test_when_it_was_subscribed(
    events: list[SubscriptionEvent], stretches: list[tuple[int, int]]
) -> None:
    expected = [(NOW - a * DAY, NOW - b * DAY) for a, b in stretches]
    assert subscribed_times(events, FIRST, NOW) == expected
    assert subscribed_times(events[::-1], FIRST, NOW) == expected


def test_the_newest_start_names_the_price(rules: Rules) -> None:
    events = [started(90, "49"), started(35, "149.50"), started(10)]
    at = [price_usd(events, NOW - n * DAY, rules) for n in (100, 40, 30, 0)]
    assert at == [99, 49, Fraction("149.50"), 99]


def test_the_price_is_prorated_to_the_time_subscribed(rules: Rules) -> None:
    margin = of(rules, started(45, "30"), cancelled(7.5), llm_cost_usd_30d="2.50")
    assert margin.last.revenue_usd == Fraction("22.5") and margin.last.margin_usd == 20
    assert margin.before.revenue_usd == 15 and not margin.before.is_fully_subscribed


def test_each_period_has_the_price_of_its_own_end(rules: Rules) -> None:
    margin = of(rules, started(90, "60"), started(20, "120"))
    assert (margin.last.revenue_usd, margin.before.revenue_usd) == (120, 60)


def test_a_loss_is_negative_and_zero_is_not(rules: Rules) -> None:
    even = of(rules, started(90), llm_cost_usd_30d="99", num_api_calls_30d=100)
    assert (even.last.margin_usd, even.warning) == (0, None)
    assert of(rules, started(90), llm_cost_usd_30d="99.0000000001").warning == "negative"
    assert of(rules, started(3, "99"), llm_cost_usd_30d="10").warning == "negative"


@pytest.mark.parametrize(
    ("cost", "num_calls", "warning"),
    [
        ("20.00", 110, "falling"),  # 90 % to 80 %, and 10 % more calls: both exactly
        ("19.99", 110, None),
        ("20.00", 109, None),
        ("60.00", 500, "falling"),
        ("100.01", 10, "negative"),  # however the calls went
    ],
)
def test_ten_points_less_while_calls_rise_by_a_tenth(
    rules: Rules, cost: str, num_calls: int, warning: str | None
) -> None:
    margin = of(
        rules,
        started(90, "100"),
        llm_cost_usd_30d=cost,
        llm_cost_usd_30d_before="10",
        num_api_calls_30d=num_calls,
    )
    assert margin.warning == warning


def test_falling_needs_two_full_periods(rules: Rules) -> None:
    more = {"llm_cost_usd_30d": "60", "num_api_calls_30d": 500}
    assert of(rules, started(60, "100"), **more).warning == "falling"
    assert of(rules, started(59, "100"), **more).warning is None
    assert of(rules, started(90, "100"), cancelled(45), started(44, "100"), **more).warning is None


def test_without_revenue_there_is_no_ratio(rules: Rules) -> None:
    margin = of(rules, started(90, "0"))
    assert (margin.last.margin, margin.warning) == (None, None)


def test_nothing_is_said_without_earlier_calls_or_without_money(rules: Rules) -> None:
    economics = Economics("500", "0", 100, 0, (started(20),))
    assert compute_margin(economics, FIRST, NOW, rules) is None
    assert compute_margin(None, FIRST, NOW, rules) is None
