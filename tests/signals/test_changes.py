"""What changed lately, when a decline began, and which change came just before it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ebbtide.domain.event import Event
from ebbtide.signals.changes import (
    Actions,
    Change,
    Correlation,
    Sighting,
    decline_began,
    join,
    nearest_before,
    recent,
    to_changes,
    to_recorded,
    who_saw_the_same,
)
from ebbtide.store.events.base import EVENT_COLUMNS

DAY = timedelta(days=1)
AS_OF = datetime(2026, 3, 12, 8, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 12, tzinfo=UTC)
WEIGHTS = {"INCIDENT_VIEWED": 2, "REPLAY_EXECUTED": 3, "EXPORT_GENERATED": 5}


def ago(days: float) -> datetime:
    return AS_OF - days * DAY


def kinds(sightings: list[Sighting], tenant: str = "acme") -> list[tuple[str, str | None]]:
    return [(one.kind, one.value) for one in to_changes(sightings).get(tenant, [])]


def test_the_first_of_each_is_a_start_and_the_next_a_change() -> None:
    seen = [
        Sighting("acme", ago(40), "subscription", None, "pro", "99"),
        Sighting("acme", ago(40), "model", None, "small"),
        Sighting("acme", ago(39), "policy_version", "PII", "1"),
        Sighting("acme", ago(38), "policy_version", "SAFETY", "4"),
    ]
    assert kinds(seen) == []
    later = [
        Sighting("acme", ago(9), "policy_version", "PII", "2"),
        Sighting("acme", ago(8), "model", None, "large"),
        Sighting("acme", ago(7), "subscription", None, "team", "99"),
        Sighting("acme", ago(6), "subscription", None, "team", "199"),
        Sighting("acme", ago(5), "subscription", None, "team", "199"),
        Sighting("acme", ago(4), "freeze", "tenant"),
    ]
    assert kinds(list(reversed(seen + later))) == [
        ("freeze", None),
        ("price_change", "199"),
        ("plan_change", "team"),
        ("model_switch", "large"),
        ("policy_version", "2"),
    ]


def test_recent_is_14_days_open_at_their_start() -> None:
    changes = [Change("acme", ago(days), "freeze", None, None) for days in (0, 13.99, 14)]
    assert recent(changes, AS_OF) == changes[:2]
    assert [one.text(AS_OF) for one in changes] == [
        "traffic frozen, today",
        "traffic frozen, 13 days ago",
        "traffic frozen, 14 days ago",
    ]


def daily(first: int, last: int, num: int = 10) -> list[Actions]:
    """So many views each noon, from so many days before the last midnight to so many."""
    return [
        Actions(MIDNIGHT - day * DAY + DAY / 2, "INCIDENT_VIEWED", num)
        for day in range(last, first + 1)
    ]


OLD = MIDNIGHT - 400 * DAY


def test_a_decline_begins_at_the_first_midnight_below() -> None:
    # Steady until 10 days before; after two silent days the week holds 5 of 7, the base 28 of 30.
    assert decline_began(daily(70, 11), OLD, AS_OF, WEIGHTS) == MIDNIGHT - 8 * DAY
    assert decline_began(daily(70, 1), OLD, AS_OF, WEIGHTS) is None


def test_exactly_four_fifths_of_the_base_is_no_decline() -> None:
    # 30 days hold 75, so the base is 17.5; a week of 14 is exactly 0.8 of it.
    past = [Actions(MIDNIGHT - 20 * DAY, "INCIDENT_VIEWED", 61)]
    for num, began in ((14, None), (13, MIDNIGHT)):
        found = decline_began(
            [*past, Actions(MIDNIGHT - 1 * DAY, "INCIDENT_VIEWED", num)], OLD, AS_OF, WEIGHTS
        )
        assert (found is None) == (began is None), num


def test_a_day_above_ends_the_run() -> None:
    pause = daily(70, 12) + daily(4, 4, 200)  # one busy day, four days ago
    assert decline_began(pause, OLD, AS_OF, WEIGHTS) is None


def test_nobody_declines_from_nothing_or_before_his_first_event() -> None:
    assert decline_began([], OLD, AS_OF, WEIGHTS) is None
    assert decline_began([], AS_OF, AS_OF, WEIGHTS) is None


def test_a_long_decline_begins_no_earlier_than_the_window_looked_at() -> None:
    # One busy day 31 days ago and almost nothing since.
    actions = daily(33, 33, 500) + daily(30, 0, 0)
    found = decline_began(actions, OLD, AS_OF, WEIGHTS)
    assert found is None or found > AS_OF - 30 * DAY


def test_the_nearest_change_within_14_days_before() -> None:
    start = MIDNIGHT - 8 * DAY
    changes = [
        Change("acme", start + timedelta(microseconds=1), "model_switch", None, "x"),
        Change("acme", start - 3 * DAY, "policy_version", "PII", "2"),
        Change("acme", start - 3 * DAY, "freeze", None, None),
        Change("acme", start - 9 * DAY, "model_switch", None, "y"),
    ]
    found = nearest_before(changes, start)
    assert found is not None and found.kind == "freeze"
    assert nearest_before(changes[:1], start) is None
    at_the_edge = Change("acme", start - 14 * DAY, "freeze", None, None)
    assert nearest_before([at_the_edge], start) is at_the_edge


def test_others_are_those_who_saw_the_same() -> None:
    def change(tenant: str, version: str, days: float) -> Change:
        return Change(tenant, ago(days), "policy_version", "PII", version)

    mine = change("acme", "2", 10)
    changes = {
        "acme": [mine],
        "same": [change("same", "2", 9)],
        "other-version": [change("other-version", "3", 9)],
        "long-ago": [change("long-ago", "2", 44)],
    }
    assert who_saw_the_same(mine, changes, AS_OF) == ["acme", "same"]


def record(kind: str, days: float, **said: str) -> Event:
    """A recorded change of acme."""
    uuid = "6f1f4f4e-9c5b-5d0e-8f0a-2b7d3c9a1e55"
    blank: dict[str, Any] = dict.fromkeys(EVENT_COLUMNS)
    metadata = json.dumps(said | {"kind": kind})
    values = blank | {
        "event_uuid": uuid,
        "event_id": uuid,
        "timestamp": ago(days),
        "received_at": ago(days),
        "tenant_id": "acme",
        "event_type": "CHANGE_RECORDED",
        "source": "test",
        "metadata": metadata,
    }
    return Event(*values.values())


def test_recorded_changes_join_what_was_seen() -> None:
    recorded = to_recorded(
        [
            record("policy_version", 5, policy_id="PII", policy_version="2"),
            record("rate_limit", 4, value="100 per minute"),
            record("deploy", 3, subject="proxy", value="r7"),
            record("price", 2, value="199", subject="pro"),
            record("weather", 1),
        ]
    )
    seen = [Change("acme", ago(4.5), "policy_version", "PII", "2")]
    joined = join(seen, recorded)
    assert [one.what for one in joined] == [
        "price of pro changed to 199 USD",
        "deploy proxy r7",
        "rate limit changed to 100 per minute",
        "version 2 of policy PII",
    ]
    assert joined[-1].at == ago(5)


@pytest.mark.parametrize(
    ("others", "declined", "words"),
    [
        (0, 0, "no other customer saw the same"),
        (5, 2, "of 7 others who saw the same, 5 did not decline"),
    ],
)
def test_the_finding_names_no_cause(others: int, declined: int, words: str) -> None:
    change = Change("acme", ago(10), "policy_version", "PII", "2")
    found = Correlation(change, ago(7), others, declined)
    assert found.text == f"version 2 of policy PII, 3 days before the decline began; {words}"
    assert found.days_between == 3
