"""Reads the rules that turn numbers into signals: every threshold, number of points and text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from importlib.resources.abc import Traversable

from ebbtide.catalog.condition import (
    MEASURES,
    ORDERS,
    Condition,
    read_condition,
    read_text,
)
from ebbtide.catalog.definition import Definition, read_folder
from ebbtide.catalog.incidents import (
    AttributionRule,
    RegressionRule,
    read_attribution,
    read_regression,
)
from ebbtide.catalog.playbook import ACTION_TYPES, LEVELS, PRIORITIES, STATUSES
from ebbtide.catalog.product import ProductRule, read_product
from ebbtide.catalog.pulse import PulseRule, read_pulse
from ebbtide.catalog.revenue import RevenueRule, read_revenue
from ebbtide.domain.errors import CatalogError


@dataclass(frozen=True, slots=True)
class StickinessRule:
    """Between these two ratios, and at them, a trend is stable."""

    formula: str
    rising_above: Fraction
    falling_below: Fraction


@dataclass(frozen=True, slots=True)
class FrictionRule:
    """Where the two friction scores are cut off, so that one bad path does not decide alone."""

    formula: str
    cap_points_14d: Fraction  # friction/1: highest score
    cap_per_session: int  # friction/2: events of one session that count
    cap_per_day: int  # friction/2: events of one UTC day that count, after the sessions


@dataclass(frozen=True, slots=True)
class SilentChurnRule:
    """Machines have called within so many hours, people have not looked for so many days."""

    formula: str
    api_call_within_hours: int
    no_investigation_for_days: int


@dataclass(frozen=True, slots=True)
class Band:
    """From where on a component gives how many points, and what it then says."""

    comparison: str
    than: Fraction
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the strength; the first band that holds counts."""

    name: str
    title: str
    metric: str
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class RiskRule:
    """How components become a strength, the strength a level, and who is on the list."""

    formula: str
    levels: tuple[tuple[str, int], ...]  # level and lowest strength, the worst first
    otherwise: str  # the level below all of them
    listed_from: str  # the mildest level on the list
    gone_after_days: int  # without any event
    components: tuple[Component, ...]

    def threshold(self, level: str) -> int:
        """The lowest strength of a level; what a playbook of that level weighs."""
        return dict(self.levels).get(level, 0)


@dataclass(frozen=True, slots=True)
class IntentCase:
    """What an early first event says; without ``event_type`` it is what is left."""

    event_type: str | None
    within_hours: int | None
    buyer_type: str
    confidence: Fraction
    text: str
    text_provisional: str | None  # as long as the window is open; None: the same text


@dataclass(frozen=True, slots=True)
class IntentRule:
    """The first case that holds counts; after ``window_hours`` nothing can change any more."""

    formula: str
    window_hours: int
    cases: tuple[IntentCase, ...]


@dataclass(frozen=True, slots=True)
class InterventionCase:
    """One row of the table: when to do what, how soon, and why.

    A row without ``when`` is for tenants whom no other row speaks of. ``playbooks`` are those
    that this row begins; the first one that matches is named.
    """

    rule: str
    intervention_type: str
    priority: str
    when: tuple[Condition, ...]
    playbooks: tuple[str, ...]
    suggested_action: str
    context: str
    expected_outcome: str


@dataclass(frozen=True, slots=True)
class PricingRule:
    """When the money made with a customer calls for a word about the price."""

    formula: str
    default_price_usd: Fraction  # for 30 days, when neither event nor plan says one
    margin_fall: Fraction  # of the revenue, between two periods of 30 days
    api_call_rise: Fraction


@dataclass(frozen=True, slots=True)
class Signals:
    """All rules, as they come with Ebbtide."""

    stickiness: StickinessRule
    friction: FrictionRule
    silent_churn: SilentChurnRule
    risk: RiskRule
    intent: IntentRule
    pricing: PricingRule
    interventions: tuple[InterventionCase, ...]
    interventions_formula: str
    pulse: PulseRule
    attribution: AttributionRule
    regression: RegressionRule
    revenue: RevenueRule
    product: ProductRule


def load_signals(event_types: Collection[str], folder: Traversable | None = None) -> Signals:
    """Read the rules.

    Args:
        event_types: the names that exist.
        folder: None means the rules that come with Ebbtide.

    Raises:
        CatalogError: one is wrong or missing; the message names the file and the key.
    """
    where = files("ebbtide.catalog").joinpath("signals") if folder is None else folder
    found = dict(read_folder(where, lambda one: one))

    def take(name: str) -> Definition:
        if name not in found:
            raise CatalogError(f"{name}.toml: missing")
        one = found.pop(name)
        if one.text("name") != name:
            raise one.error("name", f"must be {name}, like the file")
        for key in ("title", "source", "owner"):
            one.text(key)
        one.word("status", STATUSES)
        return one

    interventions = take("interventions")
    signals = Signals(
        stickiness=_stickiness(take("stickiness")),
        friction=_friction(take("friction")),
        silent_churn=_silent_churn(take("silent_churn")),
        risk=_risk(take("risk_signal")),
        intent=_intent(take("intent"), event_types),
        pricing=_pricing(take("pricing")),
        interventions_formula=interventions.text("formula"),
        interventions=_interventions(interventions, event_types),
        pulse=read_pulse(take("pulse")),
        attribution=read_attribution(take("attribution")),
        regression=read_regression(take("regression")),
        revenue=read_revenue(take("revenue")),
        product=read_product(take("product"), event_types),
    )
    for name in found:
        raise CatalogError(f"{name}.toml: no rule of this name is known")
    return signals


