"""Tells of learners who fell silent, or came to a high risk: of each once, as long as it lasts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from ebbtide.alerts.machine import Notice
from ebbtide.alerts.messages import ALERTS_MAX, alerts_message
from ebbtide.domain.alert import (
    AlertState,
    AlertStatus,
    Channel,
    ChannelKind,
    Group,
    alert_id,
)
from ebbtide.learners.formulas import HIGH_RISK, week_of
from ebbtide.learners.report import LearnerScore
from ebbtide.store.state.base import StateStore

PRESENT = timedelta(hours=36)  # a job that runs once a day, and late, still speaks of the present


class Kind(StrEnum):
    """What a learner is told of for."""

    INACTIVE = "learner_inactive"
    HIGH_RISK = "learner_high_risk"


@dataclass(frozen=True, slots=True)
class LearnersTold:
    """Learners told of for the first time, by kind, and messages written."""

    num_inactive: int = 0
    num_high_risk: int = 0
    num_messages: int = 0


def tell_learners(
    state: StateStore,
    learners: Iterable[LearnerScore],
    as_of: datetime,
    now: datetime,
    *,
    is_whole: bool = True,
    is_simulated: bool = False,
) -> LearnersTold:
    """Write what is new about learners into the outbox.

    What was told is forgotten once it no longer holds and its week is over: whoever comes back and
    falls silent again is told of again, but nobody twice in one week. Who is told and what is sent
    are kept in one transaction.

    Args:
        learners: everybody who is inactive at ``as_of``, not only those who are new.
        now: a run for a moment long before tells nothing.
        is_whole: False when some of the inactive could not be scored; nothing is forgotten then.

    Returns:
        Zeros when nothing is new, and as long as there is no channel: the first one hears all.
    """
    if not timedelta() <= now - as_of <= PRESENT:
        return LearnersTold()
    week = week_of(as_of)
    # Read before the state store is locked: the server waits for nobody's database.
    standing = {alert_id(_rule(kind, one)): (kind, one) for one in learners for kind in _kinds(one)}
    with state.outbox.writing() as transaction:
        channels = [one for one in state.outbox.channels(transaction) if one.is_enabled]
        if not channels:
            return LearnersTold()
        known = state.learner_alerts.take_turn(transaction)
        news = {key: found for key, found in standing.items() if key not in known}
        over = [
            key for key, told in known.items() if is_whole and key not in standing and told < week
        ]
        state.learner_alerts.write(transaction, news.keys(), week, over)
        worst = list(_worst(news.values()))
        num_messages = 0
        for channel in channels:
            for part in _parts(channel, worst):
                notices = [_notice(kind, one, as_of, week) for kind, one in part]
                message = alerts_message(
                    channel, Group.LEARNERS, notices, now, is_simulated=is_simulated
                )
                if message is None:
                    continue
                state.outbox.put(transaction, [message])
                num_messages += 1
    num_high_risk = sum(kind is Kind.HIGH_RISK for kind, _ in news.values())
    return LearnersTold(len(news) - num_high_risk, num_high_risk, num_messages)


def _kinds(one: LearnerScore) -> Iterator[Kind]:
    yield Kind.INACTIVE
    if one.s > HIGH_RISK:
        yield Kind.HIGH_RISK


def _rule(kind: Kind, one: LearnerScore) -> str:
    return f"{kind}:{one.user_id}"


def _worst(
    news: Collection[tuple[Kind, LearnerScore]],
) -> Iterator[tuple[Kind, LearnerScore]]:
    """One of each learner: a high risk says all that its silence would say."""
    high = {one.user_id for kind, one in news if kind is Kind.HIGH_RISK}
    for kind, one in sorted(news, key=lambda new: new[1].user_id):
        if kind is Kind.HIGH_RISK or one.user_id not in high:
            yield kind, one


def _notice(kind: Kind, one: LearnerScore, as_of: datetime, week: date) -> Notice:
    is_high = kind is Kind.HIGH_RISK
    status = AlertStatus.ALERT if is_high else AlertStatus.WARNING
    return Notice(
        AlertState(
            rule=_rule(kind, one),
            group=Group.LEARNERS,
            status=status,
            title=f"Learner {one.user_id}",
            text=f"{'At high risk' if is_high else 'Inactive'}: no activity for "
            f"{one.silent_days} days, S {one.s:.2f}.",
            tenant_uuid=None,
            since=one.last_active_at,
            seen_at=as_of,
            told=status,
            # The week and not the moment: so the same news has the same id, whenever it is told.
            told_at=datetime.combine(week, time(), UTC),
        ),
        is_resolved=False,
    )


def _parts(
    channel: Channel, news: Sequence[tuple[Kind, LearnerScore]]
) -> Iterator[Sequence[tuple[Kind, LearnerScore]]]:
    """Programs get every learner, in parts; people get one message, and how many more there are."""
    size = ALERTS_MAX if channel.kind is ChannelKind.WEBHOOK else max(1, len(news))
    for start in range(0, len(news), size):
        yield news[start : start + size]
