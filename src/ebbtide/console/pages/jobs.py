"""Jobs: is everything computed that should be?"""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from ebbtide.console.ask import part
from ebbtide.console.visit import Visit


async def page(visit: Visit) -> Response:
    """Every job with its newest run, what gave alarm, and the runs before."""
    jobs, alerts, runs = await asyncio.gather(
        visit.get_present("/ops/jobs"),
        visit.get_present("/ops/jobs/alerts", limit="10"),
        visit.get_present("/ops/jobs/runs", limit="20"),
    )
    for answer in (jobs, alerts, runs):
        if not answer.is_ok:
            return visit.trouble("jobs", answer)
    return visit.page(
        "jobs",
        "jobs.html",
        jobs=jobs.data["jobs"],
        alerts=alerts.data["alerts"],
        runs=runs.data["runs"],
    )


async def run(visit: Visit) -> Response:
    """Run a job now, and wait for its end."""
    fields = await visit.form()
    name = visit.request.path_params["name"]
    answer = await visit.post(f"/ops/jobs/{part(name)}")
    if not answer.is_ok:
        return visit.trouble("jobs", answer)
    return visit.back(fields, f"job-{name}")
