"""``make bench``: how long each question about the business takes on a large store, over HTTP.

The history is that of ``customers``, with what the questions look at put in: several producers,
models, policies in two versions, causes of incidents, failed calls and limits. The jobs that score
customers have run once, as they have everywhere. Then each question is asked many times, one after
another, of a server in its own process. Nobody writes meanwhile.
"""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from benchmarks.customers import make_history
from benchmarks.server_process import KEY, ServerProcess

from ebbtide.store.events.base import EVENT_SCHEMA
from ebbtide.store.events.duckdb import DuckDBEventStore

TENANTS, DAYS = 1000, 90
NUM_REQUESTS = 40
GOALS = {"pulse_ms_p95": 50, "question_ms_p95": 100}

#: Question -> path; ``{incident}`` is the newest incident of the store.
QUESTIONS = {
    "pulse": "/ops/pulse",
    "thresholds": "/ops/thresholds",
    "heatmap": "/ops/incidents/heatmap",
    "heatmap_7d": "/ops/incidents/heatmap?hours=168",
    "attribution": "/ops/incidents/attribution",
    "regressions": "/ops/incidents/regressions",
    "patterns": "/ops/incidents/patterns",
    "incidents": "/ops/incidents",
    "incident": "/ops/incidents/{incident}",
    "changes": "/ops/changes",
    "infra": "/ops/infra",
    "stickiness": "/ops/stickiness",
    "funnel": "/ops/funnel",
    "cohorts": "/ops/cohorts",
    "revenue": "/ops/revenue",
    "revenue_tenants": "/ops/revenue/tenants",
}

#: Jobs on whose newest run answers stand.
JOBS = ("compute-stickiness", "evaluate-playbooks")

_FILLED = """
WITH drawn AS (
    SELECT *, hash(event_uuid) AS h, CAST(substr(tenant_id, 8) AS INTEGER) AS number FROM batch
), kinds AS (
    SELECT * REPLACE (
        CASE WHEN event_type <> 'LOGIN' THEN event_type
             WHEN h % 10 < 3 THEN 'LLM_CALL_FAILED'
             WHEN h % 10 = 3 THEN 'POLICY_BLOCKED'
             WHEN h % 500 = 4 THEN 'INFRA_LIMIT_HIT'
             ELSE event_type END AS event_type,
        CASE number % 4 WHEN 0 THEN 'python-client' WHEN 1 THEN 'segment' WHEN 2 THEN 'gateway'
                        ELSE 'import' END AS source)
    FROM drawn
), named AS (
    SELECT *, event_type IN ('POLICY_EVALUATED', 'POLICY_BLOCKED', 'INCIDENT_CREATED') AS is_checked
    FROM kinds
)
SELECT * REPLACE (
    CASE WHEN event_type = 'INCIDENT_CREATED' THEN ['gpt-4o', 'gpt-4o-mini', 'claude-haiku'][
        1 + CAST(h % 3 AS INTEGER)] ELSE model END AS model,
    CASE WHEN is_checked THEN ['TOXICITY', 'PII_SHIELD', 'CONTENT_ACCURACY', 'PROMPT_INJECTION'][
        1 + CAST(h % 4 AS INTEGER)] ELSE policy_id END AS policy_id,
    CASE WHEN is_checked AND h % 4 = 2 AND number % 5 < 2 AND timestamp > $rollout THEN 'v2'
         WHEN is_checked THEN 'v1' END AS policy_version,
    CASE WHEN event_type = 'INCIDENT_CREATED' THEN 'inc-' || (h % 1000000000) END AS entity_id,
    CASE WHEN event_type = 'INFRA_LIMIT_HIT' THEN 'redis_memory' END AS resource,
    CASE WHEN event_type = 'INCIDENT_CREATED' THEN
             '{"call_id":"call-' || (h % 1000000000) || '","policies_fired":' ||
             CASE h % 7 WHEN 0 THEN '[]' WHEN 1 THEN '["TOXICITY","PII_SHIELD"]'
                        ELSE '["CONTENT_ACCURACY"]' END ||
             ',"context_empty":' || CASE WHEN h % 11 = 0 THEN 'true' ELSE 'false' END || '}'
         WHEN event_type = 'INFRA_LIMIT_HIT' THEN
             '{"resource":"redis_memory","current":8,"limit":10}'
         ELSE metadata END AS metadata)
FROM named
"""


