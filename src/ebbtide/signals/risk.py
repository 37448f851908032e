"""How urgently a customer needs somebody (risk_signal/1): a rank by rule, no probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ebbtide.catalog.playbook import LEVELS
from ebbtide.catalog.signal import Component, RiskRule
from ebbtide.signals.exact import compare
from ebbtide.signals.measures import Measured
from ebbtide.signals.playbooks import Match

#: What kind of number the strength is; it is said wherever the number is shown.
KIND = "heuristic"
INSUFFICIENT_DATA = "insufficient_data"
_RANK = {level: rank for rank, level in enumerate(LEVELS)}  # the worst is 0


@dataclass(frozen=True, slots=True)
class RiskReason:
    """One thing that speaks for attention: a component of the strength, or a playbook."""

    kind: str  # component or playbook
    name: str
    weight: int  # the component's points; of a playbook the threshold of its level
    text: str


@dataclass(frozen=True, slots=True)
class Risk:
    """Level and strength with their reasons, the weightiest first."""

    risk_level: str | None  # critical, high, medium, low; None: nothing is known
    risk_level_reason: str | None  # "insufficient_data" when there is no level
    risk_signal_strength: int  # 0 to 100
    components: tuple[RiskReason, ...]  # those that gave points; their weights make the strength
    primary_risk_reason: str | None
    secondary_signals: tuple[str, ...]
    is_on_list: bool


def compute_risk(measured: Measured, matches: Sequence[Match], status: str) -> Risk:
    """Strength, level and reasons.

    Args:
        matches: the playbooks that fit.
        status: only an active tenant stands on the list; the others have a level all the same.

    Source:
        risk_signal/1.
    """
    rule = measured.rules.signals.risk
    weighed = [_weigh(component, measured) for component in rule.components]
    components = tuple([reason for reason in weighed if reason is not None])
    strength = sum([reason.weight for reason in components])
    level = None
    if matches or components or _is_anything_known(measured):
        level = worst(level_of(strength, rule), *[match.risk_level for match in matches])
    reasons: list[RiskReason] = []
    if matches or components:
        # A playbook stands before a component of equal weight; sorting keeps equals in order.
        playbooks = [
            RiskReason("playbook", one.playbook_id, rule.threshold(one.risk_level), one.reason)
            for one in matches
        ]
        reasons = sorted([*playbooks, *components], key=lambda reason: -reason.weight)
    return Risk(
        risk_level=level,
        risk_level_reason=INSUFFICIENT_DATA if level is None else None,
        risk_signal_strength=strength,
        components=components,
        primary_risk_reason=reasons[0].text if reasons else None,
        secondary_signals=tuple([reason.text for reason in reasons[1:]]),
        is_on_list=status == "active"
        and level is not None
        and _RANK[level] <= _RANK[rule.listed_from],
    )


def level_of(strength: int, rule: RiskRule) -> str:
    """The level that a strength alone gives."""
    for level, lowest in rule.levels:
        if strength >= lowest:
            return level
    return rule.otherwise


def worst(*levels: str) -> str:
    """The worst of some levels."""
    return min(levels, key=_RANK.__getitem__)


def _is_anything_known(measured: Measured) -> bool:
    return (
        measured.stickiness.stickiness_delta is not None
        or measured.silence.investigation_gap_days is not None
        or measured.friction.friction_events_7d > 0
    )


def _weigh(component: Component, measured: Measured) -> RiskReason | None:
    """The points of a component; None when it gives none, or its number is not known."""
    value = measured.value(component.metric)
    if value is None:
        return None
    assert not isinstance(value, str)
    for band in component.bands:
        if compare(value, band.comparison, band.than):
            text = measured.text(band.text)
            return RiskReason("component", component.name, band.points, text)
    return None
