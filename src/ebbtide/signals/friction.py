"""How much a customer is held up (friction/1 and friction/2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ebbtide.signals.exact import compare, fraction
from ebbtide.signals.facts import Facts, FrictionEvent
from ebbtide.signals.rules import Rules, Weights

_NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class Friction:
    """Both scores, and what they are made of."""

    friction_score: Fraction  # friction/1: 14 days
    friction_weighted_score: Fraction  # friction/2: 7 days, capped by session and by day
    friction_events_7d: int  # the seven types, uncapped
    top_friction_type: str | None
    last_friction_event: datetime | None


def compute_friction(facts: Facts, rules: Rules) -> Friction:
    """Friction of one tenant; both scores are 0 when nothing held it up.

    Source:
        friction/1 and friction/2.
    """
    events = facts.friction_events_7d
    return Friction(
        friction_score=_score_14d(facts, rules),
        friction_weighted_score=_score_7d(events, rules),
        friction_events_7d=len(events),
        top_friction_type=_top_type(events, rules.friction_7d),
        last_friction_event=facts.last_at(*rules.friction_7d.units),
    )


def counted_events(events: Iterable[FrictionEvent], rules: Rules) -> list[FrictionEvent]:
    """The events that are left after both caps, the heaviest first.

    First the best of each session, then of those the best of each UTC day. An event without a
    session is capped by day only. The best are the heaviest, then the earliest, then by id.
    """
    caps, units = rules.signals.friction, rules.friction_7d.units
    best_first = sorted(events, key=lambda one: (-units[one.event_type], *one[:2]))
    in_session: defaultdict[str, int] = defaultdict(int)
    on_day: defaultdict[object, int] = defaultdict(int)
    counted = []
    # One walk serves for both caps: an event that its session takes in is weighed against
    # better ones of its day only, and those have all been through their sessions before.
    for one in best_first:
        if one.session_id:
            in_session[one.session_id] += 1
            if in_session[one.session_id] > caps.cap_per_session:
                continue
        day = one.timestamp.date()
        on_day[day] += 1
        if on_day[day] <= caps.cap_per_day:
            counted.append(one)
    return counted


def _score_14d(facts: Facts, rules: Rules) -> Fraction:
    weights = rules.friction_14d
    counts = facts.friction_14d
    if not counts:
        return _NOTHING
    points = fraction(
        sum([weights.units.get(name, 0) * num for name, num in counts.items()]), weights.per_one
    )
    cap = rules.signals.friction.cap_points_14d
    return cap if compare(points, "above", cap) else points


def _score_7d(events: tuple[FrictionEvent, ...], rules: Rules) -> Fraction:
    if not events:
        return _NOTHING
    caps, weights = rules.signals.friction, rules.friction_7d
    if len(events) > min(caps.cap_per_session, caps.cap_per_day):
        events = tuple(counted_events(events, rules))
    return fraction(sum([weights.units[one.event_type] for one in events]), weights.per_one)


def _top_type(events: tuple[FrictionEvent, ...], weights: Weights) -> str | None:
    if not events:
        return None
    sums: dict[str, int] = {}
    for one in events:
        sums[one.event_type] = sums.get(one.event_type, 0) + weights.units[one.event_type]
    return min(sums, key=lambda name: (-sums[name], name))
