"""Finds the cause of an incident: the first rule that its evidence meets, and never none.

Pure functions. Whatever no rule matches gets the cause that its tenant's other incidents mostly
have, with little confidence, and stands in the queue for a person.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from ebbtide.catalog.incidents import ATTRIBUTIONS, AttributionRule

#: Counts the causes of a tenant's incidents of ``(start, end]``.
Shares = Callable[[str, datetime, datetime], Counter[str]]

FALLBACK = "fallback"
CORRECTED = "corrected"
_ACCURACY = "CONTENT_ACCURACY"
_LIMITS = ("cost", "token", "tokens", "budget")


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as its event tells it; None where it does not say."""

    tenant_id: str
    at: datetime
    event_uuid: str
    incident_id: str | None
    severity: int | None
    model: str | None
    policy_id: str | None
    policy_version: str | None
    error_type: str | None
    metadata: Mapping[str, Any]

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Incident:
        """From a row of ``incident_events``."""
        columns: list[Any] = [*row[:-1], json.loads(row[-1])]
        return cls(*columns)


@dataclass(frozen=True, slots=True)
class Attribution:
    """The cause of an incident.

    Attributes:
        rule: which rule said so; ``fallback`` or ``corrected`` when none did.
        evidence: in words.
        needs_review: whether a person should look.
        by_rule: what the rules had said, where a person corrected it.
    """

    attribution: str
    rule: str
    confidence: Fraction
    evidence: str
    needs_review: bool
    by_rule: Attribution | None = None


def by_rules(incident: Incident, rule: AttributionRule) -> Attribution | None:
    """What the first matching rule says; None when none matches."""
    for name, cause in rule.rules.items():
        found = _EVIDENCE[name](incident)
        if found is not None:
            text = cause.text.replace("{found}", found)
            return Attribution(cause.attribution, name, cause.confidence, text, False)
    return None


def attribute(
    incidents: Iterable[Incident],
    shares: Callable[[Collection[Incident]], Shares],
    rule: AttributionRule,
    judged: Mapping[tuple[str, str], Attribution | None] = MappingProxyType({}),
) -> dict[tuple[str, str], Attribution]:
    """The cause of each incident, by ``(tenant_id, event_uuid)``.

    Args:
        incidents: those asked about.
        shares: for incidents that no rule matches what counts the incidents of their tenants that
            a rule does match, from ``share_days`` before the earliest one on. Called only when
            there are some.
        judged: what :func:`by_rules` says, where that is known.
    """
    found: dict[tuple[str, str], Attribution | None] = {}
    unmatched = []
    for one in incidents:
        key = one.tenant_id, one.event_uuid
        verdict = judged[key] if key in judged else by_rules(one, rule)
        found[key] = verdict
        if verdict is None:
            unmatched.append(one)
    if unmatched:
        count = shares(unmatched)
        for one in unmatched:
            near = count(one.tenant_id, one.at - timedelta(days=rule.share_days), one.at)
            found[one.tenant_id, one.event_uuid] = _fallback(near, rule)
    return {key: verdict for key, verdict in found.items() if verdict is not None}


def _fallback(causes: Counter[str], rule: AttributionRule) -> Attribution:
    rest = rule.otherwise
    if not causes:
        text, attribution = rule.text_without_others, rest.attribution
    else:
        # Of equal shares the one that comes first in the list of causes, so that it stays.
        attribution = max(ATTRIBUTIONS, key=lambda one: (causes[one], -ATTRIBUTIONS.index(one)))
        text = rest.text.replace("{found}", f"{causes[attribution]} of {causes.total()}")
    return Attribution(attribution, FALLBACK, rest.confidence, text, True)


def correct(verdict: Attribution, attribution: str, note: str | None) -> Attribution:
    """The cause that a person gave; what the rules had said stays beside it."""
    return replace(
        verdict,
        attribution=attribution,
        rule=CORRECTED,
        confidence=Fraction(1),
        evidence=note or "A person said so.",
        needs_review=False,
        by_rule=verdict,
    )


def _llm_failure(incident: Incident) -> str | None:
    word = (incident.error_type or "").lower().replace("-", "_").replace(" ", "_")
    status = incident.metadata.get("http_status")
    if word in ("timeout", "timed_out", "time_out") or word.endswith("_timeout"):
        return "a time-out"
    if isinstance(status, int | float) and 500 <= status <= 599:
        return f"status {int(status)}"
    return None


def _limit_reached(incident: Incident) -> str | None:
    limit = incident.metadata.get("limit")
    return limit if isinstance(limit, str) and limit.lower() in _LIMITS else None


def _input_violation(incident: Incident) -> str | None:
    return "input" if incident.metadata.get("input_violation") is True else None


def _context_empty(incident: Incident) -> str | None:
    return "context" if incident.metadata.get("context_empty") is True else None


def _fired(incident: Incident) -> list[str]:
    fired = incident.metadata.get("policies_fired")
    listed = fired if isinstance(fired, list) else []
    return list(dict.fromkeys(one for one in listed if isinstance(one, str)))


def _several_policies(incident: Incident) -> str | None:
    fired = _fired(incident)
    return ", ".join(fired) if len(fired) >= 2 else None


def _accuracy(incident: Incident) -> str | None:
    # An empty list says that nothing fired; only without one the incident's policy speaks.
    said = isinstance(incident.metadata.get("policies_fired"), list)
    fired = _fired(incident) if said else [incident.policy_id]
    return _ACCURACY if _ACCURACY in fired else None


_EVIDENCE: Mapping[str, Callable[[Incident], str | None]] = {
    "llm_failure": _llm_failure,
    "limit_reached": _limit_reached,
    "input_violation": _input_violation,
    "context_empty": _context_empty,
    "several_policies": _several_policies,
    "accuracy": _accuracy,
}
