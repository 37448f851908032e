"""How a number of a customer came about: formula, what went in with which weight, which events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from types import MappingProxyType

from ebbtide.signals.customer import Customer
from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Actions, Facts
from ebbtide.signals.friction import counted_events
from ebbtide.signals.results import FRICTION_7D, FRICTION_14D
from ebbtide.signals.rounding import to_decimal
from ebbtide.signals.rules import Rules, Weights
from ebbtide.signals.silent_churn import API_CALL
from ebbtide.signals.stickiness import base_length_us
from ebbtide.signals.usage import NO_USAGE, Usage

_DAY_US = DAY // timedelta(microseconds=1)

#: A number, a word, a moment, a yes or no; None: not known.
Shown = Fraction | int | str | bool | datetime | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Input:
    """Something that went in. ``contributes`` is what it adds to the number; None: not by sum."""

    name: str
    value: Shown
    weight: Fraction | None = None
    contributes: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Which stored events a number is read from; ``since`` is open, None: from the beginning."""

    event_types: tuple[str, ...] | None
    since: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Derivation:
    """One number with its way from the facts.

    Attributes:
        metric: its name.
        value: exact.
        reason: why there is no value; None when there is one.
        formula: id, such as ``stickiness/2``.
        text: the formula in words, with the numbers that are in force.
        inputs: everything that went in.
        reads: the events behind it.
        families: the metric files that counted them.
    """

    metric: str
    value: Shown
    reason: str | None
    formula: str
    text: str
    inputs: tuple[Input, ...]
    reads: Reading
    families: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """One customer at one moment, for the functions below."""

    facts: Facts
    customer: Customer
    as_of: datetime
    rules: Rules
    usage: Usage


_Explain = Callable[[str, _Case], Derivation]


def derive(
    metric: str, facts: Facts, customer: Customer, rules: Rules, usage: Usage = NO_USAGE
) -> Derivation:
    """How one of :data:`EXPLAINED` came about.

    Args:
        facts, customer: of one tenant at one moment.
        usage: of the same; needed for the metrics of :data:`OF_USAGE` only.
    """
    return EXPLAINED[metric](metric, _Case(facts, customer, customer.as_of, rules, usage))


# -- stickiness ----------------------------------------------------------------------------------


def _stickiness(metric: str, case: _Case) -> Derivation:
    sticky, facts = case.customer.stickiness, case.facts
    view, replay, export = (Fraction(tenths, 10) for tenths in case.rules.stickiness_tenths)
    weighed = f"{_n(view)} x views + {_n(replay)} x replays + {_n(export)} x exports"
    base_days = Fraction(base_length_us(facts, case.as_of), _DAY_US)
    bounds = case.rules.signals.stickiness
    weights = (view, replay, export)
    week = _actions(facts.actions_7d, weights, "in 7 days")
    scale = 7 / base_days
    month = _actions(facts.actions_30d, weights, "in 30 days", scale)
    days = Input("days that the 30-day base covers (T)", base_days)
    ratio = (Input("stickiness_7d", sticky.stickiness_7d), *week)
    base = (Input("stickiness_30d", sticky.stickiness_30d), *month, days)
    per_week = f"({weighed} over 30 days) x 7 / T, T = age in days, at least 7 and at most 30"
    length = 30 * DAY
    match metric:
        case "stickiness_30d":
            value: Shown = sticky.stickiness_30d
            text, inputs = per_week, (*month, days)
        case "stickiness_delta":
            value = sticky.stickiness_delta
            text = f"7-day score / 30-day score; 7 days: {weighed}; 30 days: {per_week}"
            inputs = (*ratio, *base)
        case "stickiness_trend":
            value = sticky.stickiness_trend
            text = (
                f"rising above {_n(bounds.rising_above)}, falling below"
                f" {_n(bounds.falling_below)} of stickiness_delta, else stable; silent without"
                " investigation in 30 days, unknown without any ever"
            )
            inputs = (Input("stickiness_delta", sticky.stickiness_delta), *ratio, *base)
        case "stickiness_decayed":
            value = sticky.stickiness_decayed
            text = f"{weighed} over 7 days; what is older than 3 days counts half"
            older = Actions(
                *(a - b for a, b in zip(facts.actions_7d, facts.actions_3d, strict=True))
            )
            inputs = (
                *_actions(facts.actions_3d, weights, "in 3 days"),
                *_actions(older, weights, "3 to 7 days ago", Fraction(1, 2)),
            )
            length = 7 * DAY
        case "peak_stickiness":
            value = sticky.peak_stickiness
            text = "the highest 7-day score at 00:00 UTC of any day up to now, or now"
            inputs = (
                Input("highest at 00:00 UTC of any day", Fraction(facts.peak_tenths, 10)),
                Input("now", sticky.stickiness_7d),
            )
        case _:
            value = sticky.stickiness_7d
            text, inputs, length = f"{weighed}, over 7 days", week, 7 * DAY
    since = None if metric == "peak_stickiness" else case.as_of - length
    reason = sticky.delta_reason if value is None else None
    reads = Reading(INVESTIGATION_TYPES, since, case.as_of)
    families: tuple[str, ...] = ("stickiness",)
    if metric == "peak_stickiness":
        families = ("stickiness", "investigation_hours")
    return Derivation(metric, value, reason, bounds.formula, text, inputs, reads, families)


