"""What a job is: a body that computes, and an outcome that the runner writes with the slot.

A body reads and computes. What it wants written goes into ``JobOutcome.write``: the runner calls
it inside the very transaction that settles the run, after the fencing token was checked. So the
results of a run are there with its row or not at all, and a runner that lost its turn writes
nothing, however late it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ebbtide.alerts.brief import BriefPage
from ebbtide.catalog.loader import Catalog
from ebbtide.catalog.schedule import Schedule
from ebbtide.domain.job_run import RunStatus
from ebbtide.ingest.ingestor import Ingestor
from ebbtide.limits.probe import Probe
from ebbtide.store.events.base import EventStore
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.database import Transaction

#: Writes results; runs inside the transaction that settles the run, so it should only write.
Write = Callable[[Transaction], None]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a body is told about its run.

    Attributes:
        job: the job's name.
        run_id: the fencing token; it only grows.
        as_of: the moment that the results are for. It may lie far back: rows that say "current"
            must only be replaced by newer ones.
        slot: the scheduled instant; None for a run asked for by hand.
        covers: how many slots this run stands for; 0 when it was asked for by hand.
        check: returns while the run may go on, and raises RunEnded when it may not: its deadline
            is over, another runner has taken its place, or the process stops. A thread cannot be
            ended from outside, so a body calls this between any two pieces of work.
    """

    job: str
    run_id: int
    as_of: datetime
    slot: datetime | None
    covers: int
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What a body hands back when it came through; what cannot be done at all is raised.

    Attributes:
        counts: figures about the run, such as ``num_tenants``.
        failed_tenants: tenants that were left out, tenant id -> reason. Their fault does not
            stop the others, and the run is ``partial``.
        write: writes the results; None when there is nothing to write.
        message: a sentence of its own; None takes the one of the schedule. It names no tenant,
            for it outlives an erasure.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    failed_tenants: Mapping[str, str] = field(default_factory=dict)
    write: Write | None = None
    message: str | None = None

    @property
    def status(self) -> RunStatus:
        """``completed``, or ``partial`` when tenants were left out."""
        return RunStatus.PARTIAL if self.failed_tenants else RunStatus.COMPLETED


class Job(Protocol):
    """The body of a job. It may be called from any thread, one call at a time."""

    def run(self, context: RunContext) -> JobOutcome:
        """Compute everything for ``context.as_of``.

        Raises:
            RunEnded: from ``context.check``; let it through.
            JobFailed: it cannot be done; the message says why.
            EbbtideError: as the stores raise it; the run fails with its code.
        """


@dataclass(frozen=True, slots=True)
class Stores:
    """What bodies are made from."""

    catalog: Catalog
    events: EventStore
    state: StateStore
    ingestor: Ingestor | None = None  # for jobs that tell what they found as events
    probes: Sequence[Probe] = ()
    clock: Callable[[], datetime] | None = None  # the one of slots; None: the state store's
    brief_page: BriefPage | None = None  # None: a mailed brief is plain text alone


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job with its schedule."""

    schedule: Schedule
    body: Job
