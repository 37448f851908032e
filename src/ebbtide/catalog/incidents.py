"""Rules about incidents: how causes are found, and when a new version is called worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from ebbtide.catalog.definition import Definition

ATTRIBUTIONS = (
    "MODEL_HALLUCINATION",
    "POLICY_CONFLICT",
    "CONTEXT_MISSING",
    "INFRA_TIMEOUT",
    "BUDGET_EXCEEDED",
    "USER_MISUSE",
)
#: What a rule can look at.
EVIDENCE = (
    "llm_failure",
    "limit_reached",
    "input_violation",
    "context_empty",
    "several_policies",
    "accuracy",
)


@dataclass(frozen=True, slots=True)
class Cause:
    """What a rule concludes, how surely, and how it says so."""

    attribution: str
    confidence: Fraction
    text: str


@dataclass(frozen=True, slots=True)
class AttributionRule:
    """Rules in their order, by the evidence they look at, and what is left."""

    formula: str
    share_days: int
    rules: Mapping[str, Cause]
    otherwise: Cause
    text_without_others: str


@dataclass(frozen=True, slots=True)
class RegressionRule:
    """When a version of a policy counts as worse than the one before."""

    formula: str
    new_within_days: int
    severity_rise: Fraction
    significance: Fraction
    min_incidents: int


def read_attribution(one: Definition) -> AttributionRule:
    """Read the rules of attribution.

    Raises:
        CatalogError: one is wrong; the message names the file and the key.
    """
    rules: dict[str, Cause] = {}
    for each in one.tables("rule"):
        name = each.word("name", EVIDENCE)
        if name in rules:
            raise each.error("name", f"{name} has a rule already")
        rules[name] = _cause(each, "text")
        each.close()
    rest = one.table("otherwise")
    otherwise = _cause(rest, "text_share")
    rule = AttributionRule(
        one.text("formula"),
        one.whole("share_days"),
        MappingProxyType(rules),
        otherwise,
        rest.text("text_none"),
    )
    rest.close()
    one.close()
    return rule


def _cause(one: Definition, key: str) -> Cause:
    cause = Cause(one.word("attribution", ATTRIBUTIONS), one.number("confidence"), one.text(key))
    if not 0 <= cause.confidence <= 1:
        raise one.error("confidence", "must be 0 to 1")
    return cause


def read_regression(one: Definition) -> RegressionRule:
    """Read the rule of regressions.

    Raises:
        CatalogError: it is wrong; the message names the file and the key.
    """
    rule = RegressionRule(
        one.text("formula"),
        one.whole("new_within_days"),
        one.number("severity_rise"),
        one.number("significance"),
        one.whole("min_incidents"),
    )
    if not 0 < rule.significance < 1:
        raise one.error("significance", "must lie between 0 and 1")
    one.close()
    return rule
