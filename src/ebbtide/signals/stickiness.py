"""How much a customer investigates, now against its own past (stickiness/2)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Stickiness:
    """Weighted actions a week, exact. ``stickiness_delta`` is a ratio, 7 days over 30 days."""

    stickiness_7d: Fraction
    stickiness_30d: Fraction  # brought to one week
    stickiness_delta: Fraction | None
    delta_reason: str | None  # "no_activity" when there is no delta
    stickiness_trend: str  # rising, stable, falling, silent, unknown
    stickiness_decayed: Fraction
    peak_stickiness: Fraction
