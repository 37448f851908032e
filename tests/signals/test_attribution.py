"""Forced attribution: rules in their order, the fallback, and what a person says."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.catalog.incidents import ATTRIBUTIONS
from ebbtide.catalog.loader import load_catalog
from ebbtide.signals.attribution import Incident, attribute, by_rules, correct

RULE = load_catalog().signals.attribution
T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def incident(uuid: str = "e-1", at: datetime = T0, tenant: str = "acme", **more: Any) -> Incident:
    """An incident whose metadata are the words given."""
    policy_id, error_type = more.get("policy_id"), more.get("error_type")
    return Incident(tenant, at, uuid, uuid, 3, "m", policy_id, "v1", error_type, more)


@pytest.mark.parametrize(
    ("metadata", "attribution", "rule"),
    [
        ({"error_type": "timeout"}, "INFRA_TIMEOUT", "llm_failure"),
        ({"http_status": 503}, "INFRA_TIMEOUT", "llm_failure"),
        ({"http_status": 504, "limit": "cost"}, "INFRA_TIMEOUT", "llm_failure"),
        ({"limit": "cost", "input_violation": True}, "BUDGET_EXCEEDED", "limit_reached"),
        ({"limit": "token"}, "BUDGET_EXCEEDED", "limit_reached"),
        ({"input_violation": True, "context_empty": True}, "USER_MISUSE", "input_violation"),
        ({"context_empty": True, "policies_fired": ["A", "B"]}, "CONTEXT_MISSING", "context_empty"),
        (
            {"policies_fired": ["CONTENT_ACCURACY", "B"]},
            "POLICY_CONFLICT",
            "several_policies",
        ),
        ({"policies_fired": ["CONTENT_ACCURACY"]}, "MODEL_HALLUCINATION", "accuracy"),
        (
            {"policies_fired": ["CONTENT_ACCURACY", "CONTENT_ACCURACY"]},
            "MODEL_HALLUCINATION",
            "accuracy",
        ),
        ({"policy_id": "CONTENT_ACCURACY"}, "MODEL_HALLUCINATION", "accuracy"),
    ],
)
def test_the_first_rule_that_holds_counts(
    metadata: dict[str, Any], attribution: str, rule: str
) -> None:
    found = by_rules(incident(**metadata), RULE)
    assert found is not None
    assert (found.attribution, found.rule, found.needs_review) == (attribution, rule, False)
    assert found.evidence and "{" not in found.evidence


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"http_status": 429, "error_type": "rate_limited"},
        {"http_status": 600},
        {"context_empty": False, "input_violation": False, "policies_fired": ["TOXICITY"]},
        {"policy_id": "CONTENT_ACCURACY", "policies_fired": []},  # nothing fired, it says
        {"limit": "patience"},
        {"context_empty": "yes", "policies_fired": "A, B"},
    ],
)
def test_no_rule_is_stretched(metadata: dict[str, Any]) -> None:
    assert by_rules(incident(**metadata), RULE) is None


def cause(*others: Incident) -> tuple[str, str, Fraction, bool]:
    """What an incident without evidence is taken for, beside others of 30 days."""
    asked = incident("asked")

    def count(tenant_id: str, start: datetime, end: datetime) -> Counter[str]:
        verdicts = (
            by_rules(one, RULE)
            for one in (*others, asked)
            if one.tenant_id == tenant_id and start < one.at <= end
        )
        return Counter(verdict.attribution for verdict in verdicts if verdict is not None)

    found = attribute([asked], lambda _: count, RULE)["acme", "asked"]
    return found.attribution, found.rule, found.confidence, found.needs_review


def test_without_a_rule_the_most_frequent_cause_of_the_tenant_is_taken() -> None:
    fifth = Fraction(1, 5)
    assert cause() == ("MODEL_HALLUCINATION", "fallback", fifth, True)
    limit, context = {"limit": "cost"}, {"context_empty": True}
    assert cause(incident("a", **limit), incident("b", **limit), incident("c", **context)) == (
        "BUDGET_EXCEEDED",
        "fallback",
        fifth,
        True,
    )
    # Of equal shares the cause that comes first in the list.
    assert cause(incident("a", **limit), incident("c", **context))[0] == "CONTEXT_MISSING"


def test_only_the_tenants_own_past_30_days_count() -> None:
    limit = {"limit": "cost"}
    for other in (
        incident("a", tenant="beta", **limit),
        incident("a", at=T0 + DAY, **limit),
        incident("a", at=T0 - 30 * DAY, **limit),
    ):
        assert cause(other)[0] == "MODEL_HALLUCINATION"
    assert cause(incident("a", at=T0 - 29 * DAY, **limit))[0] == "BUDGET_EXCEEDED"


def test_a_correction_keeps_what_the_rules_had_said() -> None:
    found = by_rules(incident(limit="cost"), RULE)
    assert found is not None
    said = correct(found, "USER_MISUSE", None)
    assert (said.attribution, said.rule, said.needs_review) == ("USER_MISUSE", "corrected", False)
    assert said.by_rule == found


anything = (
    st.none()
    | st.booleans()
    | st.integers(0, 700)
    | st.text(max_size=5)
    | st.lists(st.sampled_from(["CONTENT_ACCURACY", "B", 3, None]), max_size=3)
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["http_status", "limit", "input_violation", "context_empty", "policies_fired"]
        ),
        anything,
    )
)
def test_every_incident_gets_one_of_six(metadata: dict[str, Any]) -> None:
    found = attribute([incident(**metadata)], lambda _: lambda *_: Counter(), RULE)["acme", "e-1"]
    assert found.attribution in ATTRIBUTIONS
    assert found.needs_review == (found.rule == "fallback")
