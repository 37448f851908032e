"""Brings all rules to a moment, and what has to be told into the outbox, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ebbtide.alerts.machine import MANNERS, Notice, is_firing, step
from ebbtide.alerts.messages import alerts_message
from ebbtide.alerts.watch import Seen
from ebbtide.domain.alert import AlertState, Group, Observation
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Transaction


@dataclass(frozen=True, slots=True)
class Told:
    """How many rules are not well, and how many messages were written."""

    num_firing: int
    num_messages: int


def tell(
    state: StateStore,
    transaction: Transaction,
    seen: Seen,
    now: datetime,
    *,
    is_simulated: bool = False,
) -> Told:
    """Step every rule, keep the states, write the messages.

    What people acknowledged or snoozed meanwhile counts: states are read in this transaction.
    """
    known = state.alerts.take_turn(transaction)
    channels = [one for one in state.outbox.channels(transaction) if one.is_enabled]
    states: list[AlertState] = []
    notices: dict[Group, list[Notice]] = {group: [] for group in Group}
    for observation in seen.with_known(known):
        after, notice = _step(known, observation, now, is_heard=bool(channels))
        states.append(after)
        if notice is not None:
            notices[after.group].append(notice)
    kept = [one for one in states if is_firing(one) or one.snoozed_until is not None]
    kept_rules = {one.rule for one in kept}
    state.alerts.write(
        transaction,
        [one for one in kept if known.get(one.rule) != one],
        [one for one in known.values() if one.rule not in kept_rules],
    )
    messages = [
        message
        for channel in channels
        for group, of_group in notices.items()
        if (message := alerts_message(channel, group, of_group, now, is_simulated=is_simulated))
    ]
    state.outbox.put(transaction, messages)
    return Told(sum(is_firing(one) for one in kept), len(messages))


def _step(
    known: Mapping[str, AlertState], seen: Observation, now: datetime, *, is_heard: bool
) -> tuple[AlertState, Notice | None]:
    before = known.get(seen.rule)
    after, notice = step(before, seen, now, MANNERS[seen.group])
    if after.snoozed_until is not None and after.snoozed_until <= now:
        after = replace(after, snoozed_until=None, snoozed_by=None)
    if notice is None or notice.is_resolved or is_heard:
        return after, notice
    # Without a channel nobody hears it; the first one that is made is told everything at once.
    unheard = replace(
        after,
        told=None if before is None else before.told,
        told_at=None if before is None else before.told_at,
        starts_at=None if before is None else before.starts_at,
    )
    return unheard, None
