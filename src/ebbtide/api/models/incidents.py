"""What the incident routes answer: rounded, and percent in ``_pct``."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.domain.time import format_instant
from ebbtide.signals import regressions as domain
from ebbtide.signals.attribution import Attribution, Incident
from ebbtide.signals.incident_reading import Found, HeatRow, Pattern
from ebbtide.signals.rounding import PCT_PLACES, to_float


class HeatRowShown(BaseModel):
    """One row of a heatmap; null where the incident did not say."""

    model: str | None = None
    policy_id: str | None = None
    policy_version: str | None = None
    num_incidents: int
    share_pct: float
    mean_severity: float | None


class Heatmap(BaseModel):
    """Incidents of ``(since, as_of]``, the most first."""

    since: str
    as_of: str
    num_incidents: int
    by_model: list[HeatRowShown]
    by_policy: list[HeatRowShown]
    by_policy_version: list[HeatRowShown]
    by_model_and_policy: list[HeatRowShown]


_CELLS = {
    "by_model": ("model",),
    "by_policy": ("policy_id",),
    "by_policy_version": ("policy_id", "policy_version"),
    "by_model_and_policy": ("model", "policy_id"),
}


def heatmap(found: dict[str, list[HeatRow]], since: datetime, as_of: datetime) -> Heatmap:
    """A heatmap for the wire."""
    return Heatmap(
        since=format_instant(since),
        as_of=format_instant(as_of),
        num_incidents=sum(row.num for row in found["by_model"]),
        **{
            name: [
                HeatRowShown(
                    **dict(zip(_CELLS[name], row.cell, strict=True)),
                    num_incidents=row.num,
                    share_pct=to_float(row.share * 100, PCT_PLACES),
                    mean_severity=_mean(row.mean_severity),
                )
                for row in rows
            ]
            for name, rows in found.items()
        },
    )


class AttributionShown(BaseModel):
    """The cause of an incident, and where it comes from."""

    attribution: str
    attribution_rule: str = Field(description="fallback or corrected where no rule said it.")
    attribution_confidence: float
    evidence: str
    needs_review: bool
    by_rule: str | None = Field(description="What the rules had said, when a person corrected it.")


def attribution_shown(verdict: Attribution) -> AttributionShown:
    """A cause for the wire."""
    return AttributionShown(
        attribution=verdict.attribution,
        attribution_rule=verdict.rule,
        attribution_confidence=to_float(verdict.confidence),
        evidence=verdict.evidence,
        needs_review=verdict.needs_review,
        by_rule=None if verdict.by_rule is None else verdict.by_rule.attribution,
    )


class IncidentShown(BaseModel):
    """One incident."""

    incident_id: str = Field(description="Its own id, or that of its event.")
    event_uuid: str
    tenant_id: str
    at: str
    severity: int | None
    model: str | None
    policy_id: str | None
    policy_version: str | None
    call_id: str | None
    cause: AttributionShown


def incident_shown(incident: Incident, verdict: Attribution) -> IncidentShown:
    """An incident for the wire."""
    call_id = incident.metadata.get("call_id")
    return IncidentShown(
        incident_id=incident.incident_id or incident.event_uuid,
        event_uuid=incident.event_uuid,
        tenant_id=incident.tenant_id,
        at=format_instant(incident.at),
        severity=incident.severity,
        model=incident.model,
        policy_id=incident.policy_id,
        policy_version=incident.policy_version,
        call_id=call_id if isinstance(call_id, str) else None,
        cause=attribution_shown(verdict),
    )


class IncidentPage(BaseModel):
    """Incidents, newest first."""

    items: list[IncidentShown]
    since: str
    as_of: str
    next_cursor: str | None


class IncidentStory(BaseModel):
    """An incident with what belongs to its call, and others like it."""

    incident: IncidentShown
    metadata: dict[str, Any]
    call: list[dict[str, Any]] = Field(description="Events of the same call, oldest first.")
    cost_usd: float | None = Field(description="Known cost of the call.")
    num_similar_30d: int = Field(description="Same model, policy and version, of this tenant.")
    num_similar_all_tenants_30d: int
    similar: list[IncidentShown] = Field(description="The 5 newest of this tenant.")


class Share(BaseModel):
    """Incidents of one cause."""

    attribution: str
    num_incidents: int
    share_pct: float
    num_needs_review: int


class AttributionList(BaseModel):
    """Causes of ``(since, as_of]``, and the incidents that wait for a person."""

    formula: str
    since: str
    as_of: str
    num_incidents: int
    shares: list[Share]
    num_in_review: int
    review_queue: list[IncidentShown] = Field(description="Newest first, at most limit.")


class CorrectionBody(BaseModel):
    """The cause as a person knows it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"attribution": "CONTEXT_MISSING", "note": "Index stale"}]},
    )

    attribution: str
    note: str | None = Field(None, min_length=1, max_length=2000)


class SideShown(BaseModel):
    """A version on the tenants that are compared."""

    policy_version: str
    num_calls: int
    num_incidents: int
    num_fired: int = Field(description="Incidents that do not say that no policy fired.")
    incident_rate_pct: float | None = Field(description="num_fired of num_calls.")
    mean_severity: float | None