def _actions(
    actions: Actions,
    weights: tuple[Fraction, Fraction, Fraction],
    when: str,
    scale: Fraction = Fraction(1),
) -> tuple[Input, ...]:
    return tuple(
        Input(f"{name} {when}", num, weight * scale, weight * scale * num)
        for name, num, weight in zip(INVESTIGATION_TYPES, actions, weights, strict=True)
    )


# -- friction ------------------------------------------------------------------------------------


def _friction_14d(metric: str, case: _Case) -> Derivation:
    rule, weights = case.rules.signals.friction, case.rules.friction_14d
    counts = case.facts.friction_14d
    return Derivation(
        metric,
        case.customer.friction.friction_score,
        None,
        FRICTION_14D,
        f"{_sum_of(weights)}, over 14 days, at most {_n(rule.cap_points_14d)}",
        tuple(_weighed(name, counts.get(name, 0), weights, "in 14 days") for name in weights.units),
        Reading(tuple(weights.units), case.as_of - 14 * DAY, case.as_of),
        ("friction_counts",),
    )


def _friction_7d(metric: str, case: _Case) -> Derivation:
    rule, weights, events = (
        case.rules.signals.friction,
        case.rules.friction_7d,
        case.facts.friction_events_7d,
    )
    friction = case.customer.friction
    counted = counted_events(events, case.rules)
    types = tuple(weights.units)
    since: datetime | None = case.as_of - 7 * DAY
    all_of = tuple(
        _weighed(name, sum(one.event_type == name for one in events), weights, "in 7 days")
        for name in types
    )
    match metric:
        case "friction_events_7d":
            value: Shown = friction.friction_events_7d
            text = "how many events of the seven friction types happened in 7 days, uncapped"
            inputs = tuple(Input(one.name, one.value) for one in all_of)
        case "top_friction_type":
            value = friction.top_friction_type
            text = "the type with the largest count x weight in 7 days; ties by alphabet"
            inputs = all_of
        case "last_friction_event":
            value, since = friction.last_friction_event, None
            text = "the newest event of the seven friction types, at any time"
            inputs = ()
        case _:
            value = friction.friction_weighted_score
            text = (
                f"sum of the weights of 7 days ({_sum_of(weights)}); of one session at most"
                f" {rule.cap_per_session} and of one UTC day at most {rule.cap_per_day} events"
                " count, the heaviest first"
            )
            inputs = (
                *(
                    _weighed(
                        name, sum(one.event_type == name for one in counted), weights, "that count"
                    )
                    for name in types
                ),
                Input("events that the caps leave out", len(events) - len(counted)),
            )
    reason = None if value is not None else "no_activity"
    families = ("activity_spans",) if metric == "last_friction_event" else ("friction_events",)
    reads = Reading(types, since, case.as_of)
    return Derivation(metric, value, reason, FRICTION_7D, text, inputs, reads, families)


def _sum_of(weights: Weights) -> str:
    return " + ".join(
        f"{_n(Fraction(units, weights.per_one))} x {name}" for name, units in weights.units.items()
    )


