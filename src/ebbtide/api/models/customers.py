"""What the customer routes answer; null means unknown, and a reason stands beside it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.api.models.answer import EXAMPLE_MOMENT, Answer

_SCORES: dict[str, Any] = {
    "stickiness_7d": 1.1,
    "stickiness_30d": 3.69,
    "stickiness_delta": 0.3,
}
_SEGMENT: dict[str, Any] = {
    "tenant_id": "acme-ai",
    "tenant_uuid": "b95fdb9c-2b4b-5dc8-a4d6-3f1f0f5d7e61",
    "tenant_name": "Acme AI",
    "status": "active",
    "paying": "yes",
    "first_action": "INCIDENT_VIEWED",
    "first_action_at": "2025-11-27T09:12:00Z",
    "signed_up_at": "2025-11-27T09:00:00Z",
    "inferred_buyer_type": "Legal/Compliance",
    "intent_confidence": 0.95,
    "intent_evidence": "export within 18 h of sign-up",
    "intent_provisional": False,
    "current_stickiness": 1.1,
    **_SCORES,
    "stickiness_delta_reason": None,
    "stickiness_trend": "falling",
    "stickiness_decayed": 0.8,
    "peak_stickiness": 8.4,
    "friction_score": 6.0,
    "friction_weighted_score": 11.5,
    "friction_events_7d": 4,
    "top_friction_type": "REPLAY_ABORTED",
    "last_friction_event": "2026-03-11T16:40:00Z",
    "is_silent_churn": True,
    "last_api_call": "2026-03-12T07:59:58.310000Z",
    "last_investigation": "2026-03-03T10:00:00Z",
    "investigation_gap_days": 8.92,
    "risk_level": "critical",
    "risk_level_reason": None,
    "risk_signal_strength": 70,
    "risk_reason": "engagement dropped 70 %",
    "is_at_risk": True,
    "playbooks": ["engagement_decay", "silent_churn"],
    "first_incident_at": "2025-11-27T11:18:00Z",
    "first_view_at": "2025-11-27T11:30:00Z",
    "first_replay_at": "2025-11-28T03:24:00Z",
    "first_export_at": "2025-11-28T03:36:00Z",
    "time_to_first_incident_h": 2.3,
    "time_to_first_view_h": 2.5,
    "time_to_first_replay_h": 18.4,
    "time_to_first_export_h": 18.6,
    "time_to_first_incident_m": 138,
    "time_to_first_view_m": 150,
    "time_to_first_replay_m": 1104,
    "time_to_first_export_m": 1116,
}
_INTERVENTION: dict[str, Any] = {
    "intervention_type": "call",
    "priority": "today",
    "suggested_action": "Call them: their traffic goes on, but nobody looks at incidents.",
    "context": "API calls go on; the last investigation was 8 days ago.",
    "expected_outcome": "Somebody opens an incident again within a week.",
    "triggering_signals": ["API call within 48 h", "no investigation in 8 days"],
    "playbook_id": "silent_churn",
    "intervention_id": 17,
    "state": "suggested",
    "outcome": None,
    "outcome_closes_at": None,
}
_CONTACTS = [{"name": "Ada Byron", "email": "ada@example.com", "role": "CTO"}]
_CORRELATION: dict[str, Any] = {
    "change": "version 8 of policy CONTENT_ACCURACY",
    "change_kind": "policy_version",
    "changed_at": "2026-03-02T06:00:00Z",
    "declined_from": "2026-03-05T00:00:00Z",
    "days_between": 2.75,
    "num_others_without_decline": 3,
    "num_others_with_decline": 5,
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CustomerSegment(_Strict):
    """One customer at one moment: what it wants, how much it uses, how it slips."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_SEGMENT]})

    tenant_id: str
    tenant_uuid: str
    tenant_name: str | None = Field(description="From the directory, as it was known at known_at.")
    status: str = Field(description="active, churned (cancelled) or gone (no event for 30 days).")
    paying: str = Field(description="yes, no or unknown.")
    first_action: str | None
    first_action_at: str | None
    signed_up_at: str
    inferred_buyer_type: str
    intent_confidence: float = Field(description="Of the rule, 0 to 1; see intent/1.")
    intent_evidence: str
    intent_provisional: bool = Field(description="True in the first 7 days.")
    current_stickiness: float = Field(description="The same as stickiness_7d.")
    stickiness_7d: float = Field(description="Weighted actions of 7 days.")
    stickiness_30d: float = Field(description="Of 30 days, per week.")
    stickiness_delta: float | None = Field(description="7 days divided by 30 days; a ratio.")
    stickiness_delta_reason: str | None = Field(description="Why the ratio is null.")
    stickiness_trend: str = Field(description="rising, stable, falling, silent or unknown.")
    stickiness_decayed: float
    peak_stickiness: float
    friction_score: float = Field(description="14 days, 0 to 50; friction/1.")
    friction_weighted_score: float = Field(description="7 days, capped; friction/2.")
    friction_events_7d: int
    top_friction_type: str | None
    last_friction_event: str | None
    is_silent_churn: bool
    last_api_call: str | None
    last_investigation: str | None
    investigation_gap_days: float | None = Field(
        description="Since the last investigation; who never investigated, since the first call."
    )
    risk_level: str | None = Field(description="critical, high, medium or low.")
    risk_level_reason: str | None = Field(description="Why the level is null.")
    risk_signal_strength: int = Field(description="0 to 100, a rank for attention.")
    risk_reason: str | None = Field(description="The weightiest reason in words.")
    is_at_risk: bool = Field(description="Whether it stands on the at-risk list.")
    playbooks: list[str] = Field(description="Ids of the playbooks that match.")
    first_incident_at: str | None
    first_view_at: str | None
    first_replay_at: str | None
    first_export_at: str | None
    time_to_first_incident_h: float | None
    time_to_first_view_h: float | None
    time_to_first_replay_h: float | None
    time_to_first_export_h: float | None
    time_to_first_incident_m: int | None
    time_to_first_view_m: int | None
    time_to_first_replay_m: int | None
    time_to_first_export_m: int | None


