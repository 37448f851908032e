"""The state machine of one rule, for every story that observations, clocks and people can tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.alerts.machine import Manner, Notice, step
from ebbtide.domain.alert import WEIGHT, AlertState, AlertStatus, Group, Observation

T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MANNER = Manner(remind_after=30 * MINUTE, reset_after=5 * MINUTE)
OK, WARNING, ALERT, NO_DATA = (
    AlertStatus.OK,
    AlertStatus.WARNING,
    AlertStatus.ALERT,
    AlertStatus.NO_DATA,
)


def seen(status: AlertStatus, *, tells_no_data: bool = True) -> Observation:
    return Observation("job:a", Group.PLATFORM, status, "A job", status, None, tells_no_data)


def tell(*story: tuple[float, AlertStatus]) -> list[tuple[float, str]]:
    """Observations at minutes -> what is told, as (minute, word)."""
    state: AlertState | None = None
    told = []
    for minute, status in story:
        state, notice = step(state, seen(status), T0 + minute * MINUTE, MANNER)
        if notice is not None:
            told.append((minute, "over" if notice.is_resolved else notice.state.status.value))
    return told


def test_it_tells_the_edge_and_the_end_and_nothing_between() -> None:
    story = [(0, OK), (1, ALERT), (2, ALERT), (3, OK), (4, OK), (7.5, OK), (8, OK), (9, OK)]
    assert tell(*story) == [(1, "alert"), (8, "over")]


def test_what_flutters_is_one_story() -> None:
    story = [(minute, ALERT if minute % 3 else OK) for minute in range(25)]
    assert tell(*story) == [(1, "alert")]


def test_it_reminds_as_long_as_it_lasts() -> None:
    assert tell(*[(minute, WARNING) for minute in range(0, 70, 5)]) == [
        (0, "warning"),
        (30, "warning"),
        (60, "warning"),
    ]


def test_worse_is_told_at_once_and_milder_is_not() -> None:
    story = [(0, WARNING), (1, ALERT), (2, WARNING), (3, ALERT), (4, OK), (9, OK)]
    assert tell(*story) == [(0, "warning"), (1, "alert"), (9, "over")]


def test_blindness_neither_confirms_nor_ends_what_was_told() -> None:
    assert tell((0, ALERT), (1, NO_DATA), (20, NO_DATA), (50, OK), (54, OK), (55, OK)) == [
        (0, "alert"),
        (55, "over"),
    ]
    assert tell((0, NO_DATA), (1, WARNING)) == [(0, "no_data"), (1, "warning")]


def test_blindness_that_another_rule_tells_of_is_not_told_twice() -> None:
    state, notice = step(None, seen(NO_DATA, tells_no_data=False), T0, MANNER)
    assert notice is None and state.status is NO_DATA and state.told is None


def test_who_takes_care_is_left_alone_until_it_gets_worse() -> None:
    state, _ = step(None, seen(WARNING), T0, MANNER)
    state = replace(state, acked_at=T0, acked_by="k")
    state, notice = step(state, seen(WARNING), T0 + 60 * MINUTE, MANNER)
    assert notice is None and state.acked_by == "k"
    state, notice = step(state, seen(ALERT), T0 + 61 * MINUTE, MANNER)
    assert notice is not None and state.acked_by is None


def test_a_snooze_is_quiet_and_then_tells_what_still_is() -> None:
    state, _ = step(None, seen(WARNING), T0, MANNER)
    state = replace(state, snoozed_until=T0 + 40 * MINUTE, snoozed_by="k")
    for minute in (10, 35):
        state, notice = step(state, seen(ALERT), T0 + minute * MINUTE, MANNER)
        assert notice is None
    state, notice = step(state, seen(ALERT), T0 + 40 * MINUTE, MANNER)
    assert notice is not None and notice.state.status is ALERT and state.snoozed_until is None


MOVES = st.tuples(
    st.sampled_from(list(AlertStatus)),
    st.integers(-3, 40),  # minutes to the next look; a clock may go back
    st.sampled_from(["", "", "", "ack", "snooze"]),
)


@settings(max_examples=200)
@given(st.lists(MOVES, max_size=25))
def test_every_story_keeps_the_promises(moves: list[tuple[AlertStatus, int, str]]) -> None:
    state: AlertState | None = None
    now = T0
    firing_at: datetime | None = None  # of the newest notice, while receivers believe it
    for status, minutes, said in moves:
        now += minutes * MINUTE
        before = state
        state, notice = step(state, seen(status), now, MANNER)
        at = state.seen_at
        assert before is None or at >= before.seen_at
        if notice is not None and notice.is_resolved:
            assert firing_at is not None, "over is told only of what was told"
            assert status is OK and state.told is None
            firing_at = None
        elif notice is not None:
            assert status is not OK
            assert before is None or before.snoozed_until is None or at >= before.snoozed_until
            if firing_at is not None and not notice.is_reminder:
                assert before is not None and before.told is not None
                assert WEIGHT[status] > WEIGHT[before.told], "again only because it is worse"
            if notice.is_reminder:
                assert before is not None and before.acked_at is None
                assert firing_at is not None and at - firing_at >= 30 * MINUTE
            firing_at = at
        assert (state.told is not None) == (firing_at is not None)
        is_snoozed = state.snoozed_until is not None and at < state.snoozed_until
        if status in (WARNING, ALERT) and not is_snoozed:
            assert state.told is not None and WEIGHT[state.told] >= WEIGHT[status]
        if status is OK and state.ok_since is not None:
            assert at - state.ok_since < 5 * MINUTE, "five good minutes end it"
        again: tuple[AlertState, Notice | None] = step(state, seen(status), now, MANNER)
        assert again == (state, None), "looking twice changes nothing"
        if said == "ack":
            state = replace(state, acked_at=at, acked_by="k")
        if said == "snooze":
            state = replace(state, snoozed_until=at + 20 * MINUTE, snoozed_by="k")
