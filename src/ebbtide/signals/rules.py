"""All that is decided beforehand: weights, thresholds and playbooks, ready for quick use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.playbook import Playbook
from ebbtide.catalog.signal import Signals
from ebbtide.domain.errors import CatalogError


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


@dataclass(frozen=True, slots=True)
class Rules:
    """Definitions of signals; the same for all tenants."""

    signals: Signals
    playbooks: Mapping[str, Playbook]  # the worst level first
    stickiness_tenths: tuple[int, int, int]  # of a view, a replay, an export
    friction_14d: Weights  # friction/1, by event type
    friction_7d: Weights  # friction/2, by event type


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
    )


def _weights(catalog: Catalog, metric: str) -> Mapping[str, Decimal | Fraction | int]:
    if metric not in catalog.metrics:
        raise CatalogError(f"{metric}.sql: missing; its weights are needed")
    weights: Mapping[str, Decimal | Fraction | int] = catalog.metrics[metric].weights
    return weights
