"""Friction: both scores, the two caps in two passes, and the type that leads."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from fact_builder import FRICTION_7D, FRICTION_14D, Happened, facts_of, repeat
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.signals.facts import DAY, FrictionEvent
from ebbtide.signals.friction import Friction, compute_friction, counted_events
from ebbtide.signals.rules import Rules

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
LOGIN = Happened(NOW - 90 * DAY, "LOGIN")


def of(events: list[Happened], rules: Rules) -> Friction:
    return compute_friction(facts_of([LOGIN, *events], NOW), rules)


def in_session(
    num: int, event_type: str, session: str | None, at: datetime = NOW
) -> list[Happened]:
    return [
        Happened(at, event_type, session, event_uuid=f"{session}-{event_type}-{i}")
        for i in range(num)
    ]


def test_no_friction_is_a_real_zero(rules: Rules) -> None:
    assert of([], rules) == Friction(Fraction(0), Fraction(0), 0, None, None)


def test_each_weight_of_14_days(rules: Rules) -> None:
    for name, weight in zip(FRICTION_14D, ("2", "1.5", "3", "1"), strict=True):
        assert of([Happened(NOW, name)], rules).friction_score == Fraction(weight)


def test_each_weight_of_7_days(rules: Rules) -> None:
    weights = ("3", "2.5", "2", "1.5", "2", "2", "1")
    for name, weight in zip(FRICTION_7D, weights, strict=True):
        assert of([Happened(NOW, name)], rules).friction_weighted_score == Fraction(weight)


def test_the_14_day_score_stops_at_50(rules: Rules) -> None:
    assert of(repeat(25, NOW, "REPLAY_ABORTED"), rules).friction_score == 50
    assert of(repeat(26, NOW, "REPLAY_ABORTED"), rules).friction_score == 50
    almost = [*repeat(24, NOW, "REPLAY_ABORTED"), Happened(NOW, "EXPORT_ABORTED")]
    assert of(almost, rules).friction_score == Fraction("49.5")


def test_windows_are_open_at_their_start(rules: Rules) -> None:
    assert of([Happened(NOW - 14 * DAY, "REPLAY_ABORTED")], rules).friction_score == 0
    assert of([Happened(NOW - 14 * DAY + TICK, "REPLAY_ABORTED")], rules).friction_score == 2
    assert of([Happened(NOW - 7 * DAY, "REPLAY_ABORTED")], rules).friction_events_7d == 0
    assert of([Happened(NOW - 7 * DAY + TICK, "REPLAY_ABORTED")], rules).friction_events_7d == 1


def test_five_of_one_session_count_and_all_are_counted(rules: Rules) -> None:
    got = of(in_session(7, "REPLAY_ABORTED", "s1"), rules)
    assert got.friction_weighted_score == 15
    assert got.friction_events_7d == 7


def test_the_heaviest_of_a_session_count(rules: Rules) -> None:
    events = in_session(4, "INCIDENT_VIEWED_NO_ACTION", "s1", NOW - DAY)
    events += in_session(4, "REPLAY_ABORTED", "s1")
    assert of(events, rules).friction_weighted_score == 4 * 3 + 1


def test_a_session_has_one_cap_over_midnight(rules: Rules) -> None:
    midnight = NOW.replace(hour=0)
    events = in_session(4, "REPLAY_ABORTED", "s1", midnight - TICK)
    events += in_session(4, "REPLAY_ABORTED", "s1", midnight)
    assert of(events, rules).friction_weighted_score == 15


def test_ten_of_one_utc_day_count(rules: Rules) -> None:
    events = [one for n in range(4) for one in in_session(3, "EXPORT_ABORTED", f"s{n}")]
    assert of(events, rules).friction_weighted_score == 25
    midnight = NOW.replace(hour=0)
    events = [*repeat(10, midnight - TICK, "REPLAY_FAILED"), *repeat(10, midnight, "REPLAY_FAILED")]
    assert of(events, rules).friction_weighted_score == 40


def test_sessions_are_cut_before_days(rules: Rules) -> None:
    # One session of nine heavy ones gives five; so seven light ones find five places of the day.
    events = in_session(9, "REPLAY_ABORTED", "s1")
    events += [one for n in range(7) for one in in_session(1, "SESSION_IDLE_TIMEOUT", f"t{n}")]
    assert of(events, rules).friction_weighted_score == 5 * 3 + 5 * Fraction("1.5")


def test_no_session_is_capped_by_day_only(rules: Rules) -> None:
    for none in (None, ""):
        assert of(in_session(8, "REPLAY_ABORTED", none), rules).friction_weighted_score == 24
        assert of(in_session(12, "REPLAY_ABORTED", none), rules).friction_weighted_score == 30


def test_ties_go_to_the_earliest_then_by_id(rules: Rules) -> None:
    six = [
        FrictionEvent(NOW - (i // 2) * TICK, f"{i}", "REPLAY_ABORTED", "s1", None) for i in range(6)
    ]
    assert [one.event_uuid for one in counted_events(six, rules)] == ["4", "5", "2", "3", "0"]


def test_the_top_type_weighs_most_without_caps(rules: Rules) -> None:
    events = in_session(20, "INCIDENT_VIEWED_NO_ACTION", "s1")  # 20, of which 5 are counted
    events += in_session(6, "REPLAY_ABORTED", "s2")  # 18
    assert of(events, rules).top_friction_type == "INCIDENT_VIEWED_NO_ACTION"


def test_equal_top_types_go_by_the_alphabet(rules: Rules) -> None:
    events = [Happened(NOW, name) for name in ("REPLAY_FAILED", "POLICY_BLOCK_REPEAT")]
    assert of(events, rules).top_friction_type == "POLICY_BLOCK_REPEAT"
    events = [*repeat(2, NOW, "REPLAY_ABORTED"), *repeat(3, NOW, "EXPORT_FAILED")]
    assert of(events, rules).top_friction_type == "EXPORT_FAILED"


def test_the_last_friction_event_has_no_window(rules: Rules) -> None:
    at = NOW - 60 * DAY
    assert of([Happened(at, "EXPORT_FAILED")], rules).last_friction_event == at
    started = [
        Happened(NOW, name) for name in ("REPLAY_STARTED", "SESSION_STARTED", "SESSION_ENDED")
    ]
    assert of(started, rules).last_friction_event is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 7 * 24 - 1),
            st.sampled_from(FRICTION_7D),
            st.sampled_from([None, "", "a", "b", "c"]),
        ),
        max_size=60,
    )
)
def test_one_walk_gives_what_two_passes_give(
    rules: Rules, drawn: list[tuple[int, str, str | None]]
) -> None:
    events = [
        FrictionEvent(NOW - timedelta(hours=hours), f"{number:03}", name, session, None)
        for number, (hours, name, session) in enumerate(drawn)
    ]
    units = rules.friction_7d.units

    def best(group: list[FrictionEvent], num: int) -> list[FrictionEvent]:
        order = sorted(
            group, key=lambda one: (-units[one.event_type], one.timestamp, one.event_uuid)
        )
        return order[:num]

    sessions: dict[str, list[FrictionEvent]] = defaultdict(list)
    for one in events:
        sessions[one.session_id or f"none-{one.event_uuid}"].append(one)
    days: dict[object, list[FrictionEvent]] = defaultdict(list)
    for group in sessions.values():
        for one in best(group, 5):
            days[one.timestamp.date()].append(one)
    expected = {one for group in days.values() for one in best(group, 10)}
    assert set(counted_events(events, rules)) == expected
