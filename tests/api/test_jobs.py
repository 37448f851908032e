"""Jobs over HTTP: run now, refuse a second one, tell the truth about the end, and show the log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from api_server import NOON, Answer, Client, Clock, Server

from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings
from ebbtide.catalog.schedule import Schedule
from ebbtide.domain.errors import JobFailed
from ebbtide.jobs.job import JobOutcome, RunContext, ScheduledJob
from ebbtide.jobs.runner import Runner

JOB = "compute-stickiness"
PATH = f"/ops/jobs/{JOB}"
DONE = "Stickiness computation completed"


def nothing(_: RunContext) -> JobOutcome:
    return JobOutcome({"num_tenants": 42})


@dataclass
class Body:
    """A body that does what the test says."""

    function: Callable[[RunContext], JobOutcome] = nothing
    contexts: list[RunContext] = field(default_factory=list)

    def run(self, context: RunContext) -> JobOutcome:
        """Run the test's function."""
        self.contexts.append(context)
        return self.function(context)


@dataclass
class Jobs:
    """A server with one job whose body the test sets."""

    server: Server
    body: Body

    def post(self, path: str = PATH, client: Client | None = None) -> Answer:
        """Run it, as the first callers do: without a body."""
        return (client or self.server.admin).ask("POST", path)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """A server of one test's own."""
    clock, body = Clock(), Body()
    quarter = timedelta(minutes=15)
    schedule = Schedule(JOB, "Scores", DONE, "o", quarter, timedelta(seconds=20), quarter, 3)
    with House(Settings(data_dir=tmp_path / "data"), clock) as house:
        state = house.services.state
        runner = Runner(state.runs, {JOB: ScheduledJob(schedule, body)}, clock)
        house.services = replace(house.services, runner=runner)
        assert house.first_key is not None
        with serving_aside(house) as running:
            port = int(running.url.rpartition(":")[2])
            yield Jobs(Server(house, port, clock, Client(port, house.first_key)), body)


@pytest.mark.parametrize("path", [PATH, f"/api/v1{PATH}"])
def test_a_job_runs_now_and_says_so(jobs: Jobs, path: str) -> None:
    answer = jobs.post(path, jobs.server.client("jobs:run"))
    assert answer.status == 200
    run = answer.json
    assert (run["status"], run["message"]) == ("completed", DONE)
    assert (run["as_of"], run["slot"], run["covers"]) == ("2026-03-12T12:00:00Z", None, 0)
    assert run["counts"] == {"num_tenants": 42} and run["failed_tenants"] == []
    assert run["asked_by"].startswith("key ") and run["error"] is None
    assert jobs.server.admin.get(f"/ops/jobs/runs/{run['run_id']}").json == run


def test_a_past_moment_can_be_named(jobs: Jobs) -> None:
    assert jobs.post(f"{PATH}?as_of=2025-01-01T01:00:00%2B01:00").json["as_of"] == (
        "2025-01-01T00:00:00Z"
    )
    assert jobs.body.contexts[0].as_of.isoformat() == "2025-01-01T00:00:00+00:00"
    for as_of, status in [
        ("2026-03-12T12:00:01Z", 422),
        ("yesterday", 422),
        ("2026-01-01T00:00:00", 422),
    ]:
        assert jobs.post(f"{PATH}?as_of={as_of}").status == status
    assert jobs.post(f"{PATH}?asof=2025-01-01T00:00:00Z").status == 400  # not computed for now
    assert len(jobs.body.contexts) == 1


def test_a_second_run_is_refused_with_the_id_of_the_first(jobs: Jobs) -> None:
    inside, leave = threading.Event(), threading.Event()

    def wait(_: RunContext) -> JobOutcome:
        inside.set()
        leave.wait(10)
        return JobOutcome()

    jobs.body.function = wait
    came: list[Answer] = []
    first = threading.Thread(target=lambda: came.append(jobs.post()))
    first.start()
    inside.wait(5)
    (running,) = jobs.server.admin.get("/ops/jobs/runs", status="running").json["runs"]
    assert (running["message"], running["finished_at"]) == (None, None)
    refusal = jobs.post()
    assert refusal.status == 409
    assert (refusal.json["code"], refusal.json["run_id"]) == ("already-running", running["run_id"])
    leave.set()
    first.join()
    assert came[0].status == 200 and len(jobs.body.contexts) == 1


