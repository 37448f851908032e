"""A suggested step towards one customer, and its life from suggestion to measured effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from ebbtide.domain.errors import Unprocessable, WrongState
from ebbtide.domain.ids import to_uuid_text

NOTE_MAX_CHARS = 2_000


class State(StrEnum):
    """Where a suggestion stands."""

    SUGGESTED = "suggested"
    ACCEPTED = "accepted"
    DISMISSED = "dismissed"
    DONE = "done"
    LAPSED = "lapsed"  # its reason went away before anybody answered


class DismissReason(StrEnum):
    """Why a suggestion was turned down; what we learn about the signal from it."""

    FIXED = "fixed"
    USEFUL = "useful"
    NOT_USEFUL = "not_useful"
    NOT_APPLICABLE = "not_applicable"
    INCORRECTLY_FLAGGED = "incorrectly_flagged"


class Effect(StrEnum):
    """How a window of measurement ended."""

    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is to be done and why, as the rules of one moment say it.

    ``rule`` tells apart what is suggested to one tenant: two suggestions of one tenant and rule
    are the same suggestion. ``window_days`` is how long its effect is measured; None when no
    playbook says what success would be.
    """

    tenant_id: str
    rule: str
    intervention_type: str
    priority: str
    suggested_action: str
    context: str
    expected_outcome: str
    triggering_signals: tuple[str, ...]
    playbook_id: str | None = None
    window_days: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same suggestion as another one."""
        return to_uuid_text(self.tenant_id), self.rule


@dataclass(frozen=True, slots=True)
class Intervention:
    """A suggestion that was made, with everything that has happened to it. Moments are UTC.

    ``ended_at`` is the first moment at which its reason no longer held; None while it holds.
    Two windows of the same length are measured. ``effect`` is that of the window from
    ``done_at`` on. ``alone_effect`` is that of the window from ``suggested_at`` on, in which
    nothing was done. None: still open, or never to be measured.
    """

    id: int
    suggestion: Suggestion
    suggested_at: datetime
    state: State = State.SUGGESTED
    accepted_at: datetime | None = None
    dismissed_at: datetime | None = None
    dismiss_reason: DismissReason | None = None
    done_at: datetime | None = None
    note: str | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None
    ended_at: datetime | None = None
    effect: Effect | None = None
    effect_closed_at: datetime | None = None
    alone_effect: Effect | None = None
    alone_closed_at: datetime | None = None

    @property
    def tenant_id(self) -> str:
        """The tenant in its canonical spelling."""
        return self.suggestion.tenant_id

    @property
    def window(self) -> timedelta | None:
        """How long the effect is measured; None when it is not."""
        days = self.suggestion.window_days
        return None if days is None else timedelta(days=days)

    @property
    def is_open(self) -> bool:
        """Whether somebody or something is still waited for; then it is not suggested again."""
        if self.state is State.DONE:
            return self.window is not None and self.effect is None
        return self.state in (State.SUGGESTED, State.ACCEPTED)

    @property
    def was_left_alone(self) -> bool:
        """Whether nothing was done while the window from the suggestion on was open."""
        if self.window is None or self.dismiss_reason is DismissReason.FIXED:
            return False
        return self.done_at is None or self.done_at > self.suggested_at + self.window

    @property
    def open_windows(self) -> tuple[tuple[str, datetime], ...]:
        """What is still to be measured: the name of each effect and the start of its window."""
        if self.window is None:
            return ()
        windows = []
        if self.done_at is not None and self.effect is None:
            windows.append(("effect", self.done_at))
        if self.was_left_alone and self.alone_effect is None:
            windows.append(("alone_effect", self.suggested_at))
        return tuple(windows)

    @property
    def effect_closes_at(self) -> datetime | None:
        """When the window of the effect ends; None when there is none."""
        if self.window is None or self.done_at is None:
            return None
        return self.done_at + self.window

    @property
    def effect_reason(self) -> str | None:
        """Why there is no effect (yet); None when there is one."""
        if self.effect is not None:
            return None
        if self.window is None:
            return "no_playbook"
        return "window_open" if self.done_at is not None else "not_done"

    # -- what people do ------------------------------------------------------------------------

    def accept(self, at: datetime, by: str | None, note: str | None = None) -> Intervention:
        """Somebody takes it on.

        Raises:
            WrongState: it was dismissed, done, or has lapsed.
        """
        if self.state is State.ACCEPTED:
            return self._noted(at, by, note)
        self._need("accepted", State.SUGGESTED)
        return replace(self, state=State.ACCEPTED, accepted_at=at)._noted(at, by, note)

    def dismiss(
        self, reason: DismissReason, at: datetime, by: str | None, note: str | None = None
    ) -> Intervention:
        """Somebody turns it down, and says why. A second reason takes the place of the first.

        Raises:
            WrongState: it is done already.
        """
        allowed = (State.SUGGESTED, State.ACCEPTED, State.DISMISSED, State.LAPSED)
        self._need("dismissed", *allowed)
        changed = replace(
            self,
            state=State.DISMISSED,
            dismissed_at=self.dismissed_at or at,
            dismiss_reason=reason,
        )
        return changed._noted(at, by, note)

    def do(
        self, done_at: datetime, at: datetime, by: str | None, note: str | None = None
    ) -> Intervention:
        """Somebody has done it; the window of its effect begins when it was done.

        Args:
            done_at: when it was done, from the suggestion on, and not in the future.

        Raises:
            WrongState: it was dismissed; take that back first.
            Unprocessable: ``done_at`` is outside of what is possible.
        """
        if self.state is State.DONE:
            return self._noted(at, by, note)
        self._need("done", State.SUGGESTED, State.ACCEPTED, State.LAPSED)
        if not self.suggested_at <= done_at <= at:
            raise Unprocessable("it was done between its suggestion and now, or not at all")
        return replace(self, state=State.DONE, done_at=done_at)._noted(at, by, note)

    def undo(self, at: datetime, by: str | None) -> Intervention:
        """Take the last step back: accepted, dismissed, or done while its effect is open.

        Raises:
            WrongState: there is no step to take back, or its effect is measured already.
        """
        if self.state is State.DONE and self.effect is not None:
            raise WrongState("its effect is measured already; it stays done")
        self._need("taken back", State.ACCEPTED, State.DISMISSED, State.DONE)
        if self.state is State.ACCEPTED or self.accepted_at is None:
            before = replace(self, state=State.SUGGESTED, accepted_at=None)
        else:
            before = replace(self, state=State.ACCEPTED)
        before = replace(before, dismissed_at=None, dismiss_reason=None, done_at=None)
        if before.ended_at is not None and before.state is State.SUGGESTED:
            before = replace(before, state=State.LAPSED)
        return before._noted(at, by, None)

    def _need(self, what: str, *allowed: State) -> None:
        if self.state not in allowed:
            raise WrongState(f"it is {self.state}, so it cannot be {what}")

    def _noted(self, at: datetime, by: str | None, note: str | None) -> Intervention:
        return replace(self, changed_at=at, changed_by=by, note=self.note if note is None else note)

    # -- what time does ------------------------------------------------------------------------

    def end(self, at: datetime) -> Intervention:
        """Its reason holds no longer; one that nobody has answered lapses."""
        state = State.LAPSED if self.state is State.SUGGESTED else self.state
        return replace(self, state=state, ended_at=self.ended_at or at)

    def as_it_was(self, at: datetime) -> Intervention | None:
        """What the row's own moments say of an earlier one; None when it was not suggested yet.

        A step that was taken back leaves no moment, and a note bears none: give the row as it was
        before the first step after ``at``.
        """
        if self.suggested_at > at:
            return None

        def kept(moment: datetime | None) -> datetime | None:
            return moment if moment is not None and moment <= at else None

        done_at, dismissed_at = kept(self.done_at), kept(self.dismissed_at)
        accepted_at, ended_at = kept(self.accepted_at), kept(self.ended_at)
        if done_at is not None:
            state = State.DONE
        elif dismissed_at is not None:
            state = State.DISMISSED
        elif accepted_at is not None:
            state = State.ACCEPTED
        else:
            state = State.SUGGESTED if ended_at is None else State.LAPSED
        is_closed = kept(self.effect_closed_at) is not None
        is_alone_closed = kept(self.alone_closed_at) is not None
        return replace(
            self,
            state=state,
            accepted_at=accepted_at,
            dismissed_at=dismissed_at,
            dismiss_reason=None if dismissed_at is None else self.dismiss_reason,
            done_at=done_at,
            ended_at=ended_at,
            effect=self.effect if is_closed else None,
            effect_closed_at=self.effect_closed_at if is_closed else None,
            alone_effect=self.alone_effect if is_alone_closed else None,
            alone_closed_at=self.alone_closed_at if is_alone_closed else None,
        )

    def may_be_suggested_again(self, at: datetime) -> bool:
        """Whether its reason, holding at this moment, is worth a new suggestion.

        Not while this one is open, and not while the very reason goes on that somebody has
        turned down. What was done without a playbook is left in peace for a week.
        """
        if self.is_open:
            return False
        if self.state is State.DONE and self.window is None:
            assert self.done_at is not None
            return self.ended_at is not None or at > self.done_at + timedelta(days=7)
        return self.ended_at is not None or self.state is State.DONE
