"""What a customer came for, read from its first seven days (intent/1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from ebbtide.catalog.signal import IntentCase
from ebbtide.signals.billing import BILLING_TYPES
from ebbtide.signals.facts import Facts
from ebbtide.signals.rules import Rules
from ebbtide.signals.silent_churn import API_CALL

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
_HOUR_US = _HOUR // _MICROSECOND
_MINUTE = timedelta(minutes=1)
_NO_ACTIONS = {API_CALL, *BILLING_TYPES}


@dataclass(frozen=True, slots=True)
class Intent:
    """The inferred kind of buyer, why, and when the first steps were taken.

    Times to them count from sign-up: hours exact, minutes floored; None: not taken yet.
    """

    inferred_buyer_type: str
    intent_confidence: Fraction
    evidence: str
    provisional: bool  # the first seven days are not over
    signed_up_at: datetime
    first_action: str | None  # first type but API_CALL_RECEIVED and those of billing
    first_action_at: datetime | None
    first_incident_at: datetime | None  # this and the next three: at or after sign-up
    first_view_at: datetime | None
    first_replay_at: datetime | None
    first_export_at: datetime | None

    @property
    def time_to_first_incident_h(self) -> Fraction | None:
        """Hours to the first INCIDENT_CREATED."""
        return _hours(self.signed_up_at, self.first_incident_at)

    @property
    def time_to_first_incident_m(self) -> int | None:
        """The same in full minutes."""
        return _minutes(self.signed_up_at, self.first_incident_at)

    @property
    def time_to_first_view_h(self) -> Fraction | None:
        """Hours to the first INCIDENT_VIEWED."""
        return _hours(self.signed_up_at, self.first_view_at)

    @property
    def time_to_first_view_m(self) -> int | None:
        """The same in full minutes."""
        return _minutes(self.signed_up_at, self.first_view_at)

    @property
    def time_to_first_replay_h(self) -> Fraction | None:
        """Hours to the first REPLAY_EXECUTED."""
        return _hours(self.signed_up_at, self.first_replay_at)

    @property
    def time_to_first_replay_m(self) -> int | None:
        """The same in full minutes."""
        return _minutes(self.signed_up_at, self.first_replay_at)

    @property
    def time_to_first_export_h(self) -> Fraction | None:
        """Hours to the first EXPORT_GENERATED."""
        return _hours(self.signed_up_at, self.first_export_at)

    @property
    def time_to_first_export_m(self) -> int | None:
        """The same in full minutes."""
        return _minutes(self.signed_up_at, self.first_export_at)


def compute_intent(facts: Facts, as_of: datetime, rules: Rules) -> Intent:
    """Why this tenant subscribed, as its first week shows it.

    Source:
        intent/1. A case looks at ``[sign-up, sign-up + within_hours)``, strict at the end.
    """
    rule = rules.signals.intent
    firsts = facts.firsts
    signed_up_at = facts.signed_up_at
    provisional = as_of - signed_up_at < rule.window_hours * _HOUR
    for case in rule.cases:
        if _holds(case, facts, signed_up_at):
            break
    first_action, first_action_at = _first_action(facts)
    return Intent(
        inferred_buyer_type=case.buyer_type,
        intent_confidence=case.confidence,
        evidence=_evidence(case, facts, signed_up_at, provisional),
        provisional=provisional,
        signed_up_at=signed_up_at,
        first_action=first_action,
        first_action_at=first_action_at,
        first_incident_at=firsts.get("INCIDENT_CREATED"),
        first_view_at=firsts.get("INCIDENT_VIEWED"),
        first_replay_at=firsts.get("REPLAY_EXECUTED"),
        first_export_at=firsts.get("EXPORT_GENERATED"),
    )


def _holds(case: IntentCase, facts: Facts, signed_up_at: datetime) -> bool:
    if case.event_type is None or case.within_hours is None:
        return True
    first = facts.firsts.get(case.event_type)
    return first is not None and first - signed_up_at < case.within_hours * _HOUR


def _hours(start: datetime, moment: datetime | None) -> Fraction | None:
    return None if moment is None else Fraction((moment - start) // _MICROSECOND, _HOUR_US)


def _minutes(start: datetime, moment: datetime | None) -> int | None:
    return None if moment is None else (moment - start) // _MINUTE


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
        if found is None or (span.first_at <= found[0] and (span.first_at, event_type) < found):
            if event_type not in _NO_ACTIONS and not event_type.startswith("SUBSCRIPTION_"):
                found = span.first_at, event_type
    return (None, None) if found is None else (found[1], found[0])
