"""Whether a paying customer still sends calls but has stopped looking (silent_churn/2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Silence:
    """When the machines called last, when a person looked last, and what that means."""

    is_silent_churn: bool
    last_api_call: datetime | None
    last_investigation: datetime | None
    # Since the last investigation, else since the first API call; None without either.
    # The same number is called ``days_since_investigation`` at the door.
    investigation_gap_days: Fraction | None
