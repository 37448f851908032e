"""How much a customer investigates, now against its own past (stickiness/2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from ebbtide.signals.exact import compare, fraction
from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Actions, Facts
from ebbtide.signals.rules import Rules

NO_ACTIVITY = "no_activity"
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = DAY // _MICROSECOND
_WEEK_US = 7 * _DAY_US
_MONTH_US = 30 * _DAY_US


@dataclass(frozen=True, slots=True)
class Stickiness:
    """Weighted actions a week, exact. ``stickiness_delta`` is a ratio, 7 days over 30 days."""

    stickiness_7d: Fraction
    stickiness_30d: Fraction  # brought to one week
    stickiness_delta: Fraction | None
    delta_reason: str | None  # "no_activity" when there is no delta
    stickiness_trend: str  # rising, stable, falling, silent, unknown
    stickiness_decayed: Fraction
    peak_stickiness: Fraction


def compute_stickiness(facts: Facts, as_of: datetime, rules: Rules) -> Stickiness:
    """Stickiness of one tenant.

    Source:
        stickiness/2. The 30 days are brought to one week by 7 / T, where T is the tenant's age
        in decimal days, at least 7 and at most 30.
    """
    tenths_3d = to_tenths(facts.actions_3d, rules)
    tenths_7d = to_tenths(facts.actions_7d, rules)
    tenths_30d = to_tenths(facts.actions_30d, rules)
    base_us = base_length_us(facts, as_of)
    delta = None
    if tenths_30d:
        delta = fraction(tenths_7d * base_us, tenths_30d * _WEEK_US)
    return Stickiness(
        stickiness_7d=fraction(tenths_7d, 10),
        stickiness_30d=fraction(tenths_30d * _WEEK_US, 10 * base_us),
        stickiness_delta=delta,
        delta_reason=NO_ACTIVITY if delta is None else None,
        stickiness_trend=_trend(delta, facts, rules),
        # What is older than 3 days counts half: full weight of 3 days, and half of the rest.
        stickiness_decayed=fraction(tenths_3d + tenths_7d, 20),
        peak_stickiness=fraction(max(facts.peak_tenths, tenths_7d), 10),
    )


def to_tenths(actions: Actions, rules: Rules) -> int:
    """Ten times the weighted actions of one window, a whole number."""
    view, replay, export = rules.stickiness_tenths
    num_views, num_replays, num_exports = actions
    return num_views * view + num_replays * replay + num_exports * export


def base_length_us(facts: Facts, as_of: datetime) -> int:
    """T, the part of 30 days in which there was a tenant, in microseconds."""
    age_us = (as_of - facts.first_event_at) // _MICROSECOND
    return min(_MONTH_US, max(_WEEK_US, age_us))


def _trend(delta: Fraction | None, facts: Facts, rules: Rules) -> str:
    if delta is None:
        return "unknown" if facts.last_at(*INVESTIGATION_TYPES) is None else "silent"
    bounds = rules.signals.stickiness
    if compare(delta, "above", bounds.rising_above):
        return "rising"
    return "falling" if compare(delta, "below", bounds.falling_below) else "stable"