def _weighed(name: str, num: int, weights: Weights, when: str) -> Input:
    weight = Fraction(weights.units[name], weights.per_one)
    return Input(f"{name} {when}", num, weight, weight * num)


# -- silence, intent, usage ----------------------------------------------------------------------


def _silence(metric: str, case: _Case) -> Derivation:
    rule, silence = case.rules.signals.silent_churn, case.customer.silence
    gap = silence.investigation_gap_days
    inputs = (
        Input("paying (not cancelled; unknown counts as yes)", case.customer.paying),
        Input("newest API_CALL_RECEIVED", silence.last_api_call),
        Input("newest investigation", silence.last_investigation),
        Input("first API_CALL_RECEIVED", case.facts.first_at(API_CALL)),
        Input("days since the last investigation, else since the first API call", gap),
    )
    values: dict[str, Shown] = {
        "is_silent_churn": silence.is_silent_churn,
        "last_api_call": silence.last_api_call,
        "last_investigation": silence.last_investigation,
    }
    value = values.get(metric, gap)
    text = (
        f"not cancelled, an API call less than {rule.api_call_within_hours} h ago, and no"
        f" investigation for more than {rule.no_investigation_for_days} days (who never"
        " investigated: since the first API call)"
    )
    types = (API_CALL, *INVESTIGATION_TYPES, "SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED")
    return Derivation(
        metric,
        value,
        "no_activity" if value is None else None,
        rule.formula,
        text,
        inputs,
        Reading(types, None, case.as_of),
        ("activity_spans",),
    )


def _intent(metric: str, case: _Case) -> Derivation:
    rule, intent = case.rules.signals.intent, case.customer.intent
    tried = [
        f"{one.event_type} within {one.within_hours} h: {one.buyer_type} {_n(one.confidence)}"
        if one.event_type
        else f"else {one.buyer_type} {_n(one.confidence)}"
        for one in rule.cases
    ]
    types = tuple(dict.fromkeys(one.event_type for one in rule.cases if one.event_type))
    if metric.startswith("time_to_first_"):
        types = ("INCIDENT_CREATED", *INVESTIGATION_TYPES)
    value: Shown = getattr(intent, metric)
    is_time = metric.startswith("time_to_first_")
    until = case.as_of
    if not is_time:
        until = min(until, intent.signed_up_at + timedelta(hours=rule.window_hours))
    return Derivation(
        metric,
        value,
        "not_yet" if value is None else None,
        rule.formula,
        "from sign-up to the first event at or after it" if is_time else "; ".join(tried),
        (
            Input("sign-up", intent.signed_up_at),
            *(
                Input(f"first {name} from sign-up on", case.facts.firsts.get(name))
                for name in types
            ),
            Input("evidence", intent.evidence),
            Input("still in the first week", intent.provisional),
        ),
        Reading(types, intent.signed_up_at - timedelta(microseconds=1), until),
        ("first_since_sign_up",),
    )


def _usage(metric: str, case: _Case) -> Derivation:
    usage = case.usage
    text = (
        "how many of the 24-hour slices that end now hold an investigation"
        if metric != "dau_mau"
        else "users who investigated in 24 h / users who did in 30 days; events without a user do"
        " not count"
    )
    value: Shown = getattr(usage, metric)
    return Derivation(
        metric,
        value,
        "no_activity" if value is None else None,
        case.rules.signals.stickiness.formula,
        text,
        (
            Input("users in 24 hours", usage.users_24h),
            Input("users in 30 days", usage.users_30d),
            Input("active days of 7", usage.active_days_7d),
            Input("active days of 30", usage.active_days_30d),
        ),
        Reading(
            INVESTIGATION_TYPES,
            case.as_of - (7 if metric == "active_days_7d" else 30) * DAY,
            case.as_of,
        ),
        ("active_days",),
    )


def _status(metric: str, case: _Case) -> Derivation:
    one, rule = case.customer, case.rules.signals.risk
    types = ("SUBSCRIPTION_STARTED", "SUBSCRIPTION_CANCELLED")
    return Derivation(
        metric,
        one.paying if metric == "paying" else one.status,
        None,
        rule.formula,
        "churned: the newest subscription event is a cancellation (then it does not pay); gone:"
        f" no event of any type for {rule.gone_after_days} days; else active. Without any"
        " subscription event paying is unknown.",
        (
            *(Input(f"newest {name}", case.facts.last_at(name)) for name in types),
            Input("newest event of any type", case.facts.last_event_at),
        ),
        Reading(types, None, case.as_of),
        ("activity_spans",),
    )


