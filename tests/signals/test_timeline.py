"""The 30-day timeline, and the words for its trends, each at its edge."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from ebbtide.signals.facts import Facts, Span
from ebbtide.signals.timeline import INVESTIGATIONS, Count, Trend, timeline, trend_of

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
AS_OF = datetime(2026, 3, 12, 8, 30, tzinfo=UTC)
OLD = 400 * DAY


@pytest.mark.parametrize(
    ("num_7d", "num_30d", "word"),
    [
        (1, 4, Trend.RARE),
        (5, 5, Trend.RISING),
        # 23 days with 92 events are 28 a week.
        (36, 128, Trend.RISING),
        (35, 127, Trend.STABLE),  # exactly 1.25
        (23, 115, Trend.STABLE),
        (22, 114, Trend.DECLINING),
        (14, 106, Trend.DECLINING),  # exactly 0.5
        (13, 105, Trend.DROPPING),
        (0, 92, Trend.DROPPING),
    ],
)
def test_the_words_at_their_edges(num_7d: int, num_30d: int, word: Trend) -> None:
    assert trend_of(num_7d, num_30d, AS_OF, OLD, AS_OF) == (word, None)


def test_exactly_four_fifths_is_stable() -> None:
    # 115 in 23 days are 35 a week, 28 are exactly 0.8 of it.
    assert trend_of(28, 143, AS_OF, OLD, AS_OF)[0] is Trend.STABLE
    assert trend_of(27, 142, AS_OF, OLD, AS_OF)[0] is Trend.DECLINING


def test_two_weeks_without_one_is_stopped_whatever_was_before() -> None:
    assert trend_of(0, 1000, AS_OF - 14 * DAY, OLD, AS_OF) == (Trend.STOPPED, None)
    assert trend_of(0, 1000, AS_OF - 14 * DAY + TICK, OLD, AS_OF) == (Trend.DROPPING, None)
    assert trend_of(0, 0, AS_OF - 90 * DAY, OLD, AS_OF) == (Trend.STOPPED, None)


def test_without_a_past_there_is_no_word() -> None:
    assert trend_of(0, 0, None, OLD, AS_OF) == (None, "no_activity")
    assert trend_of(50, 100, AS_OF, 14 * DAY - TICK, AS_OF) == (None, "insufficient_data")
    assert trend_of(50, 100, AS_OF, 14 * DAY, AS_OF) == (Trend.STABLE, None)


def test_a_young_customer_is_compared_with_the_days_there_were() -> None:
    # 14 days old: 7 days of 10 events each before the last week.
    assert trend_of(35, 105, AS_OF, 14 * DAY, AS_OF) == (Trend.DECLINING, None)


def test_every_customer_has_the_lines_that_matter() -> None:
    last = AS_OF - 2 * DAY
    facts = Facts(
        "acme",
        spans={
            "LOGIN": Span(AS_OF - OLD, last),
            "REPLAY_EXECUTED": Span(last, last),
            "EXPORT_GENERATED": Span(AS_OF - OLD, AS_OF - 100 * DAY),
        },
        firsts={},
    )
    counts = [
        Count("LOGIN", last, 7),
        Count("LOGIN", AS_OF - 30 * DAY + TICK, 2),
        Count("REPLAY_EXECUTED", datetime(2026, 3, 10, tzinfo=UTC), 1),
    ]
    lines = {line.name: line for line in timeline(counts, facts, AS_OF)}
    assert list(lines) == [
        "API_CALL_RECEIVED",
        "INCIDENT_CREATED",
        INVESTIGATIONS,
        "INCIDENT_VIEWED",
        "REPLAY_EXECUTED",
        "EXPORT_GENERATED",
        "LOGIN",
    ]
    login = lines["LOGIN"]
    assert (login.num_7d, login.num_30d, login.last_at) == (7, 9, last)
    assert len(login.days) == 31
    assert login.days[0] == (date(2026, 2, 10), 2) and login.days[-1] == (date(2026, 3, 12), 0)
    # Midnight ends a day.
    assert dict(lines["REPLAY_EXECUTED"].days)[date(2026, 3, 9)] == 1
    assert lines["EXPORT_GENERATED"].trend is Trend.STOPPED
    assert lines["API_CALL_RECEIVED"].reason == "no_activity"
    assert lines[INVESTIGATIONS].last_at == last
