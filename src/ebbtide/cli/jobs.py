"""``ebbtide jobs``: run a job now, and see what ran, what is due, and what gave alarm."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import typer

from ebbtide.catalog.schedule import load_schedules
from ebbtide.cli.door import CommandError, Connect, Door
from ebbtide.cli.moments import as_moment
from ebbtide.cli.output import AS_JSON, console, inert, print_json, print_table

EXIT_FAILED = 1
EXIT_PARTIAL = 2
EXIT_RUNS_ALREADY = 3
SPARE_S = 60.0  # beyond a run's deadline: its end has to be written down and come back
DEADLINE_S = 600.0  # of a job that only the server knows

#: How a run ends the command; anything else is a failure.
_EXIT = {"completed": 0, "partial": EXIT_PARTIAL, "already-running": EXIT_RUNS_ALREADY}
_WORST_FIRST = (EXIT_FAILED, EXIT_PARTIAL, EXIT_RUNS_ALREADY, 0)


def jobs_commands(connect: Connect) -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="What is computed by itself, and when.")

    @group.command("run")
    def run(
        names: list[str] = typer.Argument(help="One job or several, such as compute-stickiness."),
        as_of: str | None = typer.Option(
            None,
            callback=as_moment,
            help="Compute once for this past moment, or a date for 00:00 UTC; what is current"
            " stays as it is. Many moments: ebbtide backfill. Left out: now.",
        ),
        as_json: bool = AS_JSON,
    ) -> None:
        """Run jobs one after another, now, and wait for their ends.

        Ends with 0 when all completed, 1 when one failed or could not be run, 2 when one left
        tenants out, 3 when one was under way already and the others completed.

        Example: ebbtide jobs run compute-stickiness detect-silent-churn
        """
        runs = []
        with connect() as door:
            for name in names:
                if not as_json:
                    _say(f"Starting {name} job...")
                runs.append(_run(door, name, as_of))
                if not as_json:
                    _tell(name, runs[-1])
        if as_json:
            print_json({"runs": runs})
        codes = {_EXIT.get(run["status"], EXIT_FAILED) for run in runs}
        raise typer.Exit(next(code for code in _WORST_FIRST if code in codes))

    @group.command("list")
    def list_(as_json: bool = AS_JSON) -> None:
        """List the jobs with their schedules and newest runs."""
        with connect() as door:
            body = door.get("/ops/jobs")
        if as_json:
            print_json(body)
            return
        print_table(
            ("job", "every", "next slot", "last run", "status", "message"),
            [
                (
                    job["name"],
                    _period(job["every_s"]),
                    job["next_slot"],
                    last.get("started_at"),
                    last.get("status"),
                    last.get("message"),
                )
                for job in body["jobs"]
                for last in [job["last_run"] or {}]
            ],
        )

    @group.command("runs")
    def runs(
        job: str | None = typer.Option(None, help="Only of this job."),
        status: str | None = typer.Option(
            None, help="running, completed, partial, failed or abandoned."
        ),
        limit: int = typer.Option(20, min=1, max=1000),
        as_json: bool = AS_JSON,
    ) -> None:
        """List runs, newest first."""
        with connect() as door:
            body = door.get("/ops/jobs/runs", job=job, status=status, limit=limit)
        if as_json:
            print_json(body)
            return
        if not body["runs"]:
            console.print("No runs yet.")
            return
        print_table(
            ("run", "job", "as of", "covers", "started", "asked by", "status", "message"),
            [
                (
                    run["run_id"],
                    run["job"],
                    run["as_of"],
                    run["covers"] or None,
                    run["started_at"],
                    run["asked_by"],
                    run["status"],
                    run["message"],
                )
                for run in body["runs"]
            ],
        )

    @group.command("alerts")
    def alerts(
        job: str | None = typer.Option(None, help="Only of this job."),
        limit: int = typer.Option(20, min=1, max=1000),
        as_json: bool = AS_JSON,
    ) -> None:
        """List runs that somebody should know about, newest first."""
        with connect() as door:
            body = door.get("/ops/jobs/alerts", job=job, limit=limit)
        if as_json:
            print_json(body)
            return
        if not body["alerts"]:
            console.print("No alerts.")
            return
        print_table(
            ("at", "kind", "job", "run", "message"),
            [(a["at"], a["kind"], a["job"], a["run_id"], a["message"]) for a in body["alerts"]],
        )

    return group


def _run(door: Door, name: str, as_of: str | None) -> dict[str, Any]:
    """One run as the server answers it; what went wrong otherwise has the status of its kind."""
    schedule = load_schedules().get(name)
    deadline_s = DEADLINE_S if schedule is None else schedule.deadline.total_seconds()
    path = f"/ops/jobs/{quote(name, safe='')}"
    try:
        run = door.post(path, timeout_s=deadline_s + SPARE_S, as_of=as_of)
    except CommandError as error:
        code = error.answer.get("code")
        status = code if code == "already-running" else "failed"
        run_id = error.answer.get("run_id")
        return {"status": status, "message": str(error), "job": name, "run_id": run_id}
    if not isinstance(run.get("status"), str):
        message = f"{door.url} answered something else than a run"
        return {"status": "failed", "message": message, "job": name, "run_id": None}
    return run


def _tell(name: str, run: dict[str, Any]) -> None:
    """The end of a run, in the lines that a log is searched for."""
    is_good = run["status"] == "completed"
    word = "SUCCESS" if is_good else "FAILED"
    _say(f"{word}: status={run['status']}, message={run['message']}")
    for one in run.get("failed_tenants", []):
        _say(f"left out: {one['tenant_id']}: {one['reason']}")
    title = name[:1].upper() + name[1:]
    _say(f"{title} job {'completed' if is_good else 'did not complete'}.")


def _period(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _say(text: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    console.print(inert(f"[{at}] {text}"))
