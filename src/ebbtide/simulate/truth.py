"""The ground truth beside the events: what was scripted, and what an honest answer must find."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ebbtide.simulate.models import MODELS
from ebbtide.simulate.personas import STATES, TRAITS
from ebbtide.simulate.redis_growth import ALARM_PERCENT, LIMIT_KB, RESOURCE, RedisGrowth
from ebbtide.simulate.rhythm import DAY_US, HOUR_US, floor_day, instant_text
from ebbtide.simulate.script import (
    REGRESSION_FROM_VERSION,
    REGRESSION_POLICY,
    REGRESSION_TO_VERSION,
    Frame,
    Script,
)
from ebbtide.simulate.traffic import (
    REGRESSION_RATE_FACTOR,
    REPEAT_POLICY,
    SEVERITY_PERCENT,
    SEVERITY_PERCENT_REGRESSED,
    TRIGGERS,
)

NOTE = (
    "This company, its customers and every event are simulated. No name stands for a real "
    "business or person; any likeness is chance."
)


def write_truth(frame: Frame, scripts: list[Script], redis: RedisGrowth) -> dict[str, Any]:
    """Everything that was settled beforehand, as one JSON object.

    An expectation is ``None`` where the window is too short for the story to show.
    """
    return {
        "simulated": True,
        "note": NOTE,
        "parameters": {
            "seed": frame.seed,
            "num_tenants": len(scripts),
            "num_days": frame.num_days,
            "scale": frame.scale,
            "start": instant_text(frame.start_us),
            "end": instant_text(frame.end_us),
        },
        "states": STATES,
        "traits": TRAITS,
        "tenants": [_tenant(frame, script) for script in scripts],
        "regression": _regression(frame, scripts),
        "redis": _redis(frame, redis),
        "attribution_by_trigger_type": TRIGGERS,
        "models": [asdict(model) for model in MODELS.values()],
    }


def _tenant(frame: Frame, script: Script) -> dict[str, Any]:
    moments = {
        "signed_up": script.signed_up_us,
        "decay_from": script.decay_us,
        "silent_from": script.silent_us,
        "frustrated_from": script.frustrated_us,
        "frozen": script.frozen_us,
        "model_switch": script.model_switch_us,
        "upgraded": script.upgraded_us,
        "regression": script.regression_us,
        "cancelled": script.cancelled_us,
    }
    return {
        "tenant_id": script.tenant_id,
        "name": script.company.name,
        "persona": script.role.persona.name,
        "state": script.role.state,
        "traits": sorted(script.role.traits),
        "moments": {
            name: None if moment is None else instant_text(moment)
            for name, moment in moments.items()
        },
        "expect": _expectations(frame, script),
    }


def _expectations(frame: Frame, script: Script) -> dict[str, Any]:
    """What the founder's questions should answer at the end of the window."""
    state, traits = script.role.state, script.role.traits
    age_days = (frame.end_us - script.signed_up_us) / DAY_US
    is_churned = script.cancelled_us is not None
    # Ratios compare 7 days with 30: younger customers and shorter windows prove nothing.
    has_past = age_days >= 30
    ratio = friction = None
    if has_past and script.role.persona.sessions_per_day > 0:
        if state == "decaying":
            ratio = {"below": 0.5}
        elif state == "healthy":
            ratio = {"above": 0.7, "below": 1.5}
    if has_past and state == "frustrated":
        friction = {
            "above": 5,
            "top_type_among": ["POLICY_BLOCK_REPEAT"]
            if "blocked_policy" in traits
            else ["REPLAY_ABORTED", "EXPORT_ABORTED"],
        }
    unit_economics = sorted(traits & {"resource_hog", "negative_margin", "exports_without_replays"})
    return {
        "status": "churned" if is_churned else "active",
        "intent": _intent(frame, script),
        "silent_churn": not is_churned and _is_silent(frame, script),
        "stickiness_ratio": ratio,
        "friction_events_7d": friction,
        "unit_economics_flags": unit_economics if has_past else None,
        "change_before_decay": _change_before_decay(script),
        "blocked_policy": REPEAT_POLICY if "blocked_policy" in traits else None,
    }


def _intent(frame: Frame, script: Script) -> dict[str, Any] | None:
    turning = (script.decay_us, script.silent_us, script.frustrated_us, script.cancelled_us)
    first_turn = min((moment for moment in turning if moment is not None), default=frame.end_us)
    persona = script.role.persona
    decided_us = script.signed_up_us + 7 * DAY_US
    if frame.end_us < decided_us:
        return None
    if "certs_only" not in script.role.traits and first_turn < decided_us:
        return None
    confidence = 0.85 if "late_export" in script.role.traits else persona.intent_confidence
    return {"buyer_type": persona.intent, "confidence": confidence}


def _is_silent(frame: Frame, script: Script) -> bool:
    """By the rule for silent churn: calls go on, no investigation for more than seven days."""
    if script.silent_us is not None:
        return frame.end_us - script.silent_us > 7 * DAY_US
    # One that never investigates is silent by the same rule, a week after its first call.
    never = script.role.persona.sessions_per_day == 0
    return never and frame.end_us - script.signed_up_us > 8 * DAY_US


def _change_before_decay(script: Script) -> dict[str, str] | None:
    if script.model_switch_us is not None and script.next_model is not None:
        return {"kind": "model_switch", "at": instant_text(script.model_switch_us)}
    if script.frozen_us is not None:
        return {"kind": "freeze", "at": instant_text(script.frozen_us)}
    return None


def _regression(frame: Frame, scripts: list[Script]) -> dict[str, Any]:
    def mean(percent: dict[int, int]) -> float:
        return sum(severity * share for severity, share in percent.items()) / 100

    before, after = mean(SEVERITY_PERCENT), mean(SEVERITY_PERCENT_REGRESSED)
    return {
        "policy_id": REGRESSION_POLICY,
        "from_version": REGRESSION_FROM_VERSION,
        "to_version": REGRESSION_TO_VERSION,
        "at": instant_text(frame.regression_us),
        "mean_severity_before": before,
        "mean_severity_after": after,
        "mean_severity_change": round(after - before, 2),
        "incident_rate_factor": REGRESSION_RATE_FACTOR,
        "affected_tenants": [s.tenant_id for s in scripts if s.regression_us is not None],
    }


def _redis(frame: Frame, redis: RedisGrowth) -> dict[str, Any]:
    limit_us = redis.when_trend_reaches_us(LIMIT_KB)
    first_day = floor_day(frame.start_us) + DAY_US
    return {
        "resource": RESOURCE,
        "unit": "MB",
        "limit": LIMIT_KB // 1024,
        "growth_per_day": redis.growth_kb_per_day / 1024,
        "current": redis.level_mb(frame.end_us),
        "reaches_80_pct_at": instant_text(
            redis.when_trend_reaches_us(LIMIT_KB * ALARM_PERCENT // 100)
        ),
        "reaches_limit_at": instant_text(limit_us),
        "days_to_limit": round((limit_us - frame.end_us) / DAY_US, 2),
        # INFRA_LIMIT_HIT is sent from 80 % on only; these are what a gauge would have read.
        "samples": [
            {"at": instant_text(moment), "current": redis.level_mb(moment)}
            for moment in range(first_day, frame.end_us + 1, 6 * HOUR_US)
        ],
    }
