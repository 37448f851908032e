"""Jobs for tests: bodies made of functions, a clock that is set, and a runner with a short pace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ebbtide.catalog.schedule import Schedule
from ebbtide.jobs.job import JobOutcome, RunContext, ScheduledJob
from ebbtide.jobs.runner import Pace, Runner
from ebbtide.store.state.base import StateStore

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
PACE = Pace(beat_every_s=0.02, lease_s=0.3, stop_grace_s=0.2, settle_pause_s=0.01)

BodyFunction = Callable[[RunContext], JobOutcome]


@dataclass
class Body:
    """A body that does what a function says, and remembers what it was told."""

    function: BodyFunction = lambda _: JobOutcome()
    contexts: list[RunContext] = field(default_factory=list)

    def run(self, context: RunContext) -> JobOutcome:
        """Run the function."""
        self.contexts.append(context)
        return self.function(context)


@dataclass
class Clock:
    """Tells the moment it was set to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


def job(name: str, body: Body, **changes: object) -> ScheduledJob:
    """A job of 15 minutes with a deadline of 5 seconds."""
    values = {
        "title": "t",
        "message": "Work completed",
        "owner": "o",
        "every": QUARTER,
        "deadline": timedelta(seconds=5),
        "max_delay": timedelta(minutes=5),
        "attempts": 3,
    } | changes
    return ScheduledJob(Schedule(name, **values), body)  # type: ignore[arg-type]


def runner(store: StateStore, *jobs: ScheduledJob, clock: Clock | None = None) -> Runner:
    """A runner of some jobs."""
    return Runner(store.runs, {one.schedule.name: one for one in jobs}, clock or Clock(), pace=PACE)


class Gate:
    """A body that stays inside until it is let go, checking or not whether it may go on."""

    def __init__(self, *, checks: bool = True) -> None:
        self.is_inside = threading.Event()
        self.may_leave = threading.Event()
        self._checks = checks

    def __call__(self, context: RunContext) -> JobOutcome:
        """Wait at the gate."""
        self.is_inside.set()
        while not self.may_leave.wait(0.01):
            if self._checks:
                context.check()
        return JobOutcome()
