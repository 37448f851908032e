"""What a customer came for, read from its first seven days (intent/1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Intent:
    """The inferred kind of buyer, why, and how long the first steps took.

    Hours are exact, minutes are floored; None: it has not happened yet.
    """

    inferred_buyer_type: str
    intent_confidence: Fraction
    evidence: str
    provisional: bool  # the first seven days are not over
    signed_up_at: datetime
    first_action: str | None  # first type other than API_CALL_RECEIVED and SUBSCRIPTION_*
    first_action_at: datetime | None
    time_to_first_incident_h: Fraction | None
    time_to_first_incident_m: int | None
    time_to_first_view_h: Fraction | None
    time_to_first_view_m: int | None
    time_to_first_replay_h: Fraction | None
    time_to_first_replay_m: int | None
    time_to_first_export_h: Fraction | None
    time_to_first_export_m: int | None