# -- risk ----------------------------------------------------------------------------------------


def _risk(metric: str, case: _Case) -> Derivation:
    rule, one = case.rules.signals.risk, case.customer
    levels = ", ".join(f"{level} from {lowest}" for level, lowest in rule.levels)
    parts = {part.name: part for part in one.risk.components}
    inputs = []
    texts = []
    for component in rule.components:
        bands = " / ".join(
            f"{band.comparison.replace('_', ' ')} {_n(band.than)}: {band.points}"
            for band in component.bands
        )
        texts.append(f"{component.metric} {bands}")
        part = parts.get(component.name)
        points = Fraction(0 if part is None else part.weight)
        measured: dict[str, Shown] = {
            "stickiness_delta": one.stickiness.stickiness_delta,
            "friction_events_7d": one.friction.friction_events_7d,
            "days_since_investigation": one.silence.investigation_gap_days,
        }
        inputs.append(Input(component.metric, measured[component.metric], None, points))
    inputs += [Input(f"playbook {m.playbook_id}", m.risk_level) for m in one.playbooks]
    inputs.append(Input("status", one.status))
    values: dict[str, Shown] = {
        "risk_level": one.risk.risk_level,
        "risk_signal_strength": one.risk.risk_signal_strength,
        "is_at_risk": one.risk.is_on_list,
        "playbooks": tuple(match.playbook_id for match in one.playbooks),
    }
    value = values.get(metric, one.risk.primary_risk_reason)
    text = (
        f"strength = points of {'; of '.join(texts)}. Level = the worse of: by strength ({levels},"
        " else low), and the worst level of the playbooks that match. On the list from"
        f" {rule.listed_from} on, unless cancelled or without an event for"
        f" {rule.gone_after_days} days. A rank for attention, not a probability."
    )
    reason = one.risk.risk_level_reason if metric == "risk_level" else None
    types = (*INVESTIGATION_TYPES, *case.rules.friction_7d.units)
    return Derivation(
        metric,
        value,
        reason if value is None and reason else ("no_reason" if value is None else None),
        rule.formula,
        text,
        tuple(inputs),
        Reading(types, case.as_of - 30 * DAY, case.as_of),
        ("stickiness", "friction_events", "activity_spans"),
    )


def _n(value: Fraction | int) -> str:
    """A number of a rule as people write it."""
    text = str(to_decimal(Fraction(value), 4)).rstrip("0").rstrip(".")
    return text or "0"


#: Numbers that need :class:`Usage`.
OF_USAGE = ("active_days_7d", "active_days_30d", "dau_mau")

#: Every number that can be explained, by its name in the API.
EXPLAINED: Mapping[str, _Explain] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "stickiness_7d",
                "current_stickiness",
                "stickiness_30d",
                "stickiness_delta",
                "stickiness_trend",
                "stickiness_decayed",
                "peak_stickiness",
            ),
            _stickiness,
        ),
        **dict.fromkeys(OF_USAGE, _usage),
        **dict.fromkeys(("status", "paying"), _status),
        "friction_score": _friction_14d,
        **dict.fromkeys(
            (
                "friction_weighted_score",
                "friction_events_7d",
                "top_friction_type",
                "last_friction_event",
            ),
            _friction_7d,
        ),
        **dict.fromkeys(
            (
                "is_silent_churn",
                "investigation_gap_days",
                "days_since_investigation",
                "last_api_call",
                "last_investigation",
            ),
            _silence,
        ),
        **dict.fromkeys(
            (
                "inferred_buyer_type",
                "intent_confidence",
                "signed_up_at",
                "first_action",
                "first_action_at",
                *(
                    f"time_to_first_{what}_{unit}"
                    for what in ("incident", "view", "replay", "export")
                    for unit in "hm"
                ),
            ),
            _intent,
        ),
        **dict.fromkeys(
            (
                "risk_level",
                "risk_signal_strength",
                "primary_risk_reason",
                "risk_reason",
                "is_at_risk",
                "playbooks",
            ),
            _risk,
        ),
    }
)
