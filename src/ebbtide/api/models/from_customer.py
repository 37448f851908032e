"""Turns what is known of a customer into what the API shows: rounded, in UTC, with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

from ebbtide.api.models import customers as shown
from ebbtide.api.models.answer import Freshness
from ebbtide.domain.ids import to_uuid_text
from ebbtide.domain.intervention import Intervention, Suggestion
from ebbtide.domain.tenant import Tenant
from ebbtide.domain.time import format_instant
from ebbtide.signals.changes import EVERYBODY, Correlation
from ebbtide.signals.customer import Customer
from ebbtide.signals.facts import DAY, Facts
from ebbtide.signals.read import Insight, Profile
from ebbtide.signals.rounding import to_float
from ebbtide.signals.silent_churn import Silence
from ebbtide.signals.snapshot import Moment
from ebbtide.signals.stickiness import Stickiness

#: Made suggestions by what makes two the same.
Rows = Mapping[tuple[str, str], Intervention]


def moment(of: Moment) -> dict[str, Any]:
    """The fields of every answer."""
    return {
        "as_of": format_instant(of.as_of),
        "known_at": format_instant(of.known_at),
        "computed_at": format_instant(of.computed_at),
        "stored": of.is_stored,
        "freshness": Freshness(
            newest_event_at=instant(of.newest_event_at),
            newest_received_at=instant(of.newest_received_at),
        ),
        "kind": "heuristic",
    }


def instant(at: datetime | None) -> str | None:
    """A moment as text, or null."""
    return None if at is None else format_instant(at)


def number(value: Fraction | None) -> float | None:
    """A number with two decimals, or null."""
    return None if value is None else to_float(value)


def days_since(at: datetime | None, as_of: datetime) -> float | None:
    """Decimal days between two moments, or null."""
    if at is None:
        return None
    gap = as_of - at
    micros = (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds
    return to_float(Fraction(micros, DAY.days * 86_400 * 1_000_000))


def segment(one: Customer, facts: Facts, tenant: Tenant | None) -> shown.CustomerSegment:
    """A customer as one row of a list."""
    risk, intent, friction, silence = one.risk, one.intent, one.friction, one.silence
    return shown.CustomerSegment(
        tenant_id=one.tenant_id,
        tenant_uuid=to_uuid_text(one.tenant_id),
        tenant_name=None if tenant is None else tenant.name,
        status=one.status,
        paying=one.paying,
        first_action=intent.first_action,
        first_action_at=instant(intent.first_action_at),
        signed_up_at=format_instant(intent.signed_up_at),
        inferred_buyer_type=intent.inferred_buyer_type,
        intent_confidence=to_float(intent.intent_confidence),
        intent_evidence=intent.evidence,
        intent_provisional=intent.provisional,
        current_stickiness=to_float(one.stickiness.stickiness_7d),
        **_scores(one.stickiness),
        stickiness_decayed=to_float(one.stickiness.stickiness_decayed),
        peak_stickiness=to_float(one.stickiness.peak_stickiness),
        friction_score=to_float(friction.friction_score),
        friction_weighted_score=to_float(friction.friction_weighted_score),
        friction_events_7d=friction.friction_events_7d,
        top_friction_type=friction.top_friction_type,
        last_friction_event=instant(friction.last_friction_event),
        is_silent_churn=silence.is_silent_churn,
        last_api_call=instant(silence.last_api_call),
        last_investigation=instant(silence.last_investigation),
        investigation_gap_days=number(silence.investigation_gap_days),
        risk_level=risk.risk_level,
        risk_level_reason=risk.risk_level_reason,
        risk_signal_strength=risk.risk_signal_strength,
        risk_reason=risk.primary_risk_reason,
        is_at_risk=risk.is_on_list,
        playbooks=[match.playbook_id for match in one.playbooks],
        first_incident_at=instant(facts.firsts.get("INCIDENT_CREATED")),
        first_view_at=instant(facts.firsts.get("INCIDENT_VIEWED")),
        first_replay_at=instant(facts.firsts.get("REPLAY_EXECUTED")),
        first_export_at=instant(facts.firsts.get("EXPORT_GENERATED")),
        **_times_to_value(one),
    )


def _scores(sticky: Stickiness) -> dict[str, Any]:
    return {
        "stickiness_7d": to_float(sticky.stickiness_7d),
        "stickiness_30d": to_float(sticky.stickiness_30d),
        "stickiness_delta": number(sticky.stickiness_delta),
        "stickiness_delta_reason": sticky.delta_reason,
        "stickiness_trend": sticky.stickiness_trend,
    }


def _times_to_value(one: Customer) -> dict[str, Any]:
    times: dict[str, Any] = {}
    for what in ("incident", "view", "replay", "export"):
        hours, minutes = f"time_to_first_{what}_h", f"time_to_first_{what}_m"
        times[hours] = number(getattr(one.intent, hours))
        times[minutes] = getattr(one.intent, minutes)
    return times


def at_risk(
    insight: Insight, tenant: Tenant | None, rows: Rows, *, is_bound: bool
) -> shown.CustomerAtRisk:
    """A customer on the list of those to call."""
    one = insight.customer
    risk, friction, silence = one.risk, one.friction, one.silence
    assert risk.risk_level is not None and risk.primary_risk_reason is not None
    return shown.CustomerAtRisk(
        tenant_id=one.tenant_id,
        tenant_uuid=to_uuid_text(one.tenant_id),
        tenant_name=None if tenant is None else tenant.name,
        contacts=_contacts(tenant),
        risk_level=risk.risk_level,
        risk_signal_strength=risk.risk_signal_strength,
        kind="heuristic",
        primary_risk_reason=risk.primary_risk_reason,
        secondary_signals=list(risk.secondary_signals),
        **_scores(one.stickiness),
        last_investigation=instant(silence.last_investigation),
        days_since_investigation=number(silence.investigation_gap_days),
        last_api_call=instant(silence.last_api_call),
        days_since_api_call=days_since(silence.last_api_call, one.as_of),
        is_silent_churn=silence.is_silent_churn,
        paying=one.paying,
        friction_events_7d=friction.friction_events_7d,
        friction_weighted_score=to_float(friction.friction_weighted_score),
        top_friction_type=friction.top_friction_type,
        playbooks=[match.playbook_id for match in one.playbooks],
        **_changes(insight, one.as_of, is_bound=is_bound),
        interventions=interventions(one.interventions, rows),
    )


def _contacts(tenant: Tenant | None) -> list[dict[str, str | None]] | None:
    """Whom to speak to; None when nobody said."""
    if tenant is None or tenant.contacts is None:
        return None
    return [{"name": one.name, "email": one.email, "role": one.role} for one in tenant.contacts]


def _changes(insight: Insight, as_of: datetime, *, is_bound: bool) -> dict[str, Any]:
    found = insight.around.correlation
    return {
        "recent_changes": [change.text(as_of) for change in insight.around.recent],
        "decay_correlation": None if found is None else _said(found, is_bound),
        "decay_correlation_detail": None
        if found is None
        else shown.DecayCorrelation(
            change=found.change.what,
            change_kind=found.change.kind,
            changed_at=format_instant(found.change.at),
            declined_from=format_instant(found.declined_from),
            days_between=to_float(found.days_between),
            # How many other customers there are is nothing that one customer's key may learn.
            num_others_without_decline=None if is_bound else found.num_others,
            num_others_with_decline=None if is_bound else found.num_others_declined,
        ),
    }


def _said(found: Correlation, is_bound: bool) -> str:
    return found.text.partition(";")[0] if is_bound else found.text


def interventions(suggestions: Iterable[Suggestion], rows: Rows) -> list[shown.FounderIntervention]:
    """Steps to take, each with its row where one was made."""
    listed = []
    for one in suggestions:
        row = rows.get(one.key)
        listed.append(
            shown.FounderIntervention(
                intervention_type=one.intervention_type,
                priority=one.priority,
                suggested_action=one.suggested_action,
                context=one.context,
                expected_outcome=one.expected_outcome,
                triggering_signals=list(one.triggering_signals),
                playbook_id=one.playbook_id,
                intervention_id=None if row is None else row.id,
                state=None if row is None else row.state,
                outcome=None if row is None else row.effect,
                outcome_closes_at=None if row is None else instant(row.effect_closes_at),
            )
        )
    return listed


def gone(one: Customer, facts: Facts, tenant: Tenant | None) -> shown.GoneCustomer:
    """A customer without any event for 30 days."""
    return shown.GoneCustomer(
        tenant_id=one.tenant_id,
        tenant_uuid=to_uuid_text(one.tenant_id),
        tenant_name=None if tenant is None else tenant.name,
        last_event_at=format_instant(facts.last_event_at),
        days_since_last_event=days_since(facts.last_event_at, one.as_of) or 0.0,
        paying=one.paying,
    )


def stickiness(one: Stickiness, as_of: datetime) -> shown.Stickiness:
    """The scores of one moment."""
    return shown.Stickiness(
        as_of=format_instant(as_of),
        **_scores(one),
        stickiness_decayed=to_float(one.stickiness_decayed),
        peak_stickiness=to_float(one.peak_stickiness),
    )


def profile(of: Profile, rows: Rows, *, is_bound: bool) -> shown.CustomerProfile:
    """Everything about one customer."""
    one, tenant = of.insight.customer, of.tenant
    silence: Silence = one.silence
    last_export = of.facts.last_at("EXPORT_GENERATED")
    return shown.CustomerProfile(
        **moment(of.moment),
        tenant_id=one.tenant_id,
        tenant_uuid=to_uuid_text(one.tenant_id),
        tenant_name=None if tenant is None else tenant.name,
        contacts=_contacts(tenant),
        status=one.status,
        subscription=_subscription(of),
        intent=shown.Intent(
            inferred_buyer_type=one.intent.inferred_buyer_type,
            intent_confidence=to_float(one.intent.intent_confidence),
            evidence=one.intent.evidence,
            provisional=one.intent.provisional,
            signed_up_at=format_instant(one.intent.signed_up_at),
            first_action=one.intent.first_action,
            first_action_at=instant(one.intent.first_action_at),
        ),
        time_to_value=shown.TimeToValue(**_times_to_value(one)),
        stickiness=stickiness(one.stickiness, one.as_of),
        stickiness_last_week=None
        if of.last_week is None
        else stickiness(of.last_week, of.moment.as_of - 7 * DAY),
        usage=shown.Usage(
            active_days_7d=of.usage.active_days_7d,
            active_days_30d=of.usage.active_days_30d,
            dau_mau=number(of.usage.dau_mau),
            dau_mau_reason="no_activity" if of.usage.dau_mau is None else None,
        ),
        friction=shown.Friction(
            friction_score=to_float(one.friction.friction_score),
            friction_weighted_score=to_float(one.friction.friction_weighted_score),
            friction_events_7d=one.friction.friction_events_7d,
            top_friction_type=one.friction.top_friction_type,
            last_friction_event=instant(one.friction.last_friction_event),
        ),
        is_silent_churn=silence.is_silent_churn,
        last_api_call=instant(silence.last_api_call),
        last_investigation=instant(silence.last_investigation),
        investigation_gap_days=number(silence.investigation_gap_days),
        last_export=instant(last_export),
        days_since_export=days_since(last_export, one.as_of),
        risk=_risk(of.insight, is_bound=is_bound),
        playbooks=[
            shown.PlaybookMatch(
                id=match.playbook_id,
                name=match.title,
                risk_level=match.risk_level,
                because=list(match.signals),
            )
            for match in one.playbooks
        ],
        interventions=interventions(one.interventions, rows),
        timeline=_timeline(of),
        changes=[
            shown.ChangeOnTimeline(
                at=format_instant(change.at),
                kind=change.kind,
                what=change.what,
                is_everybodys=change.tenant_id == EVERYBODY,
            )
            for change in of.changes
        ],
    )


def _subscription(of: Profile) -> shown.Subscription:
    known = of.subscription
    return shown.Subscription(
        status=known.status,
        day=known.day,
        started_at=instant(known.started_at),
        cancelled_at=instant(known.cancelled_at),
        plan=known.plan,
        price_usd=None if known.price_usd is None else to_float(Fraction(known.price_usd)),
        source=known.source,
        paying=of.insight.customer.paying,
    )


def _risk(insight: Insight, *, is_bound: bool) -> shown.Risk:
    one = insight.customer
    return shown.Risk(
        risk_level=one.risk.risk_level,
        risk_level_reason=one.risk.risk_level_reason,
        risk_signal_strength=one.risk.risk_signal_strength,
        kind="heuristic",
        is_at_risk=one.risk.is_on_list,
        primary_risk_reason=one.risk.primary_risk_reason,
        secondary_signals=list(one.risk.secondary_signals),
        components=[
            shown.RiskComponent(name=part.name, points=part.weight, text=part.text)
            for part in one.risk.components
        ],
        **_changes(insight, one.as_of, is_bound=is_bound),
    )


def _timeline(of: Profile) -> list[shown.TimelineLine]:
    return [
        shown.TimelineLine(
            name=line.name,
            event_types=list(line.event_types),
            num_7d=line.num_7d,
            num_30d=line.num_30d,
            trend=line.trend,
            trend_reason=line.reason,
            last_at=instant(line.last_at),
            days=[shown.DayCount(date=day.isoformat(), num=num) for day, num in line.days],
        )
        for line in of.timeline
    ]


def rows_by_key(rows: Iterable[Intervention]) -> Rows:
    """The newest row of each suggestion.

    Args:
        rows: oldest first.
    """
    return {row.suggestion.key: row for row in rows}
