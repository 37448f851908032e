"""All that is decided beforehand: weights, thresholds and playbooks, ready for quick use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import NamedTuple

from ebbtide.catalog.condition import MEASURES
from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.playbook import Playbook
from ebbtide.catalog.signal import Signals
from ebbtide.domain.errors import CatalogError

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights as whole numbers of one unit, so that sums are sums of integers."""

    units: Mapping[str, int]
    per_one: int  # units that make 1

    @classmethod
    def of(cls, weights: Mapping[str, Decimal | Fraction | int]) -> Weights:
        """Bring exact weights to their smallest common unit."""
        exact = {name: Fraction(weight) for name, weight in weights.items()}
        per_one = math.lcm(*(weight.denominator for weight in exact.values()))
        units = {name: int(weight * per_one) for name, weight in exact.items()}
        return cls(units, per_one)


class Age(NamedTuple):
    """An age that some rule compares, and how old it is when the comparison turns out otherwise."""

    metric: str
    event_types: tuple[str, ...]
    passes_after: timedelta


@dataclass(frozen=True, slots=True)
class Rules:
    """Definitions of signals; the same for all tenants."""

    signals: Signals
    playbooks: Mapping[str, Playbook]  # the worst level first
    stickiness_tenths: tuple[int, int, int]  # of a view, a replay, an export
    friction_14d: Weights  # friction/1, by event type
    friction_7d: Weights  # friction/2, by event type
    #: What changes by time alone: (metric, event types) -> the ages at which it does, in order.
    ages: Mapping[tuple[str, tuple[str, ...]], tuple[timedelta, ...]]


def read_rules(catalog: Catalog) -> Rules:
    """Take the rules out of a catalog.

    Raises:
        CatalogError: a metric that holds weights is missing or has other weights than needed.
    """
    return make_rules(
        catalog.signals,
        catalog.playbooks,
        stickiness=_weights(catalog, "stickiness"),
        friction_14d=_weights(catalog, "friction_counts"),
        friction_7d=_weights(catalog, "friction_events"),
    )


def make_rules(
    signals: Signals,
    playbooks: Mapping[str, Playbook],
    *,
    stickiness: Mapping[str, Decimal | Fraction | int],
    friction_14d: Mapping[str, Decimal | Fraction | int],
    friction_7d: Mapping[str, Decimal | Fraction | int],
) -> Rules:
    """Put rules together.

    Args:
        stickiness: weights of ``view``, ``replay`` and ``export``.
        friction_14d: weights of friction/1 by event type.
        friction_7d: weights of friction/2 by event type.

    Raises:
        CatalogError: a weight of stickiness is missing, or no whole number of tenths.
    """
    tenths = []
    for name in ("view", "replay", "export"):
        if name not in stickiness:
            raise CatalogError(f"stickiness.sql: weights.{name}: missing")
        exact = Fraction(stickiness[name]) * 10
        # Peaks are kept in tenths; a finer weight would need another formula id anyway.
        if exact.denominator != 1:
            raise CatalogError(f"stickiness.sql: weights.{name}: must be a number of tenths")
        tenths.append(exact.numerator)
    view, replay, export = tenths
    return Rules(
        signals=signals,
        playbooks=playbooks,
        stickiness_tenths=(view, replay, export),
        friction_14d=Weights.of(friction_14d),
        friction_7d=Weights.of(friction_7d),
        ages=_in_order(_ages(signals, playbooks)),
    )


def _in_order(ages: Iterable[Age]) -> dict[tuple[str, tuple[str, ...]], tuple[timedelta, ...]]:
    found: dict[tuple[str, tuple[str, ...]], set[timedelta]] = {}
    for one in ages:
        found.setdefault((one.metric, one.event_types), set()).add(one.passes_after)
    return {what: tuple(sorted(lengths)) for what, lengths in found.items()}


def _ages(signals: Signals, playbooks: Mapping[str, Playbook]) -> Iterator[Age]:
    days = Fraction(signals.silent_churn.no_investigation_for_days)
    yield Age("days_since_investigation", (), _passes_after("above", days))
    for component in signals.risk.components:
        if MEASURES[component.metric][0] == "age":
            for band in component.bands:
                yield Age(component.metric, (), _passes_after(band.comparison, band.than))
    cases = (case.when for case in signals.interventions)
    books = (playbook.when for playbook in playbooks.values())
    for one in chain.from_iterable(chain(cases, books)):
        if one.is_age and isinstance(one.than, Fraction):
            yield Age(one.metric, one.event_types, _passes_after(one.comparison, one.than))


def _passes_after(comparison: str, days: Fraction) -> timedelta:
    length = days * (timedelta(days=1) // _MICROSECOND)
    # "below" and "at_least" change at that very age, the others with the next microsecond.
    at_once = comparison in ("below", "at_least")
    return (math.ceil(length) if at_once else math.floor(length) + 1) * _MICROSECOND


def _weights(catalog: Catalog, metric: str) -> Mapping[str, Decimal | Fraction | int]:
    if metric not in catalog.metrics:
        raise CatalogError(f"{metric}.sql: missing; its weights are needed")
    weights: Mapping[str, Decimal | Fraction | int] = catalog.metrics[metric].weights
    return weights
