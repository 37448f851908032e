"""``/ops/jobs``: run a job now, and see what ran, what is due, and what gave alarm."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ebbtide.api.auth import LOCAL_KEY_ID
from ebbtide.api.dependencies import Instant, check_unbound, job_runner, reader, services
from ebbtide.api.json_route import JsonRoute
from ebbtide.api.models.jobs import (
    AlertPage,
    JobList,
    RunPage,
    RunShown,
    alert_shown,
    job_shown,
    run_shown,
)
from ebbtide.api.services import Services
from ebbtide.domain.errors import JobFailed, NotFound
from ebbtide.domain.job_run import RunStatus
from ebbtide.domain.keys import ApiKey
from ebbtide.domain.nearest import did_you_mean

router = APIRouter(tags=["jobs"], route_class=JsonRoute)
House = Annotated[Services, Depends(services)]
Reader = Annotated[ApiKey, Depends(reader)]
RunId = Annotated[int | None, Query(ge=1, lt=2**63, description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]

_CAME_THROUGH = (RunStatus.COMPLETED, RunStatus.PARTIAL)


@router.get("/ops/jobs", summary="Every job, its schedule and its newest run")
def list_jobs(house: House, key: Reader) -> JobList:
    """In the order in which they run."""
    check_unbound(key)
    now = house.runner.now()
    newest = {name: house.state.runs.list_newest(job=name, limit=1) for name in house.runner.jobs}
    return JobList(
        jobs=[
            job_shown(job.schedule, next(iter(newest[name]), None), now)
            for name, job in house.runner.jobs.items()
        ]
    )


@router.get("/ops/jobs/runs", summary="Runs, newest first")
def list_runs(
    house: House,
    key: Reader,
    job: str | None = None,
    status: RunStatus | None = None,
    cursor: RunId = None,
    limit: Limit = 100,
) -> RunPage:
    """What ran when, for how many slots, and how it ended."""
    check_unbound(key)
    _known(house, job)
    runs = house.state.runs.list_newest(job=job, status=status, before=cursor, limit=limit + 1)
    return RunPage(
        runs=[run_shown(run) for run in runs[:limit]],
        next_cursor=runs[limit - 1].run_id if len(runs) > limit else None,
    )


@router.get("/ops/jobs/runs/{run_id}", summary="One run")
def get_run(run_id: int, house: House, key: Reader) -> RunShown:
    """How it goes, or how it ended."""
    check_unbound(key)
    return run_shown(house.state.runs.get(run_id))


@router.get("/ops/jobs/alerts", summary="Runs that somebody should know about, newest first")
def list_alerts(
    house: House,
    key: Reader,
    job: str | None = None,
    cursor: RunId = None,
    limit: Limit = 100,
) -> AlertPage:
    """Runs that failed, left tenants out, came late, or whose runner vanished."""
    check_unbound(key)
    _known(house, job)
    alerts = house.state.runs.list_alerts(job=job, before=cursor, limit=limit + 1)
    return AlertPage(
        alerts=[alert_shown(alert) for alert in alerts[:limit]],
        next_cursor=alerts[limit - 1].id if len(alerts) > limit else None,
    )


@router.post("/ops/jobs/{name}", summary="Run a job now, and wait for its end")
def run_job(
    name: str,
    house: House,
    key: Annotated[ApiKey, Depends(job_runner)],
    as_of: Annotated[
        Instant, Query(description="The moment to compute for, not in the future; now by default.")
    ] = None,
) -> RunShown:
    """Compute for now, or for a moment of the past, beside the schedule.

    The status is ``completed``, or ``partial`` when tenants had to be left out. One run of a job
    at a time: while one is under way the answer is 409 with its ``run_id``. A run that failed is
    answered by 500 with the reason.
    """
    check_unbound(key)
    _known(house, name)
    asked_by = "command line" if key.key_id == LOCAL_KEY_ID else f"key {key.key_id}"
    run = house.runner.run_now(name, asked_by, as_of)
    if run.status not in _CAME_THROUGH:
        raise JobFailed(run.message or "the run did not come to its end", run_id=run.run_id)
    return run_shown(run)


def _known(house: Services, job: str | None) -> None:
    if job is not None and job not in house.runner.jobs:
        names = list(house.runner.jobs)
        raise NotFound(
            f"there is no such job; there are {', '.join(names)}{did_you_mean(job, names)}"
        )
