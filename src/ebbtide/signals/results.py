"""Turns what is said about a customer into what is kept: score rows and its newest segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from ebbtide.signals.customer import Customer
from ebbtide.signals.facts import DAY, Facts
from ebbtide.signals.friction import counted_events
from ebbtide.signals.rules import Rules
from ebbtide.signals.silent_churn import API_CALL
from ebbtide.store.state.scores import ScoreRow

FRICTION_14D = "friction/1"
FRICTION_7D = "friction/2"


class _Formula(NamedTuple):
    """What one formula says of a customer.

    ``about`` is what it looked at, and what it says that may jump with time alone: a new row is
    kept when that is different. Ages are not in it: they grow all the time, and whoever reads a
    row works them out from the instants beside them. The other two make the row's JSON.
    """

    about: Callable[[Customer, Facts], tuple[Any, ...]]
    inputs: Callable[[Customer, Facts, Rules, tuple[Any, ...]], Mapping[str, Any]]
    said: Callable[[Customer, Facts], Mapping[str, Any]]


def _exact(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    raise TypeError(type(value).__name__)


_encoder = msgspec.json.Encoder(enc_hook=_exact, order="deterministic")


def to_json(value: Any) -> str:
    """Exact JSON: fractions as text such as ``553/150``, moments in ISO 8601, keys sorted."""
    return _encoder.encode(value).decode()


def formulas_of(rules: Rules) -> tuple[str, ...]:
    """The id of each formula that speaks of a customer."""
    signals = rules.signals
    return (
        signals.stickiness.formula,
        FRICTION_14D,
        FRICTION_7D,
        signals.silent_churn.formula,
        signals.intent.formula,
        signals.risk.formula,
    )


def _about_stickiness(customer: Customer, facts: Facts) -> tuple[Any, ...]:
    one = customer.stickiness
    return (
        facts.actions_3d,
        facts.actions_7d,
        facts.actions_30d,
        one.peak_stickiness,
        _base(facts, customer.as_of),
        one.stickiness_trend,
    )


_STICKINESS_NAMES = ("actions_3d", "actions_7d", "actions_30d", "peak_stickiness", "base", "trend")


def _say_stickiness(customer: Customer, _: Facts) -> Mapping[str, Any]:
    one = customer.stickiness
    return {
        "stickiness_7d": one.stickiness_7d,
        "stickiness_30d": one.stickiness_30d,
        "stickiness_delta": one.stickiness_delta,
        "delta_reason": one.delta_reason,
        "stickiness_trend": one.stickiness_trend,
        "stickiness_decayed": one.stickiness_decayed,
        "peak_stickiness": one.peak_stickiness,
    }


def _friction_7d_inputs(
    customer: Customer, facts: Facts, rules: Rules, _: tuple[Any, ...]
) -> Mapping[str, Any]:
    counts: dict[str, int] = {}
    for event in facts.friction_events_7d:
        counts[event.event_type] = counts.get(event.event_type, 0) + 1
    counted = counted_events(facts.friction_events_7d, rules)
    return {
        "counts_7d": counts,
        "counted": [event.event_uuid for event in counted],  # all others are over a cap
        "last_friction_event": customer.friction.last_friction_event,
    }


def _say_friction_7d(customer: Customer, _: Facts) -> Mapping[str, Any]:
    one = customer.friction
    return {
        "friction_weighted_score": one.friction_weighted_score,
        "friction_events_7d": one.friction_events_7d,
        "top_friction_type": one.top_friction_type,
        "last_friction_event": one.last_friction_event,
    }


def _say_silence(customer: Customer, facts: Facts) -> Mapping[str, Any]:
    one = customer.silence
    return {
        "is_silent_churn": one.is_silent_churn,
        "paying": customer.paying,
        "last_api_call": one.last_api_call,
        "first_api_call": facts.first_at(API_CALL),
        "last_investigation": one.last_investigation,
        "investigation_gap_days": one.investigation_gap_days,
    }


def _about_intent(customer: Customer, facts: Facts) -> tuple[Any, ...]:
    one = customer.intent
    return (
        one.signed_up_at,
        facts.firsts,
        one.first_action,
        one.first_action_at,
        one.provisional,
        one.evidence,
    )


_INTENT_NAMES = (
    "signed_up_at",
    "firsts",
    "first_action",
    "first_action_at",
    "provisional",
    "evidence",
)


def _say_intent(customer: Customer, _: Facts) -> Mapping[str, Any]:
    one = customer.intent
    return {
        "inferred_buyer_type": one.inferred_buyer_type,
        "intent_confidence": one.intent_confidence,
        "evidence": one.evidence,
        "provisional": one.provisional,
        "time_to_first_incident_h": one.time_to_first_incident_h,
        "time_to_first_view_h": one.time_to_first_view_h,
        "time_to_first_replay_h": one.time_to_first_replay_h,
        "time_to_first_export_h": one.time_to_first_export_h,
    }


def _about_risk(customer: Customer, _: Facts) -> tuple[Any, ...]:
    one = customer.risk
    return (
        customer.status,
        one.components,
        _playbooks(customer),
        one.risk_level,
        one.primary_risk_reason,
        one.secondary_signals,
    )


def _risk_inputs(
    customer: Customer, _: Facts, __: Rules, ___: tuple[Any, ...]
) -> Mapping[str, Any]:
    one = customer.risk
    return {
        "status": customer.status,
        "components": [(part.name, part.weight, part.text) for part in one.components],
        "playbooks": _playbooks(customer),
        "risk_level": one.risk_level,
        "primary_risk_reason": one.primary_risk_reason,
        "secondary_signals": one.secondary_signals,
    }


def _say_risk(customer: Customer, _: Facts) -> Mapping[str, Any]:
    one = customer.risk
    return {
        "risk_level": one.risk_level,
        "risk_level_reason": one.risk_level_reason,
        "risk_signal_strength": one.risk_signal_strength,
        "primary_risk_reason": one.primary_risk_reason,
        "secondary_signals": one.secondary_signals,
        "is_on_list": one.is_on_list,
        "playbooks": _playbooks(customer),
    }


def _playbooks(customer: Customer) -> tuple[str, ...]:
    return tuple([match.playbook_id for match in customer.playbooks])


#: In the order of :func:`formulas_of`.
_FORMULAS = (
    _Formula(
        _about_stickiness,
        lambda _, __, ___, about: dict(zip(_STICKINESS_NAMES, about, strict=True)),
        _say_stickiness,
    ),
    _Formula(
        lambda _, facts: (facts.friction_14d,),
        lambda _, facts, __, ___: {"counts_14d": facts.friction_14d},
        lambda customer, _: {"friction_score": customer.friction.friction_score},
    ),
    _Formula(
        lambda one, facts: (facts.friction_events_7d, one.friction.last_friction_event),
        _friction_7d_inputs,
        _say_friction_7d,
    ),
    _Formula(
        # Both edges are kept, not each call between.
        lambda one, _: (one.silence.is_silent_churn, one.paying),
        lambda one, _, __, ___: {
            "is_silent_churn": one.silence.is_silent_churn,
            "paying": one.paying,
        },
        _say_silence,
    ),
    _Formula(
        _about_intent,
        lambda _, __, ___, about: dict(zip(_INTENT_NAMES, about, strict=True)),
        _say_intent,
    ),
    _Formula(_about_risk, _risk_inputs, _say_risk),
)


@dataclass(frozen=True, slots=True)
class Newest:
    """What the newest row of each formula rests on, by formula id.

    ``keys`` are the hashes that stand in the rows; ``about`` spares making them, where it is
    known.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


