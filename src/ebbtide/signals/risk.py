"""How urgently a customer needs somebody (risk_signal/1): a rank by rule, no probability."""

from __future__ import annotations

from dataclasses import dataclass

#: What kind of number the strength is; it is said wherever the number is shown.
KIND = "heuristic"


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