def _stickiness(one: Definition) -> StickinessRule:
    trend = one.table("trend")
    rule = StickinessRule(
        one.text("formula"), trend.number("rising_above"), trend.number("falling_below")
    )
    if rule.falling_below > rule.rising_above:
        raise trend.error("falling_below", "must not be above rising_above")
    trend.close()
    one.close()
    return rule


def _friction(one: Definition) -> FrictionRule:
    caps = one.table("caps")
    rule = FrictionRule(
        one.text("formula"),
        caps.number("points_14d"),
        caps.whole("events_per_session"),
        caps.whole("events_per_day"),
    )
    caps.close()
    one.close()
    return rule


def _silent_churn(one: Definition) -> SilentChurnRule:
    rule = SilentChurnRule(
        one.text("formula"),
        one.whole("api_call_within_hours"),
        one.whole("no_investigation_for_days"),
    )
    one.close()
    return rule


def _risk(one: Definition) -> RiskRule:
    levels = one.table("levels")
    rule = RiskRule(
        formula=one.text("formula"),
        levels=tuple((level, levels.whole(level)) for level in LEVELS[:-1]),
        otherwise=LEVELS[-1],
        listed_from=one.word("listed_from", LEVELS),
        gone_after_days=one.whole("gone_after_days"),
        components=tuple(_component(each) for each in one.tables("component")),
    )
    thresholds = [strength for _, strength in rule.levels]
    if thresholds != sorted(set(thresholds), reverse=True):
        raise levels.error("critical", "a worse level needs a higher strength")
    most = sum(max(band.points for band in each.bands) for each in rule.components)
    if most > 100:
        raise one.error("component", f"the points add up to {most}, which is more than 100")
    levels.close()
    one.close()
    return rule


def _component(one: Definition) -> Component:
    metric = one.word("metric", [name for name, (kind, _) in MEASURES.items() if kind in _ORDERED])
    component = Component(
        name=one.text("name"),
        title=one.text("title"),
        metric=metric,
        bands=tuple(_band(each) for each in one.tables("band")),
    )
    one.close()
    return component


_ORDERED = ("number", "age")


def _band(one: Definition) -> Band:
    band = Band(
        comparison=one.word("is", ORDERS),
        than=one.number("than"),
        points=one.whole("points"),
        text=read_text(one, "text"),
    )
    one.close()
    return band


def _intent(one: Definition, event_types: Collection[str]) -> IntentRule:
    rule = IntentRule(
        formula=one.text("formula"),
        window_hours=one.whole("window_hours"),
        cases=tuple(_intent_case(each, event_types) for each in one.tables("case")),
    )
    for case in rule.cases:
        if case.within_hours is not None and case.within_hours > rule.window_hours:
            raise one.error("case", f"looks further than {rule.window_hours} h")
    rest = [case for case in rule.cases if case.event_type is None]
    if rest != [rule.cases[-1]]:
        raise one.error("case", "the last one, and only that, is for everybody")
    one.close()
    return rule


def _intent_case(one: Definition, event_types: Collection[str]) -> IntentCase:
    is_rest = not one.has("event_type")
    case = IntentCase(
        event_type=None if is_rest else one.word("event_type", event_types),
        within_hours=None if is_rest else one.whole("within_hours"),
        buyer_type=one.text("buyer_type"),
        confidence=one.number("confidence"),
        text=one.text("text"),
        text_provisional=one.text("text_provisional") if one.has("text_provisional") else None,
    )
    if not 0 <= case.confidence <= 1:
        raise one.error("confidence", "must be 0 to 1")
    one.close()
    return case


def _pricing(one: Definition) -> PricingRule:
    rule = PricingRule(
        formula=one.text("formula"),
        default_price_usd=one.number("default_price_usd"),
        margin_fall=one.number("margin_fall"),
        api_call_rise=one.number("api_call_rise"),
    )
    one.close()
    return rule


def _interventions(one: Definition, event_types: Collection[str]) -> tuple[InterventionCase, ...]:
    cases = tuple(_intervention(each, event_types) for each in one.tables("rule"))
    if [case for case in cases if not case.when] != [cases[-1]]:
        raise one.error("rule", "the last one, and only that, has no condition")
    if len({case.rule for case in cases}) != len(cases):
        raise one.error("rule", "two have the same name")
    one.close()
    return cases


def _intervention(one: Definition, event_types: Collection[str]) -> InterventionCase:
    case = InterventionCase(
        rule=one.text("name"),
        intervention_type=one.word("type", ACTION_TYPES),
        priority=one.word("priority", PRIORITIES),
        when=tuple(read_condition(each, event_types) for each in one.tables("when"))
        if one.has("when")
        else (),
        playbooks=one.texts("playbooks") if one.has("playbooks") else (),
        suggested_action=read_text(one, "suggested_action"),
        context=read_text(one, "context"),
        expected_outcome=read_text(one, "expected_outcome"),
    )
    one.close()
    return case