NOTHING_KEPT = Newest()


def new_rows(
    customer: Customer,
    facts: Facts,
    rules: Rules,
    newest: Newest,
    *,
    uuid: str,
    computed_at: datetime,
) -> tuple[list[ScoreRow], Newest]:
    """The results that differ from the newest ones.

    Args:
        uuid: of the tenant.

    Returns:
        Rows, empty when nothing differs, and what is newest after them.
    """
    rows = []
    keys, abouts = dict(newest.keys), {}
    for formula, (say_about, inputs, said) in zip(formulas_of(rules), _FORMULAS, strict=True):
        about = abouts[formula] = say_about(customer, facts)
        if newest.about.get(formula) == about:
            continue
        encoded = _encoder.encode(inputs(customer, facts, rules, about))
        key = blake2b(encoded, digest_size=12).hexdigest()
        if keys.get(formula) == key:
            continue
        keys[formula] = key
        rows.append(
            ScoreRow(
                tenant_uuid=uuid,
                formula=formula,
                as_of=customer.as_of,
                inputs_hash=key,
                known_at=None,
                computed_at=computed_at,
                inputs=encoded.decode(),
                result=to_json(said(customer, facts)),
            )
        )
    return rows, Newest(keys, abouts)


def to_segment(
    customer: Customer, facts: Facts, *, uuid: str, computed_at: datetime
) -> tuple[Any, ...]:
    """The row of ``customer_segments``, in the order of its columns."""
    stickiness, friction, silence = customer.stickiness, customer.friction, customer.silence
    intent, risk = customer.intent, customer.risk
    delta = stickiness.stickiness_delta
    week = float(stickiness.stickiness_7d)
    firsts = facts.firsts
    return (
        uuid,
        customer.tenant_id,
        customer.as_of,
        computed_at,
        customer.status,
        customer.paying,
        intent.signed_up_at,
        intent.first_action,
        intent.first_action_at,
        intent.inferred_buyer_type,
        float(intent.intent_confidence),
        intent.evidence,
        intent.provisional,
        week,  # current_stickiness
        week,
        float(stickiness.stickiness_30d),
        None if delta is None else float(delta),
        stickiness.delta_reason,
        stickiness.stickiness_trend,
        float(stickiness.stickiness_decayed),
        float(stickiness.peak_stickiness),
        float(friction.friction_score),
        float(friction.friction_weighted_score),
        friction.friction_events_7d,
        friction.top_friction_type,
        friction.last_friction_event,
        silence.is_silent_churn,
        silence.last_investigation,
        risk.risk_level,
        risk.risk_level_reason,
        risk.risk_signal_strength,
        risk.primary_risk_reason,
        to_json(risk.secondary_signals),
        risk.is_on_list,
        to_json([match.playbook_id for match in customer.playbooks]),
        firsts.get("INCIDENT_CREATED"),
        firsts.get("INCIDENT_VIEWED"),
        firsts.get("REPLAY_EXECUTED"),
        firsts.get("EXPORT_GENERATED"),
        intent.time_to_first_incident_m,
        intent.time_to_first_view_m,
        intent.time_to_first_replay_m,
        intent.time_to_first_export_m,
        to_json({"stickiness_30d": stickiness.stickiness_30d, "stickiness_delta": delta}),
    )


def _base(facts: Facts, as_of: datetime) -> object:
    """What the 30 days are brought to a week by: a length, or of a young tenant since when.

    None where there is nothing to bring to a week.
    """
    if not any(facts.actions_30d):
        return None
    first = facts.first_event_at
    age = as_of - first
    return "30d" if age >= 30 * DAY else "7d" if age <= 7 * DAY else first
