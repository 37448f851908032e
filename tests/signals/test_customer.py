"""One customer computed by hand, and the promise of when it will look different by time alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from fact_builder import FRICTION_7D, Happened, build_facts, facts_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbtide.signals.customer import Customer, assess, next_change_at
from ebbtide.signals.facts import DAY
from ebbtide.signals.rounding import to_decimal
from ebbtide.signals.rules import Rules

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
VIEW, REPLAY, EXPORT = "INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED"


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}:00+00:00")


#: Signed up on 10 February; busy for two weeks, then less and less; two replays given up.
STORY = [
    Happened(at("02-10T09:00"), "SUBSCRIPTION_STARTED"),
    Happened(at("02-10T09:30"), "API_CALL_RECEIVED"),
    Happened(at("02-10T11:20"), "INCIDENT_CREATED"),
    Happened(at("02-10T11:30"), VIEW),
    Happened(at("02-11T03:36"), REPLAY),
    *[Happened(at(f"02-{day}T10:00"), VIEW) for day in range(12, 24)],
    *[Happened(at(f"02-{day}T10:05"), REPLAY) for day in range(12, 24)],
    *[Happened(at(f"02-{day}T16:00"), EXPORT) for day in range(16, 24)],
    Happened(at("03-04T10:00"), VIEW),  # older than 7 days
    Happened(at("03-06T10:00"), VIEW),
    Happened(at("03-09T12:00"), VIEW),  # exactly 3 days old
    Happened(at("02-27T09:00"), "POLICY_BLOCK_REPEAT", None, "pii"),  # 14 days, not 7
    Happened(at("03-10T15:00"), "REPLAY_ABORTED", "s1"),
    Happened(at("03-10T15:05"), "REPLAY_ABORTED", "s1"),
    Happened(at("03-11T08:00"), "SESSION_IDLE_TIMEOUT", "s2"),
    Happened(at("03-12T11:00"), "API_CALL_RECEIVED"),
]


def test_a_tenant_computed_by_hand(rules: Rules) -> None:
    got = assess(facts_of(STORY, NOW), NOW, rules)
    # 30 days begin on 10 February, 12:00: the first view is out, the first replay is in.
    # views 12 + 3 = 15, replays 1 + 12 = 13, exports 8: 3.0 + 3.9 + 4.0 = 10.9
    # age 30 d 3 h, so T = 30: 10.9 x 7 / 30 = 2.5433...
    # 7 days: two views = 0.4; neither is younger than 3 days, so decayed 0.2.
    # best midnight: the week up to 23 or 24 February: 7 views, 7 replays, 7 exports
    assert got.stickiness.stickiness_7d == Fraction(4, 10)
    assert got.stickiness.stickiness_30d == Fraction(763, 300)
    assert got.stickiness.stickiness_delta == Fraction(120, 763)
    assert got.stickiness.stickiness_trend == "falling"
    assert got.stickiness.stickiness_decayed == Fraction(2, 10)
    assert got.stickiness.peak_stickiness == 7
    shown = (got.stickiness.stickiness_30d, Fraction(120, 763))
    assert [str(to_decimal(one)) for one in shown] == ["2.54", "0.16"]
    # 14 days: 2 x 2 + 3 + 1 = 8; 7 days: 3 + 3 + 1.5 = 7.5
    assert (got.friction.friction_score, got.friction.friction_weighted_score) == (8, 7.5)
    assert (got.friction.friction_events_7d, got.friction.top_friction_type) == (
        3,
        "REPLAY_ABORTED",
    )
    assert got.friction.last_friction_event == at("03-11T08:00")
    assert (got.status, got.paying) == ("active", "yes")
    assert got.silence.investigation_gap_days == 3 and not got.silence.is_silent_churn
    assert (got.intent.inferred_buyer_type, got.intent.intent_confidence) == (
        "Legal/Compliance",
        Fraction(85, 100),
    )
    assert got.intent.evidence == "export within 7 days of sign-up"  # 6 d 7 h
    assert got.intent.first_action == "INCIDENT_CREATED"
    assert got.intent.time_to_first_incident_m == 140
    assert got.intent.time_to_first_replay_h == Fraction("18.6")
    # 40 for the ratio, 15 for three friction events; stickiness_30d is not above 3
    assert (got.risk.risk_signal_strength, got.risk.risk_level) == (55, "high")
    assert got.risk.primary_risk_reason == "engagement dropped 84 %"
    assert got.risk.secondary_signals == ("multiple friction events",)
    assert got.playbooks == ()
    assert [(one.rule, one.priority) for one in got.interventions] == [
        ("engagement_drop", "today"),
        ("abandoned_flows", "today"),
    ]


TYPES = [
    "API_CALL_RECEIVED",
    "SUBSCRIPTION_STARTED",
    "SUBSCRIPTION_CANCELLED",
    "CERT_VERIFIED",
    "LOGIN",
    VIEW,
    REPLAY,
    EXPORT,
    *FRICTION_7D,
]
#: Mostly round hours, so that several edges fall on one instant, and a tick beside them.
MOMENTS = st.builds(
    lambda hours, ticks: NOW - hours * HOUR + ticks * TICK,
    st.integers(0, 45 * 24),
    st.sampled_from([-1, 0, 0, 0, 1]),
)
EVENTS = st.lists(
    st.builds(
        Happened,
        MOMENTS,
        st.sampled_from(TYPES),
        st.sampled_from([None, "s"]),
        st.sampled_from([None, "pii"]),
        st.uuids().map(str),
    ),
    min_size=1,
    max_size=25,
)


def jumping_parts(one: Customer) -> list[object]:
    """All that is said, but for the ages that grow evenly; texts say them in full days."""
    hours_left_out = [
        [text for text in each.triggering_signals if "API call" not in text]
        for each in one.interventions
    ]
    days_left_out = [text for each in one.playbooks for text in each.signals if "with us" in text]
    return [
        one.status,
        one.paying,
        one.stickiness,
        one.friction,
        one.silence.is_silent_churn,
        one.intent,
        one.risk,
        [match.playbook_id for match in one.playbooks],
        [(each.rule, each.priority, each.playbook_id) for each in one.interventions],
        None if days_left_out else hours_left_out,
    ]


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(0, 40 * 24 * 60))
def test_nothing_jumps_before_the_moment_that_is_named(
    rules: Rules, events: list[Happened], minutes: int
) -> None:
    as_of = NOW + timedelta(minutes=minutes)
    facts = build_facts(events, as_of)
    if facts is None:
        return
    now = assess(facts, as_of, rules)
    until = next_change_at(facts, as_of, rules)
    later = min([until, *[one.at for one in events if one.at > as_of]], key=_none_last)
    last = as_of + 60 * DAY if later is None else later - TICK
    assert last >= as_of
    for moment in (last, as_of + (last - as_of) / 2):
        then = assess(facts_of(events, moment), moment, rules)
        assert jumping_parts(then) == jumping_parts(now)


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_following_the_moments_shows_every_jump(rules: Rules, events: list[Happened]) -> None:
    """From tick to tick, looking only where something was due, nothing is missed."""
    as_of = NOW + HOUR
    facts = facts_of(events, as_of)
    kept, due = assess(facts, as_of, rules), next_change_at(facts, as_of, rules)
    for tick in range(1, 50):
        moment = as_of + tick * 17 * HOUR
        facts = facts_of(events, moment)
        now = assess(facts, moment, rules)
        if due is not None and due <= moment:
            kept, due = now, next_change_at(facts, moment, rules)
        assert jumping_parts(kept) == jumping_parts(now)


def _none_last(moment: datetime | None) -> datetime:
    return moment or datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("events", "due"),
    [
        ([Happened(NOW, "LOGIN")], NOW + 7 * DAY),  # no longer provisional
        ([Happened(NOW - 20 * DAY, "LOGIN")], NOW + 10 * DAY),  # gone
        ([Happened(NOW - 20 * DAY, "API_CALL_RECEIVED")], NOW + DAY),  # one full day more
        ([Happened(NOW - 20 * DAY, "LOGIN"), Happened(NOW, VIEW)], NOW + TICK),  # young: its base
        ([Happened(NOW - 90 * DAY, "LOGIN"), Happened(NOW, VIEW)], NOW + DAY / 2),  # new peak
        (  # its base begins to grow before its sign-up is a week old
            [
                Happened(NOW - 6.7 * DAY, "LOGIN"),
                Happened(NOW - DAY, "SUBSCRIPTION_STARTED"),
                Happened(NOW - DAY / 2, VIEW),
            ],
            NOW + 0.3 * DAY,
        ),
        ([Happened(NOW - 90 * DAY, VIEW), Happened(NOW - 90 * DAY, "LOGIN")], NOW + DAY),
    ],
)
def test_what_is_due_next(rules: Rules, events: list[Happened], due: datetime) -> None:
    assert next_change_at(facts_of(events, NOW), NOW, rules) == due


def test_silence_begins_a_tick_after_7_days(rules: Rules) -> None:
    calls = [Happened(NOW - 90 * DAY, "API_CALL_RECEIVED"), Happened(NOW, "API_CALL_RECEIVED")]
    events = [*calls, Happened(NOW - 7 * DAY, "EXPORT_GENERATED")]
    facts = facts_of(events, NOW)
    assert not assess(facts, NOW, rules).silence.is_silent_churn
    assert next_change_at(facts, NOW, rules) == NOW + TICK
    later = facts_of(events, NOW + TICK)
    assert assess(later, NOW + TICK, rules).silence.is_silent_churn


def test_silence_ends_when_calls_are_48_hours_old(rules: Rules) -> None:
    events = [Happened(NOW - 90 * DAY, VIEW), Happened(NOW - 47 * HOUR, "API_CALL_RECEIVED")]
    facts = facts_of(events, NOW)
    assert assess(facts, NOW, rules).silence.is_silent_churn
    assert next_change_at(facts, NOW, rules) == NOW + HOUR
    later = facts_of(events, NOW + HOUR)
    assert not assess(later, NOW + HOUR, rules).silence.is_silent_churn


def test_same_facts_same_answer(rules: Rules) -> None:
    facts = facts_of(STORY, NOW)
    assert assess(facts, NOW, rules) == assess(facts_of(STORY[::-1], NOW), NOW, rules)