def test_a_failed_run_is_answered_by_an_error_with_its_id(jobs: Jobs) -> None:
    def fail(_: RunContext) -> JobOutcome:
        raise JobFailed("the rules contradict")

    jobs.body.function = fail
    answer = jobs.post()
    assert (answer.status, answer.json["code"]) == (500, "job-failed")
    assert answer.json["detail"] == "the rules contradict"
    (alert,) = jobs.server.admin.get("/ops/jobs/alerts").json["alerts"]
    assert (alert["kind"], alert["run_id"]) == ("failed", answer.json["run_id"])
    assert alert["message"] == "the rules contradict"


def test_a_partial_run_names_who_was_left_out(jobs: Jobs) -> None:
    jobs.body.function = lambda _: JobOutcome(failed_tenants={"acme": "absurd"})
    answer = jobs.post()
    assert (answer.status, answer.json["status"]) == (200, "partial")
    assert answer.json["failed_tenants"] == [{"tenant_id": "acme", "reason": "absurd"}]


def test_the_list_shows_schedule_and_newest_run(jobs: Jobs) -> None:
    (job,) = jobs.server.admin.get("/ops/jobs").json["jobs"]
    assert (job["name"], job["every_s"], job["last_run"]) == (JOB, 900, None)
    assert job["next_slot"] == "2026-03-12T12:15:00Z"
    run_id = jobs.post().json["run_id"]
    (job,) = jobs.server.admin.get("/ops/jobs").json["jobs"]
    assert job["last_run"]["run_id"] == run_id


def test_the_log_goes_in_pages(jobs: Jobs) -> None:
    ids = [jobs.post().json["run_id"] for _ in range(5)]
    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = jobs.server.admin.get("/ops/jobs/runs", **params).json
        found += [run["run_id"] for run in page["runs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == ids[::-1]


@pytest.mark.parametrize("path", ["/ops/jobs/runs?job=nobody", "/ops/jobs/alerts?job=nobody"])
def test_an_unknown_job_is_not_an_empty_answer(jobs: Jobs, path: str) -> None:
    assert jobs.server.admin.get(path).status == 404
    answer = jobs.post("/ops/jobs/compute-stickyness")
    assert answer.status == 404 and f"did you mean {JOB}?" in answer.json["detail"]


def test_a_key_of_one_tenant_neither_runs_nor_reads_jobs(jobs: Jobs) -> None:
    bound = jobs.server.client("read", "jobs:run", tenant="acme")
    assert jobs.post(PATH, bound).status == 403
    for path in ("/ops/jobs", "/ops/jobs/runs", "/ops/jobs/runs/1", "/ops/jobs/alerts"):
        assert bound.get(path).status == 403


def test_the_figures_count_runs_and_alerts(jobs: Jobs) -> None:
    def fail(_: RunContext) -> JobOutcome:
        raise JobFailed("no")

    def figures() -> dict[str, float]:
        lines = jobs.server.admin.get("/metrics").body.decode().splitlines()
        pairs = [line.rpartition(" ") for line in lines if line.startswith("ebbtide_job_")]
        return {name: float(value) for name, _, value in pairs}

    before = figures()
    assert before[f'ebbtide_job_runs_total{{job="{JOB}",status="failed"}}'] == 0
    assert f'ebbtide_job_last_result_timestamp_seconds{{job="{JOB}"}}' not in before
    jobs.post()
    jobs.body.function = fail
    jobs.server.clock.advance(hours=1)
    jobs.post()
    after = figures()
    assert after[f'ebbtide_job_runs_total{{job="{JOB}",status="completed"}}'] == 1
    assert after[f'ebbtide_job_runs_total{{job="{JOB}",status="failed"}}'] == 1
    assert after[f'ebbtide_job_alerts_total{{job="{JOB}",kind="failed"}}'] == 1
    assert after[f'ebbtide_job_running{{job="{JOB}"}}'] == 0
    newest = after[f'ebbtide_job_last_result_timestamp_seconds{{job="{JOB}"}}']
    assert newest == NOON.timestamp()  # the failed run an hour later does not count
