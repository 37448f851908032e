"""Whether a paying customer still sends calls but has stopped looking (silent_churn/2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Facts
from ebbtide.signals.rules import Rules

API_CALL = "API_CALL_RECEIVED"
_CANCELLED = "SUBSCRIPTION_CANCELLED"
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = DAY // _MICROSECOND
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Silence:
    """When the machines called last, when a person looked last, and what that means."""

    is_silent_churn: bool
    last_api_call: datetime | None
    last_investigation: datetime | None
    # Since the last investigation, else since the first API call; None without either.
    # The same number is called ``days_since_investigation`` at the door.
    investigation_gap_days: Fraction | None


def compute_silence(facts: Facts, as_of: datetime, paying: str, rules: Rules) -> Silence:
    """Whether silent churn holds, and since when nobody has looked.

    Args:
        paying: yes, no or unknown, as :func:`is_paying` says.

    Source:
        silent_churn/2.
    """
    rule = rules.signals.silent_churn
    last_api_call = facts.last_at(API_CALL)
    last_investigation = facts.last_at(*INVESTIGATION_TYPES)
    since = last_investigation or facts.first_at(API_CALL)
    is_silent = (
        paying != "no"
        and last_api_call is not None
        and since is not None
        and as_of - since > rule.no_investigation_for_days * DAY
        and as_of - last_api_call < rule.api_call_within_hours * _HOUR
    )
    return Silence(
        is_silent_churn=is_silent,
        last_api_call=last_api_call,
        last_investigation=last_investigation,
        investigation_gap_days=None if since is None else days_between(since, as_of),
    )


def is_paying(facts: Facts) -> str:
    """The newest word on the subscription: yes, no (a cancellation), or unknown (none).

    Cancelled and started at the same instant counts as started.
    """
    cancelled: datetime | None = None
    other: datetime | None = None
    for event_type, span in facts.spans.items():
        if event_type == _CANCELLED:
            cancelled = span.last_at
        elif event_type.startswith("SUBSCRIPTION_") and (other is None or span.last_at > other):
            other = span.last_at
    if cancelled is None:
        return "unknown" if other is None else "yes"
    return "no" if other is None or cancelled > other else "yes"


def gap_start(facts: Facts) -> datetime | None:
    """The last investigation, else the first API call; None without either."""
    return facts.last_at(*INVESTIGATION_TYPES) or facts.first_at(API_CALL)


def days_between(start: datetime, end: datetime) -> Fraction:
    """Decimal days, exact to the microsecond."""
    return Fraction((end - start) // _MICROSECOND, _DAY_US)
