"""What a run of the inactivity job found and did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

EXIT_GOOD = 0
EXIT_NOTHING = 1
EXIT_SOME_FAILED = 2

#: The definitions that stored values follow.
FORMULAS = ("inactive/2", "churn_risk/2", "goal_probability/2")


@dataclass(frozen=True, slots=True)
class LearnerScore:
    """What was written for one inactive user, or would have been."""

    user_id: str
    week: date  # the Monday of as_of's ISO week
    s: float  # churn_risk/2, 0 to 1
    p: float | None  # goal_probability/2, 0 to 1; None: nothing is known of the user's ability
    last_active_at: datetime  # the newest activity of any source at as_of
    silent_days: int  # whole days since then


@dataclass(frozen=True, slots=True)
class LearnerFailure:
    """A user whose row was not written, and why."""

    user_id: str
    error: str


@dataclass(frozen=True, slots=True)
class InactivityReport:
    """How a run ended. ``scores`` reads from the connection of the run, page by page."""

    as_of: datetime
    threshold_days: int
    dry_run: bool
    week: date
    num_inactive: int
    processed: int
    failed: int
    num_without_p: int  # of those processed
    failures: tuple[LearnerFailure, ...]  # the first ones; ``failed`` counts all
    skipped: tuple[str, ...]  # tables that were left out, with the reason
    unreadable: tuple[str, ...]  # sources that broke off while being read, with the reason
    duration_ms: int
    _read: Callable[[], Iterator[LearnerScore]] = field(repr=False, compare=False)

    def scores(self) -> Iterator[LearnerScore]:
        """Each user that was processed, in the order of ids; nothing is held in memory.

        They are read from a temporary table, so only while the connection is open, and only
        until the next run on it. They may be read as often as one likes.

        Raises:
            StoreUnavailable: the connection is gone, and the table with it.
        """
        return self._read()

    @property
    def exit_code(self) -> int:
        """0 all good, 2 some failed, 1 nothing could be done."""
        if not self.failed and not self.unreadable:
            return EXIT_GOOD
        return EXIT_SOME_FAILED if self.processed or not self.failed else EXIT_NOTHING