def fill(history: Iterator[pa.RecordBatch], rollout: datetime) -> Iterator[pa.RecordBatch]:
    """The same events with models, policies, causes and producers.

    Args:
        rollout: from here on two customers of five run a second version of one policy.
    """
    con = duckdb.connect(config={"threads": "2"})
    con.execute("SET TimeZone = 'UTC'")
    for batch in history:
        table = con.sql(_FILLED, params={"rollout": rollout}).to_arrow_table()
        columns = [table[field.name].combine_chunks().cast(field.type) for field in EVENT_SCHEMA]
        yield pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)
        del batch
    con.close()


def make_store(folder: Path, *, num_events: int, end: datetime) -> None:
    """Fill an event store in a data folder with a history that ends at a moment."""
    folder.mkdir(parents=True)
    events = DuckDBEventStore(folder / "events.duckdb")
    events.migrate()
    start = end - timedelta(days=DAYS)
    history = make_history(num_events=num_events, tenants=TENANTS, start=start, end=end)
    for batch in fill(history, end - timedelta(days=3)):
        events.append(batch)
        events.maintain()
    while events.maintain():
        pass
    events.close()


def run_jobs(server: ServerProcess) -> None:
    """Run what the schedule would have run by now."""
    for job in JOBS:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        connection.request("POST", f"/ops/jobs/{job}", headers={"X-API-Key": KEY})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{job}: {answer.status} {body[:200]!r}")


def ask_all(server: ServerProcess, *, num_requests: int = NUM_REQUESTS) -> dict[str, Any]:
    """Milliseconds of every question: the first answer, half of the others, 95 of 100.

    A question that this server does not know is left out.
    """
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def get(path: str) -> tuple[int, bytes, float]:
        began = time.perf_counter()
        connection.request("GET", path, headers={"X-API-Key": KEY})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, body, (time.perf_counter() - began) * 1e3

    newest = json.loads(get("/ops/incidents?limit=1")[1])["items"][0]["incident_id"]
    found: dict[str, Any] = {}
    for name, path in QUESTIONS.items():
        path = path.replace("{incident}", newest)
        status, body, first_ms = get(path)
        if status == 404:
            continue
        if status != 200:
            raise RuntimeError(f"{path}: {status} {body[:200]!r}")
        took = sorted(get(path)[2] for _ in range(num_requests))
        found[name] = {
            "first_ms": round(first_ms, 1),
            "ms_p50": round(statistics.median(took), 1),
            "ms_p95": round(took[int(len(took) * 0.95)], 1),
            "bytes": len(body),
        }
    connection.close()
    return found


def measure_questions(work: Path, part: Callable[..., None], *, quick: bool) -> None:
    """``part(name, measure)`` runs the part and keeps its figures."""
    num = 1_000_000 if quick else 10_000_000
    folder = work / "questions"

    def measure() -> dict[str, Any]:
        make_store(folder, num_events=num, end=datetime.now(UTC) + timedelta(minutes=15))
        # Without the schedule: its jobs would come in between, and are measured on their own.
        with ServerProcess(folder, env={"EBBTIDE_SCHEDULER": "off"}) as server:
            run_jobs(server)
            found = ask_all(server)
        others = [one["ms_p95"] for name, one in found.items() if name != "pulse"]
        return {
            "num_events": num,
            "num_tenants": TENANTS,
            "pulse_ms_p95": found["pulse"]["ms_p95"],
            "question_ms_p95": max(others),
            "questions": found,
        }

    part("questions", measure)


def main() -> int:
    """This part alone, without keeping the figures; ``--quick`` for a tenth of the events."""
    work = Path(tempfile.mkdtemp(prefix="ebbtide-questions-"))

    def part(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        print(f"{name}: {json.dumps(measure(), indent=1)}", flush=True)

    try:
        measure_questions(work, part, quick="--quick" in sys.argv)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
