"""What the job routes answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ebbtide.catalog.schedule import Schedule
from ebbtide.domain.job_run import Alert, JobRun
from ebbtide.domain.time import format_instant
from ebbtide.jobs.slots import next_slot

_RUN: dict[str, Any] = {
    "status": "completed",
    "message": "Stickiness computation completed",
    "run_id": 4711,
    "job": "compute-stickiness",
    "as_of": "2026-03-12T08:15:00Z",
    "slot": "2026-03-12T08:15:00Z",
    "covers": 1,
    "covers_from": "2026-03-12T08:15:00Z",
    "attempt": 1,
    "asked_by": "schedule",
    "runner": "shop-1:2201",
    "started_at": "2026-03-12T08:15:00.412000Z",
    "finished_at": "2026-03-12T08:15:00.498000Z",
    "error": None,
    "counts": {"num_tenants": 42},
    "failed_tenants": [],
}


class FailedTenant(BaseModel):
    """A tenant that a run left out."""

    model_config = ConfigDict(extra="forbid")

    tenant_id: str
    reason: str


class RunShown(BaseModel):
    """One run of a job. All times are UTC."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_RUN]})

    status: str = Field(description="running, completed, partial, failed or abandoned.")
    message: str | None = Field(description="One sentence; null while it runs.")
    run_id: int
    job: str
    as_of: str = Field(description="The moment that the results are for.")
    slot: str | None = Field(description="The scheduled instant; null when asked for by hand.")
    covers: int = Field(description="How many slots it stands for; 0 when asked for by hand.")
    covers_from: str | None = Field(description="The oldest slot that it stands for.")
    attempt: int = Field(description="2 and more: the runner of an earlier attempt vanished.")
    asked_by: str
    runner: str = Field(description="Host and process.")
    started_at: str
    finished_at: str | None
    error: str | None = Field(description="A stable code; null when nothing went wrong.")
    counts: dict[str, int]
    failed_tenants: list[FailedTenant]


class RunPage(BaseModel):
    """Runs, newest first."""

    model_config = ConfigDict(extra="forbid")

    runs: list[RunShown]
    next_cursor: int | None


class JobShown(BaseModel):
    """A job, its schedule, and how its newest run went."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str
    owner: str
    every_s: int
    deadline_s: int
    next_slot: str
    last_run: RunShown | None = Field(description="Null when it never ran.")


class JobList(BaseModel):
    """Every job."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[JobShown]


class AlertShown(BaseModel):
    """Something that somebody should know about."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": 3,
                    "at": "2026-03-12T08:25:00Z",
                    "kind": "failed",
                    "job": "compute-stickiness",
                    "run_id": 4712,
                    "message": "it took longer than 600 s and was ended",
                }
            ]
        },
    )

    id: int
    at: str
    kind: str = Field(description="failed, partial, abandoned, late or clock.")
    job: str
    run_id: int
    message: str


class AlertPage(BaseModel):
    """Alerts, newest first."""

    model_config = ConfigDict(extra="forbid")

    alerts: list[AlertShown]
    next_cursor: int | None


def run_shown(run: JobRun) -> RunShown:
    """A run as the API shows it."""
    return RunShown(
        status=run.status,
        message=run.message,
        run_id=run.run_id,
        job=run.job,
        as_of=format_instant(run.as_of),
        slot=_instant(run.slot),
        covers=run.covers,
        covers_from=_instant(run.covers_from),
        attempt=run.attempt,
        asked_by=run.asked_by,
        runner=run.runner,
        started_at=format_instant(run.started_at),
        finished_at=_instant(run.finished_at),
        error=run.error,
        counts=dict(run.counts),
        failed_tenants=[
            FailedTenant(tenant_id=tenant_id, reason=reason)
            for tenant_id, reason in run.failed_tenants.items()
        ],
    )


def job_shown(schedule: Schedule, last_run: JobRun | None, now: datetime) -> JobShown:
    """A job as the API shows it."""
    return JobShown(
        name=schedule.name,
        title=schedule.title,
        owner=schedule.owner,
        every_s=int(schedule.every.total_seconds()),
        deadline_s=int(schedule.deadline.total_seconds()),
        next_slot=format_instant(next_slot(now, schedule.every)),
        last_run=None if last_run is None else run_shown(last_run),
    )


def alert_shown(alert: Alert) -> AlertShown:
    """An alert as the API shows it."""
    return AlertShown(
        id=alert.id,
        at=format_instant(alert.at),
        kind=alert.kind,
        job=alert.job,
        run_id=alert.run_id,
        message=alert.message,
    )


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(moment)
