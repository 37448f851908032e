"""Silent churn: who pays, who calls, who looks, and both edges of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from fact_builder import Happened, facts_of

from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES
from ebbtide.signals.rules import Rules
from ebbtide.signals.silent_churn import Silence, compute_silence, is_paying

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
API, VIEW = "API_CALL_RECEIVED", "INCIDENT_VIEWED"
STARTED, CANCELLED = "SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED"


def of(events: list[Happened], rules: Rules) -> Silence:
    facts = facts_of(events, NOW)
    return compute_silence(facts, NOW, is_paying(facts), rules)


def calling(last: timedelta = HOUR) -> list[Happened]:
    return [Happened(NOW - 60 * DAY, API), Happened(NOW - last, API)]


def test_calls_without_anybody_looking(rules: Rules) -> None:
    got = of([*calling(), Happened(NOW - 9 * DAY, VIEW)], rules)
    assert got == Silence(True, NOW - HOUR, NOW - 9 * DAY, Fraction(9))


@pytest.mark.parametrize(
    ("age", "is_silent"), [(7 * DAY, False), (7 * DAY + TICK, True), (7 * DAY - TICK, False)]
)
def test_an_investigation_exactly_7_days_old_is_not_yet_silence(
    rules: Rules, age: timedelta, is_silent: bool
) -> None:
    assert of([*calling(), Happened(NOW - age, VIEW)], rules).is_silent_churn is is_silent


@pytest.mark.parametrize(("age", "is_silent"), [(48 * HOUR, False), (48 * HOUR - TICK, True)])
def test_a_call_exactly_48_hours_old_is_outside(
    rules: Rules, age: timedelta, is_silent: bool
) -> None:
    got = of([*calling(age), Happened(NOW - 9 * DAY, VIEW)], rules)
    assert got.is_silent_churn is is_silent


@pytest.mark.parametrize("name", INVESTIGATION_TYPES)
def test_each_investigation_counts_exports_too(rules: Rules, name: str) -> None:
    got = of([*calling(), Happened(NOW - 60 * DAY, VIEW), Happened(NOW - DAY, name)], rules)
    assert not got.is_silent_churn and got.investigation_gap_days == 1


def test_who_never_looked_counts_from_the_first_call(rules: Rules) -> None:
    got = of([Happened(NOW - 7 * DAY - TICK, API), Happened(NOW, API)], rules)
    assert got.is_silent_churn and got.last_investigation is None
    assert got.investigation_gap_days == Fraction(7 * 86_400_000_000 + 1, 86_400_000_000)
    assert not of([Happened(NOW - 7 * DAY, API), Happened(NOW, API)], rules).is_silent_churn


def test_the_gap_is_known_without_any_call(rules: Rules) -> None:
    got = of([Happened(NOW - 36 * HOUR, VIEW)], rules)
    assert got == Silence(False, None, NOW - 36 * HOUR, Fraction(3, 2))


def test_neither_a_call_nor_a_look_leaves_the_gap_unknown(rules: Rules) -> None:
    assert of([Happened(NOW, "LOGIN")], rules) == Silence(False, None, None, None)


@pytest.mark.parametrize(
    ("events", "paying"),
    [
        ([], "unknown"),
        ([Happened(NOW - 50 * DAY, STARTED)], "yes"),
        ([Happened(NOW - 50 * DAY, CANCELLED)], "no"),
        ([Happened(NOW - 50 * DAY, STARTED), Happened(NOW - 2 * DAY, CANCELLED)], "no"),
        ([Happened(NOW - 50 * DAY, CANCELLED), Happened(NOW - 2 * DAY, STARTED)], "yes"),
        ([Happened(NOW - 2 * DAY, CANCELLED), Happened(NOW - 2 * DAY, STARTED)], "yes"),
        ([Happened(NOW - 3 * DAY, CANCELLED), Happened(NOW - DAY, "SUBSCRIPTION_PAUSED")], "yes"),
    ],
)
def test_the_newest_word_on_the_subscription(
    rules: Rules, events: list[Happened], paying: str
) -> None:
    facts = facts_of([*calling(), Happened(NOW - 9 * DAY, VIEW), *events], NOW)
    assert is_paying(facts) == paying
    assert compute_silence(facts, NOW, paying, rules).is_silent_churn is (paying != "no")
