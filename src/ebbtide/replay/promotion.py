"""Gives a version to chosen customers after a person reviewed a run of it, and takes it back.

A promotion is an assignment like any other, so it stands on every timeline and can be undone. For
some days it is watched: when the version is found to be a regression, it is undone by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ebbtide.domain.errors import NotFound, Unprocessable, WrongState
from ebbtide.domain.policy import Assignment
from ebbtide.domain.replay import Promotion, PromotionState, ReplayState
from ebbtide.domain.time import format_instant
from ebbtide.signals.regressions import Comparison
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.policies import Act
from ebbtide.store.state.promotions import Promoted

WATCH_DAYS = 7  # as long as a version counts as new to the rule of regressions
WATCH_DAYS_MAX = 30
REVIEW_MAX_AGE = timedelta(days=30)
RULE = "rollback rule"
SOURCE = "promotion"

Emit = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version for chosen customers.

    Attributes:
        review_id: the replay or policy-only replay that was looked at.
        watch: how long a regression takes it back.
    """

    policy_id: str
    version: str
    tenant_ids: tuple[str, ...]
    review_id: str
    watch: timedelta = timedelta(days=WATCH_DAYS)


class Promoter:
    """Promotes and takes back; from any thread.

    Args:
        emit: stores one event; it raises when that fails.
        on_change: called after each change, so that it holds here at once.
    """

    def __init__(
        self, state: StateStore, emit: Emit, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._state = state
        self._emit = emit
        self._on_change = on_change

    def promote(self, wanted: Wanted, by: str, now: datetime) -> Promotion:
        """Give a version to customers.

        Raises:
            Unprocessable: the run that was reviewed says nothing about this version.
            NotFound: there is no such run, policy or version.
        """
        self._check_review(wanted, now)
        act = Act(
            assignment_id=f"asg_{secrets.token_hex(12)}",
            policy_id=wanted.policy_id,
            tenants=wanted.tenant_ids,
            version=wanted.version,
            at=now,
            by=by,
            reason=f"promoted after {wanted.review_id}",
        )
        one = Promoted(
            promotion_id=f"prm_{secrets.token_hex(12)}",
            assignment_id=act.assignment_id,
            policy_id=wanted.policy_id,
            version=wanted.version,
            review_id=wanted.review_id,
            promoted_by=by,
            promoted_at=now,
            watched_until=now + wanted.watch,
        )
        rows = self._state.policies.assign(act)
        self._state.promotions.add(one)
        self._on_change()
        self._tell(rows, now)
        return self.shown(one)

    def watch(self, regressions: Callable[[], Sequence[Comparison]], now: datetime) -> int:
        """Take back what is found to be worse, and end watches that are over.

        Args:
            regressions: asked for only when something is watched.

        Returns:
            How many were taken back.
        """
        watched = self._state.promotions.watched()
        if not watched:
            return 0
        worse = {(one.policy_id, one.new.version): one for one in regressions()}
        num = 0
        for one in watched:
            found = worse.get((one.policy_id, one.version))
            if found is not None:
                num += self._take_back(one, _why(found), now)
            elif one.watched_until <= now:
                self._state.promotions.end(one.promotion_id, PromotionState.KEPT, now)
        return num

    def shown(self, one: Promoted) -> Promotion:
        """A promotion with the customers it was for."""
        rows = [
            row
            for row in self._state.policies.assignments(one.policy_id)
            if row.assignment_id == one.assignment_id and row.tenant_id is not None
        ]
        return Promotion(
            promotion_id=one.promotion_id,
            policy_id=one.policy_id,
            version=one.version,
            previous=tuple((str(row.tenant_id), row.previous) for row in rows),
            review_id=one.review_id,
            promoted_by=one.promoted_by,
            promoted_at=one.promoted_at,
            watched_until=one.watched_until,
            state=one.state,
            ended_at=one.ended_at,
            reason=one.reason,
        )

    def _take_back(self, one: Promoted, why: str, now: datetime) -> int:
        try:
            rows = self._state.policies.undo(
                one.assignment_id,
                new_id=f"asg_{secrets.token_hex(12)}",
                at=now,
                by=RULE,
                reason=f"{one.promotion_id}: {why}",
            )
        except (WrongState, NotFound) as error:
            # A person decided something else since, or the customers were erased: their word holds.
            self._state.promotions.end(one.promotion_id, PromotionState.KEPT, now, str(error))
            return 0
        self._state.promotions.end(one.promotion_id, PromotionState.ROLLED_BACK, now, why)
        self._on_change()
        self._tell(rows, now)
        return 1

    def _check_review(self, wanted: Wanted, now: datetime) -> None:
        name = wanted.review_id
        if name.startswith("rep_"):
            replay = self._state.replays.get(name).replay
            has_seen = any(
                (one.policy_id, one.version) == (wanted.policy_id, wanted.version)
                for one in replay.policies
            )
            state, ended_at = replay.state, replay.ended_at
        else:
            run = self._state.policy_replays.get(name)
            has_seen = (run.policy_id, run.after) == (wanted.policy_id, wanted.version)
            state, ended_at = run.state, run.ended_at
        if not has_seen:
            raise Unprocessable("the run that was reviewed did not try this version")
        if state is not ReplayState.DONE or ended_at is None:
            raise Unprocessable(f"the run that was reviewed is {state}")
        if now - ended_at > REVIEW_MAX_AGE:
            raise Unprocessable("the run that was reviewed is older than 30 days")

    def _tell(self, rows: Sequence[Assignment], now: datetime) -> None:
        for row in rows:
            self._emit(
                {
                    "event_id": f"policy-assignment:{row.assignment_id}:{row.tenant_uuid}",
                    "timestamp": format_instant(now),
                    "tenant_id": row.tenant_id,
                    "event_type": "CHANGE_RECORDED",
                    "source": SOURCE,
                    "metadata": {
                        "kind": "policy_version",
                        "policy_id": row.policy_id,
                        "policy_version": row.version,
                        "previous": row.previous,
                        "note": row.reason,
                    },
                }
            )


def _why(found: Comparison) -> str:
    what = " and ".join(
        {"rate": "incidents a call", "severity": "mean severity"}[one] for one in found.found_by
    )
    return f"regression against {found.old.version}: {what}"
