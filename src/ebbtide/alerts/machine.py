"""The state machine of one rule: what it says now, and whether somebody has to be told.

A pure function of the state before, an observation and a moment. What receivers know is kept apart
from how the rule stands: so a rule that flutters tells its story once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ebbtide.domain.alert import WEIGHT, AlertState, AlertStatus, Group, Observation


@dataclass(frozen=True, slots=True)
class Manner:
    """How a group of rules tells.

    Attributes:
        remind_after: told again after this long, as long as it lasts; None: never.
        reset_after: ok for this long before it counts as over.
    """

    remind_after: timedelta | None
    reset_after: timedelta


#: A customer stays critical for days, and the daily brief names it: one message is enough.
MANNERS: Mapping[Group, Manner] = {
    Group.PLATFORM: Manner(timedelta(hours=4), timedelta(minutes=5)),
    Group.CUSTOMERS: Manner(None, timedelta(hours=24)),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell. ``is_resolved``: it is over; else ``state.status`` says how bad it is."""

    state: AlertState
    is_resolved: bool
    is_reminder: bool = False


def step(
    before: AlertState | None, seen: Observation, now: datetime, manner: Manner
) -> tuple[AlertState, Notice | None]:
    """Bring a rule to a moment.

    Args:
        before: None when the rule was never looked at.
        now: UTC-aware; not earlier than the step before, else that one's moment is taken.

    Returns:
        The new state, and what is to be told; None when nothing is.
    """
    if before is None:
        before = AlertState(
            seen.rule,
            seen.group,
            AlertStatus.OK,
            seen.title,
            seen.text,
            seen.tenant_uuid,
            now,
            now,
        )
    now = max(now, before.seen_at)
    state = replace(
        before,
        status=seen.status,
        title=seen.title,
        text=seen.text,
        since=before.since if seen.status == before.status else now,
        seen_at=now,
    )
    if seen.status is AlertStatus.OK:
        return _fine(state, now, manner)
    state = replace(state, ok_since=None)
    if seen.status is AlertStatus.NO_DATA and (state.told is not None or not seen.tells_no_data):
        # Neither confirmed nor over: what was told stands.
        if state.told is not AlertStatus.NO_DATA:
            return state, None
    return _wrong(state, now, manner)


def _fine(state: AlertState, now: datetime, manner: Manner) -> tuple[AlertState, Notice | None]:
    if state.told is None:
        # Nobody was told (it was snoozed all along), so there is nothing to take back.
        return replace(state, ok_since=None, acked_at=None, acked_by=None, note=None), None
    ok_since = state.ok_since or now
    if now - ok_since < manner.reset_after:
        return replace(state, ok_since=ok_since), None
    notice = Notice(replace(state, ok_since=ok_since), is_resolved=True)
    over = replace(
        state,
        told=None,
        told_at=now,
        starts_at=None,
        ok_since=None,
        acked_at=None,
        acked_by=None,
        note=None,
    )
    return over, notice


def _wrong(state: AlertState, now: datetime, manner: Manner) -> tuple[AlertState, Notice | None]:
    if state.snoozed_until is not None and now < state.snoozed_until:
        return state, None
    is_new = state.told is None
    is_worse = state.told is not None and WEIGHT[state.status] > WEIGHT[state.told]
    is_reminder = not is_new and not is_worse
    if is_reminder:
        if manner.remind_after is None or state.acked_at is not None:
            return state, None
        if state.told_at is not None and now - state.told_at < manner.remind_after:
            return state, None
    told = replace(
        state,
        # The worst of it all: only then is everybody who heard of it told when it is over.
        told=max(state.status, state.told or state.status, key=WEIGHT.__getitem__),
        told_at=now,
        starts_at=state.starts_at or state.since,
        snoozed_until=None,
        snoozed_by=None,
    )
    if is_worse:  # whoever took care of a warning has not seen this
        told = replace(told, acked_at=None, acked_by=None, note=None)
    return told, Notice(told, is_resolved=False, is_reminder=is_reminder)


def is_firing(state: AlertState) -> bool:
    """Whether something is wrong, or receivers still believe so."""
    return state.status is not AlertStatus.OK or state.told is not None
