"""Interventions: each row of the table, its order, its reasons, and the playbook it begins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_risk import facts

from ebbtide.signals.customer import assess
from ebbtide.signals.facts import DAY, Actions, Economics, Facts, FrictionEvent, Span
from ebbtide.signals.rules import Rules

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
LOSS = Economics("500", "10", 120, 100)


def rows(one: Facts, rules: Rules, economics: Economics | None = None) -> list[tuple[str, ...]]:
    found = assess(one, NOW, rules, economics).interventions
    return [(each.rule, each.intervention_type, each.priority) for each in found]


CRITICAL = ("critical_risk", "call", "immediate")
SILENT = ("silent_churn", "call", "today")
DROP = ("engagement_drop", "email", "today")
NO_LOOK = ("no_investigation", "feature_help", "today")
FLOWS = ("abandoned_flows", "email", "today")
POLICY = ("policy_blocks", "technical", "this_week")
PRICING = ("margin", "pricing", "this_week")
LISTED = ("on_the_list", "email", "this_week")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, []),  # not on the list
        ({"tenths_7d": 40}, [LISTED]),
        ({"tenths_7d": 35, "looked": 7 * DAY}, [LISTED]),  # exactly 0.5, exactly 7 days
        ({"looked": 15 * DAY, "called": 3 * DAY}, [NO_LOOK]),
        ({"looked": 8 * DAY}, [SILENT, NO_LOOK]),
        ({"tenths_7d": 30}, [CRITICAL, DROP]),
        ({"friction": 6, "friction_type": "REPLAY_FAILED"}, [LISTED]),
        ({"friction": 6, "friction_type": "INCIDENT_VIEWED_NO_ACTION"}, [LISTED]),
        ({"friction": 6, "friction_type": "REPLAY_ABORTED"}, [FLOWS]),
        ({"friction": 6, "friction_type": "EXPORT_ABORTED"}, [FLOWS]),
        ({"friction": 6, "friction_type": "SESSION_IDLE_TIMEOUT"}, [FLOWS]),
        ({"friction": 6, "friction_type": "POLICY_BLOCK_REPEAT"}, [POLICY]),
        ({"friction": 1, "friction_type": "REPLAY_ABORTED"}, []),
        (
            {"tenths_7d": 0, "friction": 6, "friction_type": "REPLAY_ABORTED", "looked": 8 * DAY},
            [CRITICAL, SILENT, DROP, NO_LOOK, FLOWS],
        ),
    ],
)
def test_each_row_of_the_table(
    rules: Rules, said: dict[str, Any], expected: list[tuple[str, ...]]
) -> None:
    assert rows(facts(**said), rules) == expected


def test_two_rows_of_equal_type_and_priority_stay_two(rules: Rules) -> None:
    one = facts(tenths_7d=30, friction=2, friction_type="REPLAY_ABORTED")
    assert rows(one, rules) == [CRITICAL, DROP, FLOWS]


def test_a_loss_is_a_word_about_the_price_for_those_on_the_list(rules: Rules) -> None:
    assert rows(facts(tenths_7d=40), rules, LOSS) == [PRICING]
    assert rows(facts(), rules, LOSS) == []
    assert rows(facts(tenths_7d=40), rules, Economics("500", "10", 120, 0)) == [LISTED]
    both = facts(friction=6, friction_type="POLICY_BLOCK_REPEAT")
    assert rows(both, rules, LOSS) == [POLICY, PRICING]


def test_signals_carry_their_numbers(rules: Rules) -> None:
    one = facts(tenths_7d=0, friction=6, friction_type="REPLAY_ABORTED", looked=8 * DAY)
    said = {
        each.rule: each.triggering_signals for each in assess(one, NOW, rules, LOSS).interventions
    }
    assert said == {
        "critical_risk": (
            "risk level critical, signal strength 85 of 100",
            "stickiness_delta 0.00 is below 0.5, a drop of 100 %",
            "stickiness_30d 7.00 is above 3",
        ),
        "silent_churn": ("last API call 24 h ago, no investigation in 8 days",),
        "engagement_drop": (
            "stickiness_delta 0.00 is below 0.5 (0.00 this week, 7.00 in a usual one)",
        ),
        "no_investigation": ("no investigation in 8 days, more than 7",),
        "abandoned_flows": (
            "6 REPLAY_ABORTED this week, the heaviest friction",
            "6 replays or exports given up in 7 days",
            "stickiness_delta 0.00 is below 0.7",
        ),
        "margin": (
            "margin of 30 days -401.00 USD (-405 %), of the 30 days before 89.00 USD (90 %)",
        ),
    }


def test_a_playbook_is_begun_by_one_row(rules: Rules) -> None:
    one = facts(tenths_7d=0, friction=6, friction_type="REPLAY_ABORTED", looked=8 * DAY)
    begun = {
        each.rule: (each.playbook_id, each.window_days)
        for each in assess(one, NOW, rules).interventions
    }
    assert begun == {
        "critical_risk": ("engagement_decay", 14),
        "silent_churn": ("silent_churn", 7),
        "engagement_drop": (None, None),
        "no_investigation": (None, None),
        "abandoned_flows": ("abandonment", 7),
    }


def test_legal_only_is_begun_by_the_row_that_speaks_of_it(rules: Rules) -> None:
    spans = {"CERT_VERIFIED": Span(NOW - 20 * DAY, NOW)}
    (only,) = assess(Facts("acme", spans, {}), NOW, rules).interventions
    assert (only.rule, only.playbook_id, only.window_days) == ("on_the_list", "legal_only", 30)
    spans["API_CALL_RECEIVED"] = Span(NOW - 20 * DAY, NOW)
    two = assess(Facts("acme", spans, {}), NOW, rules).interventions
    assert [(each.rule, each.playbook_id) for each in two] == [
        ("silent_churn", "silent_churn"),
        ("no_investigation", "legal_only"),
    ]


@given(
    tenths=st.one_of(st.none(), st.sampled_from([0, 10, 30, 35, 40, 60, 70])),
    friction=st.lists(
        st.tuples(
            st.sampled_from(["REPLAY_ABORTED", "POLICY_BLOCK_REPEAT", "REPLAY_FAILED"]),
            st.sampled_from([None, "", "p1", "p2"]),
        ),
        max_size=12,
    ),
    looked=st.one_of(st.none(), st.integers(0, 40)),
    called=st.one_of(st.none(), st.integers(0, 40)),
    economics=st.sampled_from([None, LOSS]),
)
def test_what_always_holds(
    rules: Rules,
    tenths: int | None,
    friction: list[tuple[str, str | None]],
    looked: int | None,
    called: int | None,
    economics: Economics | None,
) -> None:
    one = facts(
        tenths_7d=tenths,
        looked=None if looked is None else looked * DAY,
        called=None if called is None else called * DAY,
        actions_3d=Actions(),
        friction_events_7d=tuple(
            FrictionEvent(NOW - DAY, f"{n}", name, None, policy)
            for n, (name, policy) in enumerate(friction)
        ),
    )
    got = assess(one, NOW, rules, economics)
    assert bool(got.interventions) is got.risk.is_on_list
    assert 0 <= got.risk.risk_signal_strength <= 100
    assert got.risk.risk_signal_strength == sum(each.weight for each in got.risk.components)
    order = ["immediate", "today", "this_week"]
    priorities = [order.index(each.priority) for each in got.interventions]
    assert priorities == sorted(priorities)
    begun = [each.playbook_id for each in got.interventions if each.playbook_id]
    assert len(begun) == len(set(begun)) and set(begun) <= {m.playbook_id for m in got.playbooks}
    for each in got.interventions:
        assert each.triggering_signals and all(each.triggering_signals)
        texts = (each.suggested_action, each.context, each.expected_outcome)
        said = " ".join((*texts, *each.triggering_signals))
        assert "{" not in said and "unknown" not in said
    for match in got.playbooks:
        assert match.signals and "unknown" not in " ".join((match.reason, *match.signals))
