"""How much a customer is held up (friction/1 and friction/2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Friction:
    """Both scores, and what they are made of."""

    friction_score: Fraction  # friction/1: 14 days
    friction_weighted_score: Fraction  # friction/2: 7 days, capped by session and by day
    friction_events_7d: int  # the seven types, uncapped
    top_friction_type: str | None
    last_friction_event: datetime | None
