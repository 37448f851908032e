"""Intent: what the first week says, strict at its end, and the times to the first steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from fact_builder import Happened, facts_of

from ebbtide.signals.facts import DAY
from ebbtide.signals.intent import Intent, compute_intent
from ebbtide.signals.rounding import to_decimal
from ebbtide.signals.rules import Rules

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
START = NOW - 40 * DAY
SIGN_UP = Happened(START, "SUBSCRIPTION_STARTED")
VIEW, REPLAY, EXPORT = "INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED"
INCIDENT = "INCIDENT_CREATED"


def of(events: list[Happened], rules: Rules, as_of: datetime = NOW) -> Intent:
    return compute_intent(facts_of(events, as_of), as_of, rules)


@pytest.mark.parametrize(
    ("name", "after", "buyer_type", "confidence"),
    [
        (EXPORT, timedelta(0), "Legal/Compliance", "0.95"),
        (EXPORT, 24 * HOUR - TICK, "Legal/Compliance", "0.95"),
        (EXPORT, 24 * HOUR, "Legal/Compliance", "0.85"),
        (EXPORT, 7 * DAY - TICK, "Legal/Compliance", "0.85"),
        (EXPORT, 7 * DAY, "Proxy Only", "0.50"),
        (REPLAY, 7 * DAY - TICK, "Debugging", "0.75"),
        (REPLAY, 7 * DAY, "Proxy Only", "0.50"),
        (INCIDENT, 7 * DAY - TICK, "Reliability Monitoring", "0.65"),
        (INCIDENT, 7 * DAY, "Proxy Only", "0.50"),
        (VIEW, HOUR, "Proxy Only", "0.50"),
        ("API_CALL_RECEIVED", HOUR, "Proxy Only", "0.50"),
    ],
)
def test_each_case_and_its_end(
    rules: Rules, name: str, after: timedelta, buyer_type: str, confidence: str
) -> None:
    got = of([SIGN_UP, Happened(START + after, name)], rules)
    assert (got.inferred_buyer_type, got.intent_confidence) == (buyer_type, Fraction(confidence))


def test_the_first_case_that_holds_counts(rules: Rules) -> None:
    week = [Happened(START + n * DAY, one) for n, one in enumerate((INCIDENT, REPLAY, EXPORT), 1)]
    assert of([SIGN_UP, *week], rules).inferred_buyer_type == "Legal/Compliance"
    assert of([SIGN_UP, *week[:2]], rules).inferred_buyer_type == "Debugging"
    assert of([SIGN_UP, *week[:1]], rules).inferred_buyer_type == "Reliability Monitoring"


def test_what_came_before_sign_up_does_not_count(rules: Rules) -> None:
    got = of([Happened(START - DAY, EXPORT), SIGN_UP], rules)
    assert got.inferred_buyer_type == "Proxy Only"
    assert got.time_to_first_export_h is None
    assert got.first_action == EXPORT  # the first thing it did, whenever


def test_an_export_before_sign_up_does_not_hide_one_after_it(rules: Rules) -> None:
    got = of([Happened(START - DAY, EXPORT), SIGN_UP, Happened(START + 3 * HOUR, EXPORT)], rules)
    assert got.intent_confidence == Fraction(95, 100)
    assert got.time_to_first_export_h == 3


def test_the_first_sign_up_counts(rules: Rules) -> None:
    again = Happened(START + 20 * DAY, "SUBSCRIPTION_STARTED")
    got = of([SIGN_UP, again, Happened(START + 21 * DAY, EXPORT)], rules)
    assert got.signed_up_at == START and got.inferred_buyer_type == "Proxy Only"


def test_without_subscription_sign_up_is_the_first_event_which_itself_counts(rules: Rules) -> None:
    got = of([Happened(START, EXPORT)], rules)
    assert got.signed_up_at == START
    assert (got.intent_confidence, got.time_to_first_export_m) == (Fraction(95, 100), 0)
    assert got.evidence == "export within 1 h of sign-up"


@pytest.mark.parametrize(
    ("age", "provisional"), [(7 * DAY - TICK, True), (7 * DAY, False), (timedelta(0), True)]
)
def test_provisional_until_seven_days_are_over(
    rules: Rules, age: timedelta, provisional: bool
) -> None:
    got = of([SIGN_UP], rules, START + age)
    assert got.provisional is provisional
    text = "so far" if provisional else "in the first 7 days"
    assert got.evidence == f"no incident, replay or export {text}"


@pytest.mark.parametrize(
    ("name", "after", "evidence"),
    [
        (EXPORT, 18 * HOUR, "export within 18 h of sign-up"),
        (EXPORT, 18.6 * HOUR, "export within 19 h of sign-up"),
        (EXPORT, 49 * HOUR, "export within 3 days of sign-up"),
        (REPLAY, 2 * HOUR, "replay within 2 h of sign-up, no export in the first 7 days"),
        (
            INCIDENT,
            DAY,
            "incident within 24 h of sign-up, no replay or export in the first 7 days",
        ),
    ],
)
def test_evidence_in_words(rules: Rules, name: str, after: timedelta, evidence: str) -> None:
    assert of([SIGN_UP, Happened(START + after, name)], rules).evidence == evidence


def test_times_to_first_steps(rules: Rules) -> None:
    events = [
        Happened(START + timedelta(hours=2, minutes=18, seconds=59), INCIDENT),
        Happened(START + timedelta(minutes=59, seconds=59), VIEW),
        Happened(START + 18.4 * HOUR, REPLAY),
        Happened(START + 20 * DAY, REPLAY),
    ]
    got = of([SIGN_UP, *events], rules)
    hours = (got.time_to_first_incident_h, got.time_to_first_view_h, got.time_to_first_replay_h)
    assert [str(to_decimal(one or 0)) for one in hours] == ["2.32", "1.00", "18.40"]
    assert (got.time_to_first_incident_m, got.time_to_first_view_m) == (138, 59)
    assert got.time_to_first_replay_m == 1104
    assert (got.time_to_first_export_h, got.time_to_first_export_m) == (None, None)
    assert got.first_view_at == events[1].at and got.first_export_at is None


def test_the_first_action_is_no_call_and_no_subscription(rules: Rules) -> None:
    calls = [SIGN_UP, Happened(START, "API_CALL_RECEIVED"), Happened(START, "BILLING_UPDATED")]
    got = of(calls, rules)
    assert (got.first_action, got.first_action_at) == (None, None)
    at = START + HOUR
    got = of([*calls, Happened(at, REPLAY), Happened(at, "LOGIN"), Happened(at, VIEW)], rules)
    assert (got.first_action, got.first_action_at) == (VIEW, at)  # alphabetical at one instant
