"""Runs of jobs: what one run was asked to do, how it ended, and what it gave alarm about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class RunStatus(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    COMPLETED = "completed"
    PARTIAL = "partial"  # some tenants were left out; they are named
    FAILED = "failed"  # nothing was written
    ABANDONED = "abandoned"  # its runner went away; nothing was written, the slot is free again


#: These settle a slot: there is at most one of them for each.
RESULTS = frozenset({RunStatus.COMPLETED, RunStatus.PARTIAL, RunStatus.FAILED})


class AlertKind(StrEnum):
    """Why somebody should look."""

    FAILED = "failed"
    PARTIAL = "partial"
    ABANDONED = "abandoned"
    LATE = "late"
    CLOCK = "clock"  # a slot older than the one before it: the clock went back


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of one job.

    ``run_id`` only grows and is the fencing token. ``slot`` is None for a run that was asked for
    by hand; then ``covers`` is 0. A run after a stop covers all slots from ``covers_from`` to
    ``slot``. ``beat`` grows while the runner lives. ``failed_tenants`` holds tenant id -> reason.
    """

    run_id: int
    job: str
    slot: datetime | None
    as_of: datetime
    covers: int
    covers_from: datetime | None
    attempt: int
    asked_by: str
    runner: str
    beat: int
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None = None
    message: str | None = None
    error: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    failed_tenants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ends. ``error`` is the stable code of what went wrong, None when nothing did."""

    status: RunStatus
    at: datetime
    message: str
    error: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    failed_tenants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should know about; one row, one log line, one count."""

    id: int
    at: datetime
    kind: AlertKind
    job: str
    run_id: int
    message: str
