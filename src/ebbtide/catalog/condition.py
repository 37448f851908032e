"""One comparison of a number about a customer with a threshold, as rules and playbooks write it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from string import Formatter
from types import MappingProxyType

from ebbtide.catalog.definition import Definition
from ebbtide.domain.nearest import did_you_mean

#: What can be compared, by name: the kind of value, and what it says.
MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "stickiness_7d": ("number", "weighted actions of 7 days"),
        "stickiness_30d": ("number", "weighted actions of 30 days, brought to one week"),
        "stickiness_delta": ("number", "ratio of the two"),
        "friction_score": ("number", "friction/1 of 14 days"),
        "friction_weighted_score": ("number", "friction/2 of 7 days"),
        "friction_events_7d": ("number", "friction events of 7 days; event_types narrows them"),
        "policy_block_repeats_7d": ("number", "most POLICY_BLOCK_REPEAT of one policy in 7 days"),
        "num_views_30d": ("number", "INCIDENT_VIEWED in 30 days"),
        "num_replays_30d": ("number", "REPLAY_EXECUTED in 30 days"),
        "num_exports_30d": ("number", "EXPORT_GENERATED in 30 days"),
        "days_since_investigation": ("age", "since an investigation, else the first API call"),
        "days_since_first": ("age", "since the first event of event_types, or of any type"),
        "days_since_last": ("age", "since the newest event of event_types, or of any type"),
        "is_silent_churn": ("flag", "silent churn holds"),
        "risk_level": ("word", "critical, high, medium or low"),
        "top_friction_type": ("word", "the type that weighs most in 7 days"),
        "margin_warning": ("word", "negative or falling"),
    }
)
#: Measures that ``event_types`` may narrow.
BY_EVENT_TYPE = ("friction_events_7d", "days_since_first", "days_since_last")

ORDERS = ("below", "at_most", "above", "at_least", "equal")
_COMPARISONS = {
    "number": ORDERS,
    "age": ORDERS[:4],
    "flag": ("true",),
    "word": ("one_of",),
}

#: What texts may name in braces; each is written as people read it.
WORDS = (
    "api_call_change_pct",
    "days_since_first",
    "days_since_investigation",
    "drop_pct",
    "flow_aborts_7d",
    "friction_events_7d",
    "friction_weighted_score",
    "hours_since_api_call",
    "margin_pct",
    "margin_pct_before",
    "margin_usd",
    "margin_usd_before",
    "num_top_friction",
    "num_top_policy",
    "primary_risk_reason",
    "risk_level",
    "risk_signal_strength",
    "stickiness_30d",
    "stickiness_7d",
    "stickiness_delta",
    "top_friction_type",
    "top_policy",
)


@dataclass(frozen=True, slots=True)
class Condition:
    """``metric`` compared with ``than``; ages are in days.

    ``than`` is a number, a list of words, or None for a flag. A value that is not known holds
    only when ``null_holds``. ``title`` says the rule, ``text`` says it of one customer with its
    number, ``text_null`` when the value is not known.
    """

    metric: str
    comparison: str
    than: Fraction | tuple[str, ...] | None
    event_types: tuple[str, ...]
    null_holds: bool
    title: str
    text: str
    text_null: str | None

    @property
    def name(self) -> str:
        """What is compared, with the event types that narrow it."""
        return f"{self.metric}({', '.join(self.event_types)})" if self.event_types else self.metric

    @property
    def is_age(self) -> bool:
        """Whether it compares a number that grows with time alone."""
        return MEASURES[self.metric][0] == "age"


def read_condition(one: Definition, event_types: Collection[str]) -> Condition:
    """Read one ``[[when]]`` table.

    Args:
        event_types: the names that exist.

    Raises:
        CatalogError: it names something that does not exist or cannot be compared like this.
    """
    metric = one.word("metric", MEASURES)
    kind = MEASURES[metric][0]
    comparison = one.word("is", _COMPARISONS[kind])
    narrowed: tuple[str, ...] = ()
    if one.has("event_types"):
        if metric not in BY_EVENT_TYPE:
            raise one.error("event_types", f"does not narrow {metric}")
        narrowed = read_event_types(one, event_types)
    null_holds = one.has("null") and one.word("null", ("holds",)) == "holds"
    if one.has("unit"):  # for the reader; an age is always in days
        unit = one.text("unit")
        if kind == "age" and unit != "days":
            raise one.error("unit", "an age is in days")
    condition = Condition(
        metric=metric,
        comparison=comparison,
        than=read_than(one, kind),
        event_types=narrowed,
        null_holds=null_holds,
        title=one.text("title"),
        text=read_text(one, "text"),
        text_null=read_text(one, "text_null") if null_holds else None,
    )
    one.close()
    return condition


def read_event_types(one: Definition, known: Collection[str]) -> tuple[str, ...]:
    """The key ``event_types``: names that exist."""
    names = one.texts("event_types")
    for name in names:
        if name not in known:
            raise one.error("event_types", f"unknown event type {name}{did_you_mean(name, known)}")
    return names


def read_than(one: Definition, kind: str) -> Fraction | tuple[str, ...] | None:
    """The threshold of a comparison, by the kind of what is compared."""
    if kind == "flag":
        return None
    return one.texts("than") if kind == "word" else one.number("than")


def read_text(one: Definition, key: str) -> str:
    """A text for people; in braces it names only what can be filled in."""
    text = one.text(key)
    try:
        fields = [name for _, name, spec, conversion in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise one.error(key, f"braces: {error}") from error
    for name in fields:
        if name not in WORDS:
            raise one.error(key, f"{{{name}}} is not one of {', '.join(WORDS)}")
    return text
