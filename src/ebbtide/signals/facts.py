"""What the signals are computed from: exact counts and instants of one tenant, at one moment.

Facts are the only thing that is read from the event store for scores. Everything that a person
sees (stickiness, friction, silent churn, intent, risk, playbooks) is a pure function of facts
and the moment, so an incremental run and a full one agree when their facts do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)

#: What a person does when he looks into something; exports count.
INVESTIGATION_TYPES = ("INCIDENT_VIEWED", "REPLAY_EXECUTED", "EXPORT_GENERATED")


class Span(NamedTuple):
    """When the first and the newest event of one type happened, both up to the moment."""

    first_at: datetime
    last_at: datetime


class Actions(NamedTuple):
    """How often each kind of investigation happened in one window."""

    num_views: int = 0
    num_replays: int = 0
    num_exports: int = 0


NO_ACTIONS = Actions()


class FrictionEvent(NamedTuple):
    """One event of the seven friction types, as the capped score needs it."""

    timestamp: datetime
    event_uuid: str
    event_type: str
    session_id: str | None
    policy_id: str | None


class SubscriptionEvent(NamedTuple):
    """A SUBSCRIPTION_STARTED or SUBSCRIPTION_CANCELLED up to the moment.

    ``price_usd`` is the price for 30 days as exact decimal text: the event's own, else that of
    its plan; None when neither is known, and always of a cancellation.
    """

    timestamp: datetime
    event_type: str
    price_usd: str | None = None


@dataclass(frozen=True, slots=True)
class Economics:
    """Money and calls of two windows of 30 days: the last one and the one before it."""

    llm_cost_usd_30d: str = "0"  # exact decimal text, so that facts stay plain data
    llm_cost_usd_30d_before: str = "0"
    num_api_calls_30d: int = 0
    num_api_calls_30d_before: int = 0
    subscription: tuple[SubscriptionEvent, ...] = ()  # of any age, in any order


class _Extent:
    """Room for what is worked out from facts once; facts that are written down do not hold it."""

    __slots__ = ("_first_event_at", "_last_event_at")

    _first_event_at: datetime
    _last_event_at: datetime


@dataclass(frozen=True, slots=True)
class Facts(_Extent):
    """One tenant at one moment; counts are real zeros, for a tenant without events has no facts.

    Windows are ``(as_of - w, as_of]``. ``peak_tenths`` is ten times the highest 7-day stickiness
    at 00:00 UTC of any day up to the moment (weights are 2, 3 and 5 tenths, so it is an integer);
    the score at the moment itself is not in it.
    """

    tenant_id: str
    spans: Mapping[str, Span]  # by event type; never empty
    firsts: Mapping[str, datetime]  # by event type: the first one at or after sign-up
    actions_3d: Actions = NO_ACTIONS
    actions_7d: Actions = NO_ACTIONS
    actions_30d: Actions = NO_ACTIONS
    peak_tenths: int = 0
    friction_14d: Mapping[str, int] = field(default_factory=dict)  # friction/1: count by type
    friction_events_7d: tuple[FrictionEvent, ...] = ()  # friction/2: ordered by time, then uuid
    # The earliest later moment at which an event that is counted above leaves a window of its
    # count: its timestamp plus 3, 7, 14 or 30 days. None when nothing is counted.
    expires_at: datetime | None = None

    @property
    def first_event_at(self) -> datetime:
        """When the tenant's first event of any type happened."""
        try:
            return self._first_event_at
        except AttributeError:
            found = min([span.first_at for span in self.spans.values()])
            object.__setattr__(self, "_first_event_at", found)
            return found

    @property
    def last_event_at(self) -> datetime:
        """When its newest event of any type happened."""
        try:
            return self._last_event_at
        except AttributeError:
            found = max([span.last_at for span in self.spans.values()])
            object.__setattr__(self, "_last_event_at", found)
            return found

    @property
    def signed_up_at(self) -> datetime:
        """Its first SUBSCRIPTION_STARTED, else its first event."""
        started = self.spans.get("SUBSCRIPTION_STARTED")
        return started.first_at if started else self.first_event_at

    def first_at(self, event_type: str) -> datetime | None:
        """The first event of a type, None when there is none."""
        span = self.spans.get(event_type)
        return span.first_at if span else None

    def last_at(self, *event_types: str) -> datetime | None:
        """The newest event of any of these types, None when there is none."""
        spans = self.spans
        found = [spans[one].last_at for one in event_types if one in spans]
        return max(found) if found else None
