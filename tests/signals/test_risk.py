"""The at-risk list: points at their edges, levels, reasons in order, and who is on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from ebbtide.signals.customer import Customer, assess, at_risk_order
from ebbtide.signals.facts import DAY, Actions, Facts, FrictionEvent, Span
from ebbtide.signals.rules import Rules

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
VIEW, EXPORT = "INCIDENT_VIEWED", "EXPORT_GENERATED"
#: Weighted tenths of 30 days: 300, which is a week of exactly 7.
MONTH = Actions(num_exports=60)


def facts(
    *,
    tenths_7d: int | None = 70,
    friction: int = 0,
    friction_type: str = "REPLAY_FAILED",
    looked: timedelta | None = DAY,
    called: timedelta | None = DAY,
    tenant_id: str = "acme",
    **more: Any,
) -> Facts:
    """An old, steady tenant, but for what is said otherwise; None: never."""
    spans = {"LOGIN": Span(NOW - 90 * DAY, NOW)}
    if looked is not None:
        spans[VIEW] = Span(NOW - 90 * DAY, NOW - looked)
    if called is not None:
        spans["API_CALL_RECEIVED"] = Span(NOW - 90 * DAY, NOW - called)
    events = tuple(
        FrictionEvent(NOW - DAY, f"{n}", friction_type, f"s{n}", None) for n in range(friction)
    )
    values: dict[str, Any] = {"friction_events_7d": events}
    if tenths_7d is not None:
        exports, rest = divmod(tenths_7d, 5)
        week = Actions(num_exports=exports) if not rest else Actions(0, 4, exports - 2)
        assert 5 * week.num_exports + 3 * week.num_replays == tenths_7d
        values |= {"actions_7d": week, "actions_30d": MONTH}
    return Facts(tenant_id, spans, {}, **(values | more))


def of(rules: Rules, **said: Any) -> Customer:
    return assess(facts(**said), NOW, rules)


@pytest.mark.parametrize(
    ("tenths_7d", "points", "text"),
    [
        (32, 40, "engagement dropped 54 %"),
        (35, 20, "engagement declining"),  # exactly 0.5
        (55, 20, "engagement declining"),
        (56 + 4, 0, None),
        (0, 40, "engagement dropped 100 %"),
        (None, 0, None),  # no ratio gives no points
    ],
)
def test_points_of_the_ratio(
    rules: Rules, tenths_7d: int | None, points: int, text: str | None
) -> None:
    risk = of(rules, tenths_7d=tenths_7d).risk
    assert risk.risk_signal_strength == points
    assert [reason.text for reason in risk.components] == ([text] if text else [])


def test_a_ratio_of_exactly_0_8_gives_nothing(rules: Rules) -> None:
    fourteen, seventy_five = Actions(4, 2, 0), Actions(num_exports=15)
    exact = facts(tenths_7d=None, actions_7d=fourteen, actions_30d=seventy_five)
    got = assess(exact, NOW, rules)
    assert got.stickiness.stickiness_delta == Fraction(4, 5)
    assert got.risk.risk_signal_strength == 0


@pytest.mark.parametrize(
    ("num", "points", "text"),
    [
        (2, 0, None),
        (3, 15, "multiple friction events"),
        (5, 15, "multiple friction events"),
        (6, 30, "6 friction events this week"),
    ],
)
def test_points_of_friction(rules: Rules, num: int, points: int, text: str | None) -> None:
    risk = of(rules, friction=num).risk
    assert (risk.risk_signal_strength, risk.primary_risk_reason) == (points, text)


@pytest.mark.parametrize(
    ("age", "points", "text"),
    [
        (7 * DAY, 0, None),
        (7 * DAY + TICK, 15, "disengaged for over a week"),
        (14 * DAY, 15, "disengaged for over a week"),
        (14 * DAY + TICK, 30, "no investigation in 14 days"),
        (16 * DAY - TICK, 30, "no investigation in 15 days"),
    ],
)
def test_points_of_disengagement(
    rules: Rules, age: timedelta, points: int, text: str | None
) -> None:
    risk = of(rules, looked=age, called=3 * DAY).risk
    assert (risk.risk_signal_strength, risk.primary_risk_reason) == (points, text)


def test_who_never_investigated_counts_from_the_first_call(rules: Rules) -> None:
    risk = of(rules, tenths_7d=None, looked=None, called=3 * DAY).risk
    assert risk.components[0].text == "no investigation in 90 days"


@pytest.mark.parametrize(
    ("said", "strength", "level"),
    [
        ({}, 0, "low"),
        ({"friction": 3}, 15, "low"),
        ({"tenths_7d": 40}, 20, "medium"),
        ({"tenths_7d": 40, "looked": 8 * DAY, "called": 3 * DAY}, 35, "medium"),
        ({"friction": 6, "looked": 8 * DAY, "called": 3 * DAY}, 45, "high"),
        ({"tenths_7d": 40, "friction": 6, "looked": 8 * DAY, "called": 3 * DAY}, 65, "high"),
        ({"tenths_7d": 40, "friction": 6, "looked": 15 * DAY, "called": 3 * DAY}, 80, "critical"),
    ],
)
def test_levels_of_strength(rules: Rules, said: dict[str, Any], strength: int, level: str) -> None:
    got = of(rules, **said)
    assert got.playbooks == ()
    assert (got.risk.risk_signal_strength, got.risk.risk_level) == (strength, level)
    assert got.risk.is_on_list is (level != "low")


def test_the_level_of_a_playbook_lifts_a_weak_signal(rules: Rules) -> None:
    got = of(rules, looked=8 * DAY)  # 15 points, but silent churn
    assert [match.playbook_id for match in got.playbooks] == ["silent_churn"]
    assert (got.risk.risk_signal_strength, got.risk.risk_level) == (15, "high")
    assert got.risk.primary_risk_reason.startswith("silent churn")
    assert got.risk.secondary_signals == ("disengaged for over a week",)


def test_a_playbook_stands_before_a_component_of_equal_weight(rules: Rules) -> None:
    # legal_only is medium and weighs 20, as much as a declining ratio.
    spans = {
        "CERT_VERIFIED": Span(NOW - 20 * DAY, NOW),
        VIEW: Span(NOW - 90 * DAY, NOW - DAY),
        "LOGIN": Span(NOW - 90 * DAY, NOW),
    }
    views = Facts("acme", spans, {}, actions_7d=Actions(3), actions_30d=Actions(20))
    got = assess(views, NOW, rules)
    assert got.risk.primary_risk_reason == "certificates only: no replay and no export in 30 days"
    assert got.risk.secondary_signals == ("engagement declining",)


def test_reasons_go_by_weight(rules: Rules) -> None:
    got = of(rules, tenths_7d=40, friction=6, looked=8 * DAY, called=3 * DAY).risk
    assert got.primary_risk_reason == "6 friction events this week"
    assert got.secondary_signals == ("engagement declining", "disengaged for over a week")
    equal = of(rules, tenths_7d=70, friction=3, looked=8 * DAY, called=3 * DAY).risk
    assert equal.primary_risk_reason == "multiple friction events"  # the order of the table


def test_nothing_known_is_no_level(rules: Rules) -> None:
    got = of(rules, tenths_7d=None, looked=None, called=None)
    assert (got.risk.risk_level, got.risk.risk_level_reason) == (None, "insufficient_data")
    assert not got.risk.is_on_list and got.interventions == ()
    one = of(rules, tenths_7d=None, looked=None, called=None, friction=1)
    assert (one.risk.risk_level, one.risk.risk_level_reason) == ("low", None)
    gap = of(rules, tenths_7d=None, looked=DAY, called=None)
    assert gap.risk.risk_level == "low"


def test_no_ratio_does_not_hide_silence(rules: Rules) -> None:
    got = of(rules, tenths_7d=None, looked=40 * DAY)
    assert got.stickiness.stickiness_delta is None
    assert got.risk.risk_level == "high" and got.risk.is_on_list


def test_a_cancelled_tenant_has_a_level_and_is_off_the_list(rules: Rules) -> None:
    base = facts(tenths_7d=0, friction=6, looked=8 * DAY)
    spans = {**base.spans, "SUBSCRIPTION_CANCELLED": Span(NOW - DAY, NOW - DAY)}
    got = assess(replace(base, spans=spans), NOW, rules)
    assert (got.status, got.paying) == ("churned", "no")
    assert got.risk.risk_level == "critical" and not got.risk.is_on_list
    assert got.playbooks == () and got.interventions == ()


@pytest.mark.parametrize(("age", "status"), [(30 * DAY, "gone"), (30 * DAY - TICK, "active")])
def test_no_event_for_30_days_is_gone(rules: Rules, age: timedelta, status: str) -> None:
    spans = {VIEW: Span(NOW - 90 * DAY, NOW - age)}
    got = assess(Facts("acme", spans, {}), NOW, rules)
    assert got.status == status and got.risk.is_on_list is (status == "active")


def test_cancelled_comes_before_gone(rules: Rules) -> None:
    spans = {"SUBSCRIPTION_CANCELLED": Span(NOW - 90 * DAY, NOW - 90 * DAY)}
    assert assess(Facts("acme", spans, {}), NOW, rules).status == "churned"


def test_the_order_of_the_list(rules: Rules) -> None:
    lower = "6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55"
    customers = {
        "critical": of(rules, tenths_7d=10),
        "high, 60": of(rules, friction=6, looked=15 * DAY, called=3 * DAY),
        "high, 30": of(rules, looked=15 * DAY),
        "high, 30, no ratio": of(rules, tenths_7d=None, looked=40 * DAY, tenant_id="0"),
        "medium, lower ratio": of(rules, tenths_7d=40, tenant_id="zeta"),
        "medium, a capital": of(rules, tenths_7d=50, tenant_id="Beta"),
        "medium, a UUID": of(rules, tenths_7d=50, tenant_id=lower.upper()),
        "medium, small": of(rules, tenths_7d=50, tenant_id="acme"),
    }
    # By code point: digits, capitals, small letters; but a UUID stands as in lower case.
    expected = [
        "critical",
        "high, 60",
        "high, 30",
        "high, 30, no ratio",
        "medium, lower ratio",
        "medium, a UUID",
        "medium, a capital",
        "medium, small",
    ]
    assert sorted(customers, key=lambda name: at_risk_order(customers[name])) == expected
