"""Tells of learners who fell silent, or came to a high risk: of each once, as long as it lasts."""

from __future__ import annotations

import json
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice

from ebbtide.alerts.machine import Notice
from ebbtide.alerts.messages import ALERTS_MAX, alerts_message, is_wanted
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
from ebbtide.store.state.database import Transaction
from ebbtide.store.state.learner_alerts import LearnerAlerts

PRESENT = timedelta(hours=36)  # a job that runs once a day, and late, still speaks of the present
PAGE = 500  # learners looked at together


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
        learners: everybody who is inactive at ``as_of``, not only those who are new; told of in
            this order.
        now: a run for a moment long before tells nothing.
        is_whole: False when some of the inactive could not be scored; nothing is forgotten then.

    Returns:
        Zeros when nothing is new, and as long as there is no channel: the first one hears all.
    """
    if not timedelta() <= now - as_of <= PRESENT:
        return LearnersTold()
    if not any(one.is_enabled for one in state.outbox.channels()):
        return LearnersTold()
    week = week_of(as_of)
    # All reading comes before the state store is locked: the server waits for nobody's database,
    # and as a rule only few are new.
    standing = _Standing(learners, state.learner_alerts)
    over = standing.over(week) if is_whole else array("Q")
    num: Counter[Kind] = Counter()
    with state.outbox.writing() as transaction:
        channels = [one for one in state.outbox.channels(transaction) if one.is_enabled]
        if not channels:
            return LearnersTold()
        post = _Post(state, transaction, channels, now, is_simulated)
        state.learner_alerts.take_turn(transaction)
        for page in standing.news(week):
            found = _alerts(page)
            known = state.learner_alerts.known(found, transaction)
            news = {key: new for key, new in found.items() if key not in known}
            state.learner_alerts.write(transaction, news, week)
            num.update(kind for kind, _ in news.values())
            for kind, one in _worst(news.values()):
                post.add(_notice(kind, one, as_of, week))
        post.finish()
        for start in range(0, len(over), PAGE):
            gone = [f"{number:016x}" for number in over[start : start + PAGE]]
            state.learner_alerts.forget(transaction, gone, week)
    return LearnersTold(num[Kind.INACTIVE], num[Kind.HIGH_RISK], post.num_messages)


class _Standing:
    """Everybody who is inactive: of all the ids of alerts, and packed whoever seems new.

    A million of them as objects would not fit.
    """

    def __init__(self, learners: Iterable[LearnerScore], told: LearnerAlerts) -> None:
        self._told = told
        learners = iter(learners)
        # An id of an alert is 64 bits; by its first eight, so that sorting takes little memory too.
        self._keys = [array("Q") for _ in range(256)]
        self._news: list[bytes] = []
        while page := list(islice(learners, PAGE)):
            found = _alerts(page)
            for key in found:
                self._keys[int(key[:2], 16)].append(int(key, 16))
            known = told.known(found)
            names = {one.user_id for key, (_, one) in found.items() if key not in known}
            rows = [
                (one.user_id, one.s, one.last_active_at.isoformat(), one.silent_days)
                for one in page
                if one.user_id in names
            ]
            if rows:
                self._news.append(zlib.compress(json.dumps(rows).encode(), 1))
        self._keys = [array("Q", sorted(keys)) for keys in self._keys]

    def news(self, week: date) -> Iterator[list[LearnerScore]]:
        """Whoever seemed new, in their order, some at a time; of P nothing is told."""
        for packed in self._news:
            yield [
                LearnerScore(user_id, week, s, None, datetime.fromisoformat(last_at), silent_days)
                for user_id, s, last_at, silent_days in json.loads(zlib.decompress(packed))
            ]

    def over(self, week: date) -> array[int]:
        """What was told in earlier weeks and no longer holds."""
        numbers = (int(key, 16) for page in self._told.told_before(week) for key in page)
        return array("Q", (number for number in numbers if not self._holds(number)))

    def _holds(self, number: int) -> bool:
        keys = self._keys[number >> 56]
        place = bisect_left(keys, number)
        return place < len(keys) and keys[place] == number


class _Post:
    """Brings notices to channels: all of them to programs, and the worst to people."""

    def __init__(
        self,
        state: StateStore,
        transaction: Transaction,
        channels: Collection[Channel],
        now: datetime,
        is_simulated: bool,
    ) -> None:
        self._state = state
        self._transaction = transaction
        self._programs = [one for one in channels if one.kind is ChannelKind.WEBHOOK]
        self._people = [one for one in channels if one.kind is not ChannelKind.WEBHOOK]
        self._now = now
        self._is_simulated = is_simulated
        self._part: list[Notice] = []  # the next message to programs
        self._shown: dict[AlertStatus, list[Notice]] = {}  # as many as a message could hold
        self._unlisted: Counter[AlertStatus] = Counter()
        self.num_messages = 0

    def add(self, notice: Notice) -> None:
        """Take one more."""
        shown = self._shown.setdefault(notice.state.status, [])
        if len(shown) < ALERTS_MAX:
            shown.append(notice)
        else:
            self._unlisted[notice.state.status] += 1
        self._part.append(notice)
        if len(self._part) == ALERTS_MAX:
            self._send_part()

    def finish(self) -> None:
        """Send the rest."""
        self._send_part()
        shown = [notice for notices in self._shown.values() for notice in notices]
        for channel in self._people:
            num_unlisted = sum(
                num
                for status, num in self._unlisted.items()
                if is_wanted(self._shown[status][0], channel.least)
            )
            self._put(channel, shown, num_unlisted)

    def _send_part(self) -> None:
        for channel in self._programs:
            self._put(channel, self._part)
        self._part = []

    def _put(self, channel: Channel, notices: list[Notice], num_unlisted: int = 0) -> None:
        message = alerts_message(
            channel,
            Group.LEARNERS,
            notices,
            self._now,
            num_unlisted=num_unlisted,
            is_simulated=self._is_simulated,
        )
        if message is not None:
            self._state.outbox.put(self._transaction, [message])
            self.num_messages += 1


def _alerts(page: Iterable[LearnerScore]) -> dict[str, tuple[Kind, LearnerScore]]:
    return {alert_id(_rule(kind, one)): (kind, one) for one in page for kind in _kinds(one)}


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
    for kind, one in news:
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
