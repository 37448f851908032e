"""Subscriptions from billing events: the newest state counts, in whatever order it came."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.signals.billing import (
    CANCELLED,
    FAILED,
    RECOVERED,
    SCHEDULED,
    STARTED,
    UPDATED,
    WITHDRAWN,
    BillingEvent,
    Price,
    Subscribed,
    price_of,
    read_event,
    subscriptions_of,
)
from ebbtide.signals.facts import DAY, SubscriptionEvent
from ebbtide.signals.margin import price_usd, subscribed_times
from ebbtide.signals.rules import Rules

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)


def said(kind: str, days_ago: float, **more: Any) -> BillingEvent:
    return BillingEvent(
        NOW - days_ago * DAY, kind, f"{days_ago}", more.pop("tenant", "acme"), **more
    )


def stripe(kind: str, days_ago: float, status: str | None = None, **more: Any) -> BillingEvent:
    more = {"subscription_id": "sub_1", "status": status, "currency": "usd"} | more
    return said(kind, days_ago, **more)


def only(*events: BillingEvent) -> Subscribed:
    (found,) = subscriptions_of(events[::-1], NOW)
    return found


def days(one: Subscribed) -> list[tuple[float, float]]:
    return [((NOW - a) / DAY, (NOW - b) / DAY) for a, b in one.stretches]


# -- states ------------------------------------------------------------------------------------


def test_a_trial_is_not_paid_until_it_is() -> None:
    trial = stripe(UPDATED, 20, "trialing")
    assert not only(trial).is_paid and only(trial).stretches == ()
    assert days(only(trial, stripe(STARTED, 6, "active"))) == [(6, 0)]


def test_who_does_not_pay_is_not_subscribed_for_that_time() -> None:
    found = only(
        stripe(STARTED, 90, "active"), stripe(UPDATED, 50, "unpaid"), stripe(STARTED, 20, "active")
    )
    assert days(found) == [(90, 50), (20, 0)]
    late = only(stripe(STARTED, 90, "active"), stripe(UPDATED, 5, "past_due"))
    assert late.is_paid and late.status == "past_due"


def test_a_state_without_a_start_tells_that_it_runs() -> None:
    assert days(only(stripe(UPDATED, 9, "active"))) == [(9, 0)]


def test_two_states_of_one_second_go_by_the_life_of_a_subscription() -> None:
    found = only(stripe(UPDATED, 9, "incomplete"), stripe(STARTED, 9, "active"))
    assert found.is_paid
    assert not only(stripe(CANCELLED, 9, "canceled"), stripe(STARTED, 9, "active")).is_paid


def test_one_that_moves_counts_at_both_until_the_first_is_ended() -> None:
    first = stripe(STARTED, 9, "active", tenant="cus_1")
    moved = stripe(UPDATED, 3, "active")
    ended = said(CANCELLED, 3, tenant="cus_1")
    standing = {one.tenant_id: one.is_paid for one in subscriptions_of([first, moved], NOW)}
    assert standing == {"cus_1": True, "acme": True}
    standing = {one.tenant_id: one.is_paid for one in subscriptions_of([first, moved, ended], NOW)}
    assert standing == {"cus_1": False, "acme": True}


def test_two_subscriptions_of_a_tenant_stand_side_by_side() -> None:
    other = stripe(STARTED, 40, "active", subscription_id="sub_2")
    ended = stripe(CANCELLED, 10, "canceled")
    found = subscriptions_of([stripe(STARTED, 90, "active"), other, ended], NOW)
    assert {one.subscription_id: one.is_paid for one in found} == {"sub_1": False, "sub_2": True}


def test_one_tenant_cannot_end_what_another_pays_for() -> None:
    ours = stripe(STARTED, 40, "active")
    forged = stripe(CANCELLED, 1, "canceled", tenant="mallory")
    found = {one.tenant_id: one for one in subscriptions_of([ours, forged], NOW)}
    assert found["acme"].is_paid
    assert not found["mallory"].is_paid and found["mallory"].stretches == only(forged).stretches


def test_a_cancellation_by_hand_ends_all_of_them() -> None:
    other = stripe(STARTED, 40, "active", subscription_id="sub_2")
    found = subscriptions_of([stripe(STARTED, 90, "active"), other, said(CANCELLED, 5)], NOW)
    assert [one.is_paid for one in found] == [False, False]


def test_intent_to_leave_comes_and_goes() -> None:
    start, leaves = stripe(STARTED, 90, "active"), stripe(SCHEDULED, 9, leaves_at="2026-03-27")
    assert (only(start, leaves).is_leaving, only(start, leaves).leaves_at) == (True, "2026-03-27")
    assert not only(start, leaves, stripe(WITHDRAWN, 3)).is_leaving
    assert only(start, stripe(UPDATED, 4, "active", is_leaving=True)).is_leaving
    ended = only(start, leaves, stripe(CANCELLED, 1, reason="unused"))
    assert not ended.is_leaving
    assert ended.end is not None and ended.end.reason == "unused"


def test_a_failed_payment_is_over_when_it_is_made_good() -> None:
    start, failed = stripe(STARTED, 90, "active"), stripe(FAILED, 9)
    assert only(start, failed).failed == failed
    assert only(start, failed, stripe(RECOVERED, 8)).failed is None
    assert only(start, failed, stripe(UPDATED, 8, "active")).failed is None
    assert only(start, failed, stripe(UPDATED, 8, "past_due")).failed == failed
    assert only(start, failed, stripe(CANCELLED, 1)).failed is None


def test_a_payment_alone_says_nothing_of_a_subscription() -> None:
    assert subscriptions_of([stripe(FAILED, 9), said(FAILED, 9, tenant="beta")], NOW) == []


MOMENTS = st.integers(0, 6)  # few, so that some are equal
EVENTS = st.lists(
    st.builds(
        lambda kind, ago, price, number: BillingEvent(
            NOW - 10 * ago * DAY,
            kind,
            str(number),
            "acme",
            price_usd=None if kind == CANCELLED or price is None else Fraction(price),
        ),
        st.sampled_from([STARTED, CANCELLED]),
        MOMENTS,
        st.none() | st.integers(1, 3),
        st.integers(0, 10**6),
    ),
    max_size=6,
    unique_by=lambda one: one.event_uuid,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.randoms())
def test_starts_and_cancellations_are_read_as_the_pricing_rule_does(
    rules: Rules, events: list[BillingEvent], random: Any
) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    found = subscriptions_of(shuffled, NOW)
    assert found == subscriptions_of(events, NOW)
    if not any(one.event_type == STARTED for one in events):
        assert all(one.stretches == () for one in found)
        return
    plain = [
        SubscriptionEvent(
            one.timestamp,
            one.event_type,
            None if one.price_usd is None else str(one.price_usd),
        )
        for one in events
    ]
    (one,) = found
    expected = [pair for pair in subscribed_times(plain, NOW - 99 * DAY, NOW) if pair[0] < pair[1]]
    assert [pair for pair in one.stretches if pair[0] < pair[1]] == expected
    default = rules.signals.pricing.default_price_usd
    assert price_of(one, {}, default).usd == price_usd(plain, NOW, rules)


# -- prices ------------------------------------------------------------------------------------


def price(*events: BillingEvent, entered: Fraction | None = None) -> Price:
    return price_of(only(*events), {} if entered is None else {"acme": entered}, Fraction(99))


def test_who_says_the_price() -> None:
    assert price(said(STARTED, 9, price_usd=Fraction(49))) == Price(Fraction(49), "event")
    assert price(said(STARTED, 9)) == Price(Fraction(99), "default")
    assert price(said(STARTED, 9), entered=Fraction(20)) == Price(Fraction(20), "directory")
    assert price_of(None, {}, Fraction(99)) == Price(Fraction(99), "default")


@pytest.mark.parametrize(("currency", "reason"), [("usd", "not_fixed"), ("eur", "in_eur")])
def test_a_price_that_billing_cannot_name_in_usd_is_not_made_up(currency: str, reason: str) -> None:
    found = price(stripe(STARTED, 9, "active", currency=currency), entered=Fraction(20))
    assert found == Price(None, "unknown", reason)


def test_odd_metadata_say_nothing() -> None:
    found = read_event(
        "acme", NOW, STARTED, "u", "", '{"price_usd":"NaN","status":7,"is_leaving":"yes","x":1e400}'
    )
    assert found == BillingEvent(NOW, STARTED, "u", "acme")
    exact = read_event("acme", NOW, STARTED, "u", "pro", '{"price_usd":0.1}')
    assert (exact.price_usd, exact.plan) == (Fraction(1, 10), "pro")
