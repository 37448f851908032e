"""One tenant's numbers by name, while conditions look at them and texts speak of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from types import MappingProxyType

from ebbtide.catalog.condition import Condition
from ebbtide.signals.exact import compare
from ebbtide.signals.facts import Economics, Facts
from ebbtide.signals.friction import Friction
from ebbtide.signals.margin import Margin, Period, compute_margin
from ebbtide.signals.rounding import floor_days, to_decimal, to_whole
from ebbtide.signals.rules import Rules
from ebbtide.signals.silent_churn import Silence, days_between, gap_start
from ebbtide.signals.stickiness import Stickiness

#: A number, a word or a yes/no about a customer; None: not known.
Value = Fraction | int | str | bool | None

_BLOCK = "POLICY_BLOCK_REPEAT"
_FLOW_ABORTS = ("REPLAY_ABORTED", "EXPORT_ABORTED")
_HOUR = timedelta(hours=1)


class Measured:
    """What is known of one tenant so far; level, strength and reason are set when known."""

    __slots__ = (
        "_margin",
        "as_of",
        "economics",
        "facts",
        "friction",
        "primary_risk_reason",
        "risk_level",
        "risk_signal_strength",
        "rules",
        "silence",
        "stickiness",
    )

    def __init__(
        self,
        facts: Facts,
        as_of: datetime,
        rules: Rules,
        stickiness: Stickiness,
        friction: Friction,
        silence: Silence,
        economics: Economics | None,
    ) -> None:
        self.facts = facts
        self.as_of = as_of
        self.rules = rules
        self.stickiness = stickiness
        self.friction = friction
        self.silence = silence
        self.economics = economics
        self.risk_level: str | None = None
        self.risk_signal_strength = 0
        self.primary_risk_reason: str | None = None
        self._margin: tuple[Margin | None] | None = None

    def with_money(self, economics: Economics | None) -> Measured:
        """The same tenant at the same moment, with its money known."""
        made = Measured(
            self.facts,
            self.as_of,
            self.rules,
            self.stickiness,
            self.friction,
            self.silence,
            economics,
        )
        made.risk_level = self.risk_level
        made.risk_signal_strength = self.risk_signal_strength
        made.primary_risk_reason = self.primary_risk_reason
        return made

    @property
    def margin(self) -> Margin | None:
        """The money, worked out when somebody first asks for it."""
        if self._margin is None:
            first = self.facts.first_event_at
            self._margin = (compute_margin(self.economics, first, self.as_of, self.rules),)
        return self._margin[0]

    @property
    def margin_warning(self) -> str | None:
        """Negative or falling; None: no reason to talk about the price, or not known."""
        return None if self.margin is None else self.margin.warning

    def value(self, metric: str, event_types: tuple[str, ...] = ()) -> Value:
        """A measure by name; None when it is not known."""
        return _MEASURES[metric](self, event_types)

    def holds(self, condition: Condition) -> bool:
        """Whether a condition holds, decided on the exact value."""
        value = _MEASURES[condition.metric](self, condition.event_types)
        than = condition.than
        if value is None:
            return condition.null_holds
        if than is None:
            return value is True
        if isinstance(than, tuple):
            return value in than
        assert not isinstance(value, str)
        return compare(value, condition.comparison, than)

    def all_hold(self, conditions: Iterable[Condition]) -> bool:
        """Whether every condition holds; the first that does not ends the search."""
        for condition in conditions:
            if not self.holds(condition):
                return False
        return True

    def text(self, template: str) -> str:
        """A text with its words filled in."""
        return template.format_map(_Words(self)) if "{" in template else template

    def says(self, condition: Condition) -> str:
        """A condition that holds, in words about this tenant."""
        if condition.text_null is not None and self.value(condition.metric) is None:
            return self.text(condition.text_null)
        return self.text(condition.text)

    def count_friction(self, event_types: tuple[str, ...]) -> int:
        """Friction events of 7 days of some types."""
        return sum(one.event_type in event_types for one in self.facts.friction_events_7d)

    def top_policy(self) -> tuple[str, int] | tuple[None, int]:
        """The policy that blocked again most often in 7 days, and how often.

        An event without policy belongs to none; at equal numbers the alphabet decides.
        """
        counts: dict[str, int] = {}
        for one in self.facts.friction_events_7d:
            if one.event_type == _BLOCK and one.policy_id:
                counts[one.policy_id] = counts.get(one.policy_id, 0) + 1
        top = min(counts, key=lambda policy: (-counts[policy], policy), default=None)
        return (None, 0) if top is None else (top, counts[top])


def age_start(metric: str, event_types: tuple[str, ...], facts: Facts) -> datetime | None:
    """Since when an age grows; None when there is no such event."""
    match metric:
        case "days_since_investigation":
            return gap_start(facts)
        case "days_since_first":
            if not event_types:
                return facts.first_event_at
            firsts = (facts.first_at(event_type) for event_type in event_types)
            return min((first for first in firsts if first is not None), default=None)
        case "days_since_last":
            return facts.last_at(*event_types) if event_types else facts.last_event_at
    raise ValueError(f"{metric} is no age")


def _age(metric: str) -> Callable[[Measured, tuple[str, ...]], Value]:
    def age(one: Measured, event_types: tuple[str, ...]) -> Value:
        start = age_start(metric, event_types, one.facts)
        return None if start is None else days_between(start, one.as_of)

    return age


def _friction_events(one: Measured, event_types: tuple[str, ...]) -> Value:
    return one.count_friction(event_types) if event_types else one.friction.friction_events_7d


_MEASURES: Mapping[str, Callable[[Measured, tuple[str, ...]], Value]] = MappingProxyType(
    {
        "stickiness_7d": lambda one, _: one.stickiness.stickiness_7d,
        "stickiness_30d": lambda one, _: one.stickiness.stickiness_30d,
        "stickiness_delta": lambda one, _: one.stickiness.stickiness_delta,
        "friction_score": lambda one, _: one.friction.friction_score,
        "friction_weighted_score": lambda one, _: one.friction.friction_weighted_score,
        "friction_events_7d": _friction_events,
        "policy_block_repeats_7d": lambda one, _: one.top_policy()[1],
        "num_views_30d": lambda one, _: one.facts.actions_30d.num_views,
        "num_replays_30d": lambda one, _: one.facts.actions_30d.num_replays,
        "num_exports_30d": lambda one, _: one.facts.actions_30d.num_exports,
        "days_since_investigation": lambda one, _: one.silence.investigation_gap_days,
        "days_since_first": _age("days_since_first"),
        "days_since_last": _age("days_since_last"),
        "is_silent_churn": lambda one, _: one.silence.is_silent_churn,
        "risk_level": lambda one, _: one.risk_level,
        "top_friction_type": lambda one, _: one.friction.top_friction_type,
        "margin_warning": lambda one, _: one.margin_warning,
    }
)

# -- words ---------------------------------------------------------------------------------------

_UNKNOWN = "unknown"


class _Words(dict[str, str]):
    """Fills in words as a text asks for them."""

    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self._measured = measured

    def __missing__(self, name: str) -> str:
        return _WORDS[name](self._measured)


def _score(value: Fraction | None) -> str:
    return _UNKNOWN if value is None else str(to_decimal(value))


def _whole_pct(value: Fraction | None) -> str:
    return _UNKNOWN if value is None else str(to_whole(value * 100))


def _drop(one: Measured) -> Fraction | None:
    delta = one.stickiness.stickiness_delta
    return None if delta is None else 1 - delta


def _full_days(value: Fraction | None) -> str:
    return _UNKNOWN if value is None else str(floor_days(value))


def _hours_since_api_call(one: Measured) -> str:
    last = one.silence.last_api_call
    return _UNKNOWN if last is None else str((one.as_of - last) // _HOUR)


def _num_top_friction(one: Measured) -> str:
    top = one.friction.top_friction_type
    return "0" if top is None else str(one.count_friction((top,)))


def _margin_usd(one: Measured, which: Callable[[Margin], Period]) -> str:
    return _UNKNOWN if one.margin is None else _score(which(one.margin).margin_usd)


def _margin_pct(one: Measured, which: Callable[[Margin], Period]) -> str:
    margin = None if one.margin is None else which(one.margin).margin
    return "no revenue" if margin is None else f"{_whole_pct(margin)} %"


_WORDS: Mapping[str, Callable[[Measured], str]] = MappingProxyType(
    {
        "api_call_change_pct": lambda one: _whole_pct(
            None if one.margin is None else one.margin.api_call_change
        ),
        "days_since_first": lambda one: _full_days(
            days_between(one.facts.first_event_at, one.as_of)
        ),
        "days_since_investigation": lambda one: _full_days(one.silence.investigation_gap_days),
        "drop_pct": lambda one: _whole_pct(_drop(one)),
        "flow_aborts_7d": lambda one: str(one.count_friction(_FLOW_ABORTS)),
        "friction_events_7d": lambda one: str(one.friction.friction_events_7d),
        "friction_weighted_score": lambda one: _score(one.friction.friction_weighted_score),
        "hours_since_api_call": _hours_since_api_call,
        "margin_pct": lambda one: _margin_pct(one, lambda margin: margin.last),
        "margin_pct_before": lambda one: _margin_pct(one, lambda margin: margin.before),
        "margin_usd": lambda one: _margin_usd(one, lambda margin: margin.last),
        "margin_usd_before": lambda one: _margin_usd(one, lambda margin: margin.before),
        "num_top_friction": _num_top_friction,
        "num_top_policy": lambda one: str(one.top_policy()[1]),
        "primary_risk_reason": lambda one: one.primary_risk_reason or _UNKNOWN,
        "risk_level": lambda one: one.risk_level or _UNKNOWN,
        "risk_signal_strength": lambda one: str(one.risk_signal_strength),
        "stickiness_30d": lambda one: _score(one.stickiness.stickiness_30d),
        "stickiness_7d": lambda one: _score(one.stickiness.stickiness_7d),
        "stickiness_delta": lambda one: _score(one.stickiness.stickiness_delta),
        "top_friction_type": lambda one: one.friction.top_friction_type or _UNKNOWN,
        "top_policy": lambda one: one.top_policy()[0] or _UNKNOWN,
    }
)
