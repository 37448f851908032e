"""``ebbtide jobs``: its exit code tells the truth, whatever answers or does not answer."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import structlog
from command import Command

from ebbtide.catalog.schedule import Schedule
from ebbtide.cli.jobs import EXIT_FAILED, EXIT_PARTIAL, EXIT_RUNS_ALREADY
from ebbtide.domain.errors import JobFailed
from ebbtide.jobs import registry
from ebbtide.jobs.job import Job, JobOutcome, RunContext, Stores

RUN = {
    "status": "completed",
    "message": "Stickiness computation completed",
    "job": "compute-stickiness",
    "run_id": 7,
    "failed_tenants": [],
}


@pytest.fixture
def ebbtide_nowhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, for a server elsewhere."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("EBBTIDE_API_KEY", "k" * 40)
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(tmp_path))
    # What hangs is given up after the deadline and something; both are short here.
    monkeypatch.setattr("ebbtide.cli.jobs.load_schedules", dict)
    monkeypatch.setattr("ebbtide.cli.jobs.DEADLINE_S", 0.2)
    monkeypatch.setattr("ebbtide.cli.jobs.SPARE_S", 0.2)
    return Command(tmp_path, "elsewhere")


@contextmanager
def server(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """A server that gives one answer to everything; an empty ``kind`` never answers."""
    leave = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not kind:
                leave.wait(10)
                return
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{one.server_address[1]}"
        finally:
            leave.set()
            one.shutdown()
            thread.join()


def problem(status: int, code: str, **more: Any) -> bytes:
    return json.dumps({"title": "T", "status": status, "code": code} | more).encode()


JSON, HTML = "application/json", "text/html"
#: What answers -> how the command must end.
ANSWERS = {
    "completed": (200, json.dumps(RUN).encode(), JSON, 0),
    "partial": (200, json.dumps(RUN | {"status": "partial"}).encode(), JSON, EXIT_PARTIAL),
    "already running": (409, problem(409, "already-running", run_id=3), JSON, EXIT_RUNS_ALREADY),
    "another conflict": (409, problem(409, "wrong-state"), JSON, EXIT_FAILED),
    "failed": (500, problem(500, "job-failed", detail="no", run_id=3), JSON, EXIT_FAILED),
    "a status nobody knows": (200, b'{"status": "fine", "message": "m"}', JSON, EXIT_FAILED),
    "401": (401, problem(401, "unauthorized"), JSON, EXIT_FAILED),
    "403": (403, problem(403, "forbidden"), JSON, EXIT_FAILED),
    "404": (404, problem(404, "not-found"), JSON, EXIT_FAILED),
    "502 in HTML": (502, b"<h1>Bad gateway</h1>", HTML, EXIT_FAILED),
    "200 in HTML": (200, b"<h1>Welcome</h1>", HTML, EXIT_FAILED),
    "empty": (200, b"", JSON, EXIT_FAILED),
    "no object": (200, b'["completed"]', JSON, EXIT_FAILED),
    "broken JSON": (200, b'{"status": "completed"', JSON, EXIT_FAILED),
    "no UTF-8": (200, b'{"status": "\xff"}', JSON, EXIT_FAILED),
    "disk full": (503, problem(503, "storage-full"), JSON, EXIT_FAILED),
    "a hang": (200, b"", "", EXIT_FAILED),
}


@pytest.mark.parametrize(("status", "body", "kind", "code"), ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["lines", "json"])
def test_the_exit_code_follows_the_answer(
    ebbtide_nowhere: Command,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
    kind: str,
    code: int,
    form: list[str],
) -> None:
    with server(status, body, kind) as url:
        monkeypatch.setenv("EBBTIDE_URL", url)
        said = ebbtide_nowhere("jobs", "run", "compute-stickiness", *form, code=code)
    if form:
        (run,) = json.loads(said)["runs"]
        assert (run["status"] == "completed") == (code == 0) and run["message"]
    else:
        assert ("SUCCESS: status=completed, message=" in said) == (code == 0)
        assert ("FAILED: status=" in said) == (code != 0)


def test_no_answer_at_all_is_a_failure(
    ebbtide_nowhere: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with server(200, json.dumps(RUN).encode()) as plain:
        for url, said in [
            (f"http://127.0.0.1:{port}", "no answer"),  # down
            ("http://nobody.invalid", "no answer"),  # no such name
            (plain.replace("http", "https"), "no answer"),  # no TLS there
        ]:
            monkeypatch.setenv("EBBTIDE_URL", url)
            out = ebbtide_nowhere("jobs", "run", "compute-stickiness", code=EXIT_FAILED)
            assert said in out and "FAILED: status=failed" in out
    assert ssl.OPENSSL_VERSION  # the third one meant something


def test_the_worst_end_counts_and_every_job_is_tried(
    ebbtide_nowhere: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(404, problem(404, "not-found")) as url:
        monkeypatch.setenv("EBBTIDE_URL", url)
        out = ebbtide_nowhere("jobs", "run", "a-job", "another-job", code=EXIT_FAILED)
    assert out.count("FAILED") == 2


def test_the_key_can_stand_in_a_file(
    ebbtide_nowhere: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("EBBTIDE_API_KEY")
    monkeypatch.setenv("EBBTIDE_API_KEY_FILE", str(tmp_path / "key"))
    with server(200, json.dumps(RUN).encode()) as url:
        monkeypatch.setenv("EBBTIDE_URL", url)
        result = ebbtide_nowhere.run("jobs", "run", "compute-stickiness")
        assert result.exit_code != 0 and "EBBTIDE_API_KEY_FILE" in str(result.exception)
        (tmp_path / "key").write_text("k" * 40 + "\n")
        ebbtide_nowhere("jobs", "run", "compute-stickiness")


# -- beside a server of ours, and alone --------------------------------------------------------


class Body:
    """Fails, leaves tenants out, or comes through, as it was told last."""

    does = "complete"

    def run(self, context: RunContext) -> JobOutcome:
        """Do it."""
        if self.does == "fail":
            raise JobFailed("the rules contradict")
        left_out = {"acme": "absurd"} if self.does == "leave out" else {}
        return JobOutcome({"num_tenants": 3}, left_out)


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Body:
    """The body of the only job there is; to be asked for before ``ebbtide``."""
    one = Body()
    minutes = timedelta(minutes=15)
    schedule = Schedule("a-job", "A", "Work completed", "o", minutes, minutes, minutes, 3)

    def make_body(name: str, stores: Stores) -> Job:
        return one

    monkeypatch.setattr(registry, "_make_body", make_body)
    monkeypatch.setattr("ebbtide.app.house.load_schedules", lambda **_: {"a-job": schedule})
    # A server in this process would log between the lines of the command.
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent)
    return one


def test_a_job_is_run_listed_and_logged(body: Body, ebbtide: Command) -> None:
    assert "No runs yet." in ebbtide("jobs", "runs")
    started_at = time.monotonic()
    lines = ebbtide("jobs", "run", "a-job").splitlines()
    assert time.monotonic() - started_at < 10
    assert [line.partition("] ")[2] for line in lines] == [
        "Starting a-job job...",
        "SUCCESS: status=completed, message=Work completed",
        "A-job job completed.",
    ]
    assert "+00:00] " in lines[0]
    (run,) = ebbtide.json("jobs", "run", "a-job", "--as-of", "2025-01-01T00:00:00Z")["runs"]
    assert (run["as_of"], run["counts"]) == ("2025-01-01T00:00:00Z", {"num_tenants": 3})
    assert [one["run_id"] for one in ebbtide.json("jobs", "runs")["runs"]] == [2, 1]
    assert "Work completed" in ebbtide("jobs", "list")
    assert "No alerts." in ebbtide("jobs", "alerts")
    ebbtide("jobs", "run", "a-job", "--as-of", "2999-01-01T00:00:00Z", code=EXIT_FAILED)
    ebbtide("jobs", "run", "nobody", code=EXIT_FAILED)


def test_failed_and_partial_runs_end_otherwise(body: Body, ebbtide: Command) -> None:
    body.does = "fail"
    assert "message=The job failed: the rules contradict" in ebbtide(
        "jobs", "run", "a-job", code=EXIT_FAILED
    )
    body.does = "leave out"
    said = ebbtide("jobs", "run", "a-job", code=EXIT_PARTIAL)
    assert "status=partial" in said and "left out: acme: absurd" in said
    kinds = [alert["kind"] for alert in ebbtide.json("jobs", "alerts")["alerts"]]
    assert kinds == ["partial", "failed"]
    assert "failed" in ebbtide("jobs", "runs", "--status", "failed")
