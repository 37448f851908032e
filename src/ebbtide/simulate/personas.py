"""Who the sample customers are and what becomes of them: personas, states and the cast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ebbtide.simulate.draws import Draws, Weighted

State = Literal["healthy", "decaying", "silent", "frustrated", "cancelled", "new"]

#: What a state means; these words stand in the ground truth.
STATES: dict[State, str] = {
    "healthy": "uses the product evenly to the end",
    "decaying": "keeps calling, from a known day on only takes a short look every third day",
    "silent": "keeps calling, stops investigating at a known moment",
    "frustrated": "runs into friction from a known moment on",
    "cancelled": "fades, then cancels at a known moment",
    "new": "signs up inside the window, then uses the product evenly",
}


@dataclass(frozen=True, slots=True)
class Persona:
    """What one kind of customer does on a full working day.

    Rates are per working day; shares are per incident viewed or per export. ``intent`` is what
    the first seven days should be read as, with the confidence that the rule gives.
    """

    name: str
    incidents_per_day: float
    sessions_per_day: float
    views_per_session: float
    replay_share: float
    export_share: float
    cert_share: float
    replays_from_day: int  # days after sign-up; the first week decides the intent
    exports_from_day: int
    intent: str
    intent_confidence: float


NEVER = 10_000  # days; longer than any window

LEGAL_BUYER = Persona("legal_buyer", 2.5, 1.3, 2.0, 0.2, 0.5, 0.6, 0, 0, "Legal/Compliance", 0.95)
DEBUGGER = Persona("debugger", 4.0, 2.0, 2.0, 0.5, 0.15, 0.2, 0, 8, "Debugging", 0.75)
RELIABILITY = Persona(
    "reliability", 4.0, 2.0, 3.0, 0.1, 0.0, 0.0, 8, NEVER, "Reliability Monitoring", 0.65
)
PROXY_ONLY = Persona("proxy_only", 0, 0, 0, 0, 0, 0, NEVER, NEVER, "Proxy Only", 0.50)

PERSONAS = {p.name: p for p in (LEGAL_BUYER, DEBUGGER, RELIABILITY, PROXY_ONLY)}


@dataclass(frozen=True, slots=True)
class Role:
    """The part one customer plays; traits are the twists that only some of them have."""

    persona: Persona
    state: State
    traits: frozenset[str] = frozenset()


#: What a trait means; these words stand in the ground truth.
TRAITS = {
    "resource_hog": "a flood of calls day and night, most of the LLM cost of all customers",
    "negative_margin": "long prompts to dear models on a cheap plan",
    "exports_without_replays": "exports often, never replays",
    "late_export": "the first export comes on the third day",
    "certs_only": "one early export, then only certificate checks by third parties",
    "blocked_policy": "one policy blocks the same flow again and again",
    "aborted_flows": "starts replays and exports and gives up half-way",
    "frozen": "the kill switch stopped it for twelve hours, two days before it faded",
    "model_switch": "moved to another model the day before it faded",
    "upgraded": "moved to a dearer plan in mid-window",
}


def _role(persona: Persona, state: State, *traits: str) -> Role:
    return Role(persona, state, frozenset(traits))


#: The first customers are written by hand, so that a small company already shows every part.
CAST = (
    _role(LEGAL_BUYER, "healthy"),
    _role(DEBUGGER, "decaying", "model_switch"),
    _role(RELIABILITY, "silent"),
    _role(DEBUGGER, "cancelled"),
    _role(PROXY_ONLY, "healthy"),
    _role(LEGAL_BUYER, "frustrated", "aborted_flows"),
    _role(DEBUGGER, "healthy", "upgraded"),
    _role(DEBUGGER, "healthy", "resource_hog"),
    _role(LEGAL_BUYER, "healthy", "exports_without_replays"),
    _role(RELIABILITY, "healthy", "negative_margin"),
    _role(DEBUGGER, "new"),
    _role(DEBUGGER, "frustrated", "blocked_policy"),
    _role(LEGAL_BUYER, "decaying", "frozen"),
    _role(LEGAL_BUYER, "silent", "certs_only"),
    _role(RELIABILITY, "decaying"),
    _role(RELIABILITY, "cancelled"),
    _role(LEGAL_BUYER, "new"),
    _role(LEGAL_BUYER, "healthy", "late_export"),
    _role(PROXY_ONLY, "new"),
    _role(RELIABILITY, "new"),
)

_later_persona = Weighted({LEGAL_BUYER: 26, DEBUGGER: 32, RELIABILITY: 30, PROXY_ONLY: 12})
_later_state = Weighted[State](
    {"healthy": 56, "decaying": 8, "silent": 8, "frustrated": 6, "cancelled": 12, "new": 10}
)


def role(index: int, draws: Draws) -> Role:
    """The part of the customer with this number: the written cast first, then drawn."""
    if index < len(CAST):
        return CAST[index]
    persona, state = _later_persona.at(draws.unit()), _later_state.at(draws.unit())
    if persona is PROXY_ONLY and state in ("decaying", "silent", "frustrated"):
        state = "healthy"  # nothing to lose: it never opens the console
    if state == "frustrated":
        # The reliability persona starts too few flows to abort many of them.
        stuck = persona is RELIABILITY or draws.chance(0.5)
        return _role(persona, state, "blocked_policy" if stuck else "aborted_flows")
    return Role(persona, state)
