"""Makes facts out of a short list of events, in the plainest way there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ebbtide.signals.facts import DAY, INVESTIGATION_TYPES, Actions, Facts, FrictionEvent, Span

FRICTION_14D = ("REPLAY_ABORTED", "EXPORT_ABORTED", "POLICY_BLOCK_REPEAT", "SESSION_IDLE_TIMEOUT")
FRICTION_7D = (*FRICTION_14D, "REPLAY_FAILED", "EXPORT_FAILED", "INCIDENT_VIEWED_NO_ACTION")
TENTHS = {"INCIDENT_VIEWED": 2, "REPLAY_EXECUTED": 3, "EXPORT_GENERATED": 5}


class Happened(NamedTuple):
    """One event, as far as facts care."""

    at: datetime
    event_type: str
    session_id: str | None = None
    policy_id: str | None = None
    event_uuid: str = ""


def build_facts(
    events: Iterable[Happened], as_of: datetime, tenant_id: str = "acme"
) -> Facts | None:
    """The facts of one tenant at a moment; None when it has no event up to then."""
    known = [one for one in sorted(events, key=lambda one: one.at) if one.at <= as_of]
    if not known:
        return None
    spans: dict[str, Span] = {}
    for one in known:
        before = spans.get(one.event_type)
        spans[one.event_type] = Span(before.first_at if before else one.at, one.at)
    bare = Facts(tenant_id, spans, {})
    firsts: dict[str, datetime] = {}
    for one in known:
        if one.at >= bare.signed_up_at:
            firsts.setdefault(one.event_type, one.at)

    def last(days: int, types: Iterable[str]) -> list[Happened]:
        return [one for one in known if one.event_type in types and one.at > as_of - days * DAY]

    def actions(days: int) -> Actions:
        counts = Counter(one.event_type for one in last(days, INVESTIGATION_TYPES))
        return Actions(*(counts[name] for name in INVESTIGATION_TYPES))

    windows = [(3, INVESTIGATION_TYPES), (7, INVESTIGATION_TYPES), (30, INVESTIGATION_TYPES)]
    windows += [(14, FRICTION_14D), (7, FRICTION_7D)]
    leaving = [one.at + days * DAY for days, types in windows for one in last(days, types)]
    return Facts(
        tenant_id=tenant_id,
        spans=spans,
        firsts=firsts,
        actions_3d=actions(3),
        actions_7d=actions(7),
        actions_30d=actions(30),
        peak_tenths=_peak_tenths(known, as_of),
        friction_14d=dict(Counter(one.event_type for one in last(14, FRICTION_14D))),
        friction_events_7d=tuple(
            FrictionEvent(one.at, one.event_uuid, one.event_type, one.session_id, one.policy_id)
            for one in sorted(last(7, FRICTION_7D), key=lambda one: (one.at, one.event_uuid))
        ),
        expires_at=min(leaving, default=None),
    )


def facts_of(events: Iterable[Happened], as_of: datetime, tenant_id: str = "acme") -> Facts:
    """The same for a tenant that is known to have an event."""
    facts = build_facts(events, as_of, tenant_id)
    assert facts is not None
    return facts


def repeat(num: int, at: datetime, event_type: str) -> list[Happened]:
    """So many events of one type at one instant."""
    return [Happened(at, event_type, event_uuid=f"{event_type}-{i}") for i in range(num)]


def _peak_tenths(known: list[Happened], as_of: datetime) -> int:
    peak, midnight = 0, datetime.combine(known[0].at.date(), datetime.min.time(), UTC)
    while midnight <= as_of:
        week = (one for one in known if midnight - 7 * DAY < one.at <= midnight)
        peak = max(peak, sum(TENTHS.get(one.event_type, 0) for one in week))
        midnight += timedelta(days=1)
    return peak