class Affected(BaseModel):
    """A tenant with incidents of the new version."""

    tenant_id: str
    num_incidents: int


class ComparisonShown(BaseModel):
    """A new version of a policy beside the one before it."""

    policy_id: str
    new: SideShown
    previous: SideShown
    first_seen_at: str
    num_tenants_compared: int
    exposed: str = Field(description="both: tenants that ran both versions; else either.")
    mean_severity_change: float | None
    p_rate: float | None = Field(description="Of chance alone; one-sided.")
    p_severity: float | None
    significance_level: float = Field(description="Corrected for the policies compared.")


class RegressionShown(ComparisonShown):
    """A version that is worse, beyond chance."""

    found_by: list[str] = Field(description="rate, severity, or both.")
    affected_tenants: list[Affected]
    first_hour: str
    detected_at: str | None
    minutes_to_detect: int | None
    rollback_hint: str


class DayShown(BaseModel):
    """A UTC day on which the mean severity of a policy rose."""

    policy_id: str
    day: str
    previous_day: str
    mean_severity: float
    severity_delta: float
    num_incidents: int


class RegressionList(BaseModel):
    """Regressions, every comparison that was made, and the plain day-over-day view."""

    formula: str
    as_of: str
    regressions: list[RegressionShown]
    compared: list[ComparisonShown]
    day_over_day: list[DayShown] = Field(description="No test against chance; newest first.")


def comparison(one: domain.Comparison) -> ComparisonShown:
    """A comparison for the wire."""
    return ComparisonShown(**_compared(one))


def regression(one: Found) -> RegressionShown:
    """A regression for the wire."""
    found = one.comparison
    tenants = len(found.affected)
    return RegressionShown(
        **_compared(found),
        found_by=list(found.found_by),
        affected_tenants=[
            Affected(tenant_id=tenant_id, num_incidents=num) for tenant_id, num in found.affected
        ],
        first_hour=format_instant(one.first_hour),
        detected_at=None if one.detected_at is None else format_instant(one.detected_at),
        minutes_to_detect=one.minutes_to_detect,
        rollback_hint=(
            f"Go back to {found.old.version} of {found.policy_id} for the {tenants} "
            f"tenant{'' if tenants == 1 else 's'} affected, then compare again."
        ),
    )


def _compared(one: domain.Comparison) -> dict[str, Any]:
    before, after = one.old.mean_severity, one.new.mean_severity
    return {
        "policy_id": one.policy_id,
        "new": _side(one.new),
        "previous": _side(one.old),
        "first_seen_at": format_instant(one.first_seen_at),
        "num_tenants_compared": len(one.tenants),
        "exposed": one.exposed,
        "mean_severity_change": None if before is None or after is None else _mean(after - before),
        "p_rate": one.p_rate,
        "p_severity": one.p_severity,
        "significance_level": one.level,
    }


def _side(side: domain.Side) -> SideShown:
    rate = side.rate
    return SideShown(
        policy_version=side.version,
        num_calls=side.num_calls,
        num_incidents=side.num_incidents,
        num_fired=side.num_fired,
        incident_rate_pct=None if rate is None else to_float(rate * 100, PCT_PLACES),
        mean_severity=_mean(side.mean_severity),
    )


def day(one: domain.DayRise) -> DayShown:
    """A day for the wire."""
    return DayShown(
        policy_id=one.policy_id,
        day=one.day.date().isoformat(),
        previous_day=one.before.date().isoformat(),
        mean_severity=to_float(one.mean_severity),
        severity_delta=to_float(one.rise),
        num_incidents=one.num_incidents,
    )


class PatternShown(BaseModel):
    """Events of one type."""

    pattern: str
    event_type: str
    count_24h: int
    count_7d: int
    trend: str | None = Field(description="increasing, decreasing or stable; null without any.")
    trend_reason: str | None
    top_tenants: list[dict[str, Any]] = Field(description="Of 7 days, the most first.")
    samples: list[dict[str, Any]] = Field(description="The 5 newest events of 7 days.")


class PatternList(BaseModel):
    """The four patterns."""

    formula: str
    as_of: str
    patterns: list[PatternShown]


#: Event type -> the name that callers of old know.
PATTERN_NAMES = {
    "POLICY_BLOCKED": "policy_block",
    "LLM_CALL_FAILED": "llm_failure",
    "INFRA_LIMIT_HIT": "infra_limit",
    "FREEZE_ACTIVATED": "freeze",
}


def pattern(one: Pattern, samples: list[dict[str, Any]]) -> PatternShown:
    """A pattern for the wire."""
    return PatternShown(
        pattern=PATTERN_NAMES[one.event_type],
        event_type=one.event_type,
        count_24h=one.num_24h,
        count_7d=one.num_7d,
        trend=one.trend,
        trend_reason="no_activity" if one.trend is None else None,
        top_tenants=[{"tenant_id": name, "count_7d": num} for name, num in one.top_tenants],
        samples=samples,
    )


def _mean(value: Fraction | None) -> float | None:
    return None if value is None else to_float(value)