class FounderIntervention(_Strict):
    """A step to take, and the numbers that call for it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_INTERVENTION]})

    intervention_type: str = Field(description="call, email, feature_help, pricing or technical.")
    priority: str = Field(description="immediate, today or this_week.")
    suggested_action: str
    context: str
    expected_outcome: str
    triggering_signals: list[str] = Field(min_length=1)
    playbook_id: str | None
    intervention_id: int | None = Field(
        description="To accept, dismiss or do it; null when it is not kept as a row (yet)."
    )
    state: str | None = Field(description="suggested, accepted, dismissed, done or lapsed.")
    outcome: str | None = Field(description="success or failure; null: not measured (yet).")
    outcome_closes_at: str | None = Field(
        description="Until when its outcome is measured; null when it is not done or not measured."
    )


class DecayCorrelation(_Strict):
    """The change nearest before a decline. It came first; that does not make it the cause."""

    change: str
    change_kind: str
    changed_at: str
    declined_from: str = Field(
        description="The midnight from which the 7-day score was below 0.8 of its base."
    )
    days_between: float
    num_others_without_decline: int | None = Field(
        description="Others who saw the same and did not decline; null for a bound key."
    )
    num_others_with_decline: int | None


class CustomerAtRisk(_Strict):
    """A customer to call, why, and what to say."""

    tenant_id: str
    tenant_uuid: str
    tenant_name: str | None
    contacts: list[dict[str, str | None]] | None = Field(
        description="From the directory, as it was known at known_at; null: nobody said."
    )
    risk_level: str = Field(description="critical, high or medium.")
    risk_signal_strength: int = Field(description="0 to 100, a rank for attention.")
    kind: str = Field("heuristic", description="What the strength is: no probability.")
    primary_risk_reason: str
    secondary_signals: list[str]
    stickiness_7d: float
    stickiness_30d: float
    stickiness_delta: float | None
    stickiness_delta_reason: str | None
    stickiness_trend: str
    last_investigation: str | None
    days_since_investigation: float | None
    last_api_call: str | None
    days_since_api_call: float | None
    is_silent_churn: bool
    paying: str
    friction_events_7d: int
    friction_weighted_score: float
    top_friction_type: str | None
    playbooks: list[str]
    recent_changes: list[str]
    decay_correlation: str | None = Field(description="In words; the numbers stand beside it.")
    decay_correlation_detail: DecayCorrelation | None
    interventions: list[FounderIntervention]


class GoneCustomer(_Strict):
    """A customer without any event for 30 days, who did not cancel."""

    tenant_id: str
    tenant_uuid: str
    tenant_name: str | None
    last_event_at: str
    days_since_last_event: float
    paying: str


class CustomerPage(Answer):
    """Some customers in the order asked for."""

    items: list[CustomerSegment]
    total: int = Field(description="How many match, on all pages.")
    next_cursor: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [EXAMPLE_MOMENT | {"items": [_SEGMENT], "total": 1, "next_cursor": None}]
        }
    )


class AtRiskList(Answer):
    """Who to call today, worst first."""

    items: list[CustomerAtRisk]
    total: int = Field(description="How many are on the list.")
    gone: list[GoneCustomer] = Field(description="The newest of those who are gone.")
    num_gone: int = Field(description="Customers without any event for 30 days; not on the list.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                EXAMPLE_MOMENT
                | {
                    "items": [
                        {
                            "tenant_id": "acme-ai",
                            "tenant_uuid": _SEGMENT["tenant_uuid"],
                            "tenant_name": "Acme AI",
                            "contacts": _CONTACTS,
                            "risk_level": "critical",
                            "risk_signal_strength": 70,
                            "kind": "heuristic",
                            "primary_risk_reason": "engagement dropped 70 %",
                            "secondary_signals": [
                                "disengaged for over a week",
                                "multiple friction events",
                            ],
                            **_SCORES,
                            "stickiness_delta_reason": None,
                            "stickiness_trend": "falling",
                            "last_investigation": _SEGMENT["last_investigation"],
                            "days_since_investigation": 8.92,
                            "last_api_call": _SEGMENT["last_api_call"],
                            "days_since_api_call": 0.0,
                            "is_silent_churn": True,
                            "paying": "yes",
                            "friction_events_7d": 4,
                            "friction_weighted_score": 11.5,
                            "top_friction_type": "REPLAY_ABORTED",
                            "playbooks": ["engagement_decay", "silent_churn"],
                            "recent_changes": ["version 8 of policy CONTENT_ACCURACY, 10 days ago"],
                            "decay_correlation": "version 8 of policy CONTENT_ACCURACY, 2 days"
                            " before the decline began; of 8 others who saw the same, 3 did not"
                            " decline",
                            "decay_correlation_detail": _CORRELATION,
                            "interventions": [_INTERVENTION],
                        }
                    ],
                    "total": 1,
                    "gone": [
                        {
                            "tenant_id": "initech",
                            "tenant_uuid": "5d0f6d0c-0f0b-5b53-9d83-1d6f1a7b9c11",
                            "tenant_name": None,
                            "last_event_at": "2026-02-01T10:00:00Z",
                            "days_since_last_event": 38.92,
                            "paying": "unknown",
                        }
                    ],
                    "num_gone": 1,
                }
            ]
        }
    )


class Subscription(_Strict):
    """What is paid, since when."""

    status: str = Field(description="active, cancelled or unknown.")
    day: int | None = Field(description="Which day of the subscription it is; the first is 1.")
    started_at: str | None
    cancelled_at: str | None
    plan: str | None
    price_usd: float | None = Field(description="Per 30 days.")
    source: str | None = Field(description="Where the customer came from.")
    paying: str


class Intent(_Strict):
    """Why they bought, read from their first week."""

    inferred_buyer_type: str
    intent_confidence: float
    evidence: str
    provisional: bool
    signed_up_at: str
    first_action: str | None
    first_action_at: str | None


class TimeToValue(_Strict):
    """How long from sign-up to the first of each; null: not yet."""

    time_to_first_incident_h: float | None
    time_to_first_view_h: float | None
    time_to_first_replay_h: float | None
    time_to_first_export_h: float | None
    time_to_first_incident_m: int | None
    time_to_first_view_m: int | None
    time_to_first_replay_m: int | None
    time_to_first_export_m: int | None


class Stickiness(_Strict):
    """How much they use at one moment."""

    as_of: str
    stickiness_7d: float
    stickiness_30d: float
    stickiness_delta: float | None
    stickiness_delta_reason: str | None
    stickiness_trend: str
    stickiness_decayed: float
    peak_stickiness: float


class Usage(_Strict):
    """What the field itself calls stickiness."""

    active_days_7d: int
    active_days_30d: int
    dau_mau: float | None
    dau_mau_reason: str | None


class RiskComponent(_Strict):
    """One part of the strength."""

    name: str
    points: int
    text: str


class Risk(_Strict):
    """How they slip."""

    risk_level: str | None
    risk_level_reason: str | None
    risk_signal_strength: int
    kind: str = "heuristic"
    is_at_risk: bool
    primary_risk_reason: str | None
    secondary_signals: list[str]
    components: list[RiskComponent] = Field(description="Their points make the strength.")
    recent_changes: list[str]
    decay_correlation: str | None
    decay_correlation_detail: DecayCorrelation | None


class Friction(_Strict):
    """Where they got stuck."""

    friction_score: float
    friction_weighted_score: float
    friction_events_7d: int
    top_friction_type: str | None
    last_friction_event: str | None


class PlaybookMatch(_Strict):
    """A playbook that matches, and the numbers that make it match."""

    id: str
    name: str
    risk_level: str
    because: list[str]


class DayCount(_Strict):
    """Events of one UTC day."""

    date: str
    num: int


class TimelineLine(_Strict):
    """One type of event, or several together, over 30 days."""

    name: str = Field(description="An event type, or 'investigations' for the three of them.")
    event_types: list[str]
    num_7d: int
    num_30d: int
    trend: str | None = Field(
        description="rising, stable, declining, dropping, rare or stopped; see who-to-call-today."
    )
    trend_reason: str | None = Field(description="no_activity or insufficient_data.")
    last_at: str | None
    days: list[DayCount]


class ChangeOnTimeline(_Strict):
    """Something that was changed on purpose."""

    at: str
    kind: str = Field(
        description="policy_version, model_switch, price_change, rate_limit, deploy or plan_change."
    )
    what: str
    is_everybodys: bool = Field(description="True: it touched all customers.")


class CustomerProfile(Answer):
    """Everything about one customer on one page."""

    tenant_id: str
    tenant_uuid: str
    tenant_name: str | None
    contacts: list[dict[str, str | None]] | None
    status: str
    subscription: Subscription
    intent: Intent
    time_to_value: TimeToValue
    stickiness: Stickiness
    stickiness_last_week: Stickiness | None = Field(
        description="The same 7 days earlier; null when it had no event by then."
    )
    usage: Usage
    friction: Friction
    is_silent_churn: bool
    last_api_call: str | None
    last_investigation: str | None
    investigation_gap_days: float | None
    last_export: str | None
    days_since_export: float | None
    risk: Risk
    playbooks: list[PlaybookMatch]
    interventions: list[FounderIntervention]
    timeline: list[TimelineLine]
    changes: list[ChangeOnTimeline] = Field(
        description="Recorded in the days of the timeline, its own and everybody's, newest first."
    )
