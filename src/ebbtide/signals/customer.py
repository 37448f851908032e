"""Everything that is said about one customer at one moment, from facts alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ebbtide.domain.intervention import Suggestion
from ebbtide.signals.friction import Friction
from ebbtide.signals.intent import Intent
from ebbtide.signals.playbooks import Match
from ebbtide.signals.risk import Risk
from ebbtide.signals.silent_churn import Silence
from ebbtide.signals.stickiness import Stickiness


@dataclass(frozen=True, slots=True)
class Customer:
    """One tenant at one moment; numbers are exact, moments are UTC, None is "not known"."""

    tenant_id: str
    as_of: datetime
    status: str  # active, churned (newest word is a cancellation), gone (no event for 30 days)
    paying: str  # yes, no, unknown
    stickiness: Stickiness
    friction: Friction
    silence: Silence
    intent: Intent
    risk: Risk
    playbooks: tuple[Match, ...]  # worst level first
    # Of tenants on the list; most urgent first. ``rule`` names the row of the table,
    # ``playbook_id`` the matching playbook that it begins, with its window of success.
    interventions: tuple[Suggestion, ...]
