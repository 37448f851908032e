"""What a customer came for, read from its first seven days (intent/1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from ebbtide.catalog.signal import IntentCase
from ebbtide.signals.facts import Facts
from ebbtide.signals.rules import Rules
from ebbtide.signals.silent_churn import API_CALL

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
_HOUR_US = _HOUR // _MICROSECOND
_MINUTE_US = _HOUR_US // 60


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


def compute_intent(facts: Facts, as_of: datetime, rules: Rules) -> Intent:
    """Why this tenant subscribed, as its first week shows it.

    Source:
        intent/1. A case looks at ``[sign-up, sign-up + within_hours)``, strict at the end.
    """
    rule = rules.signals.intent
    signed_up_at = facts.signed_up_at
    provisional = as_of < signed_up_at + timedelta(hours=rule.window_hours)
    case = next(one for one in rule.cases if _holds(one, facts, signed_up_at))
    first_action, first_action_at = _first_action(facts)
    incident, view, replay, export = (
        _since(signed_up_at, facts.firsts.get(event_type))
        for event_type in (
            "INCIDENT_CREATED",
            "INCIDENT_VIEWED",
            "REPLAY_EXECUTED",
            "EXPORT_GENERATED",
        )
    )
    return Intent(
        inferred_buyer_type=case.buyer_type,
        intent_confidence=case.confidence,
        evidence=_evidence(case, facts, signed_up_at, provisional),
        provisional=provisional,
        signed_up_at=signed_up_at,
        first_action=first_action,
        first_action_at=first_action_at,
        time_to_first_incident_h=incident[0],
        time_to_first_incident_m=incident[1],
        time_to_first_view_h=view[0],
        time_to_first_view_m=view[1],
        time_to_first_replay_h=replay[0],
        time_to_first_replay_m=replay[1],
        time_to_first_export_h=export[0],
        time_to_first_export_m=export[1],
    )


def _holds(case: IntentCase, facts: Facts, signed_up_at: datetime) -> bool:
    if case.event_type is None or case.within_hours is None:
        return True
    first = facts.firsts.get(case.event_type)
    return first is not None and first - signed_up_at < case.within_hours * _HOUR


def _since(start: datetime, moment: datetime | None) -> tuple[Fraction, int] | tuple[None, None]:
    """Hours, and full minutes, from one moment to a later one."""
    if moment is None:
        return None, None
    us = (moment - start) // _MICROSECOND
    return Fraction(us, _HOUR_US), us // _MINUTE_US


def _evidence(case: IntentCase, facts: Facts, signed_up_at: datetime, provisional: bool) -> str:
    text = case.text_provisional if provisional and case.text_provisional else case.text
    if case.event_type is None:
        return text
    us = (facts.firsts[case.event_type] - signed_up_at) // _MICROSECOND
    # Rounded up, so that "within 19 h" is true of 18.6 h.
    hours = max(1, -(-us // _HOUR_US))
    return text.format(time=f"{hours} h" if hours <= 48 else f"{-(-hours // 24)} days")


def _first_action(facts: Facts) -> tuple[str, datetime] | tuple[None, None]:
    """The type that happened first, and when; at the same instant the alphabet decides."""
    found: tuple[datetime, str] | None = None
    for event_type, span in facts.spans.items():
        if event_type == API_CALL or event_type.startswith("SUBSCRIPTION_"):
            continue
        if found is None or (span.first_at, event_type) < found:
            found = span.first_at, event_type
    return (None, None) if found is None else (found[1], found[0])
