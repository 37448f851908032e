"""Rules about the product: the steps of the funnel, the features, and when groups are compared."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from ebbtide.catalog.definition import Definition


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One step; the last three are None of the first, before which nobody is lost.

    Attributes:
        event_type: what takes the step.
        title: the same in words.
        rate: the name of the rate from the step before to this one.
        meaning: what it says when this rate is the worst one.
        advice: what it calls for then.
    """

    event_type: str
    title: str
    rate: str | None
    meaning: str | None
    advice: str | None


@dataclass(frozen=True, slots=True)
class FunnelRule:
    """The steps in their order."""

    formula: str
    steps: tuple[FunnelStep, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """What customers can use, by the event that says so."""

    name: str
    title: str
    event_type: str


@dataclass(frozen=True, slots=True)
class FeatureRule:
    """The features, in the order in which ties are told."""

    formula: str
    features: tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How sure all intervals together are, and how many customers a side needs at least."""

    formula: str
    confidence: Fraction
    min_group: int


@dataclass(frozen=True, slots=True)
class ProductRule:
    """All rules of the product page."""

    funnel: FunnelRule
    features: FeatureRule
    retention: RetentionRule
    cohorts_formula: str


def read_product(one: Definition, event_types: Collection[str]) -> ProductRule:
    """Read the definition.

    Raises:
        CatalogError: it is wrong; the message names the file and the key.
    """
    funnel, features, cohorts = one.table("funnel"), one.table("features"), one.table("cohorts")
    rule = ProductRule(
        FunnelRule(
            funnel.text("formula"),
            tuple(
                _step(each, number, event_types)
                for number, each in enumerate(funnel.tables("step"))
            ),
        ),
        FeatureRule(
            features.text("formula"),
            tuple(_feature(each, event_types) for each in features.tables("feature")),
        ),
        _retention(one.table("retention")),
        cohorts.text("formula"),
    )
    steps = rule.funnel.steps
    if len({step.event_type for step in steps}) != len(steps):
        raise funnel.error("step", "names an event type twice")
    names = [feature.name for feature in rule.features.features]
    if len(set(names)) != len(names):
        raise features.error("feature", "uses a name twice")
    for table in (funnel, features, cohorts, one):
        table.close()
    return rule


def _step(one: Definition, number: int, event_types: Collection[str]) -> FunnelStep:
    event_type, title = one.word("event_type", event_types), one.text("title")
    said = [one.text(key) if number else None for key in ("rate", "meaning", "advice")]
    one.close()
    return FunnelStep(event_type, title, *said)


def _feature(one: Definition, event_types: Collection[str]) -> Feature:
    feature = Feature(one.text("name"), one.text("title"), one.word("event_type", event_types))
    one.close()
    return feature


def _retention(one: Definition) -> RetentionRule:
    rule = RetentionRule(one.text("formula"), one.number("confidence"), one.whole("min_group"))
    if not 0 < rule.confidence < 1:
        raise one.error("confidence", "must lie between 0 and 1")
    one.close()
    return rule
