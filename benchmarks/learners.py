"""``make bench``: the inactivity job on a large school, beside one query for each user.

The school is simulated: 100,000 users with 3 million rows of activity, of whom three of ten did
nothing for a week. The job is the whole command in a process of its own, from its start to its
end. The other way, one user after another on the same database, is measured on some of the users
and scaled: with the indexes that the tables come with; and with one by user on each table and
without the view of attempts, which is the best that such a program could do.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from benchmarks.databases import throwaway_postgres

from ebbtide.learners.schema import DDL

AS_OF = datetime(2026, 3, 12, tzinfo=UTC)
USERS = 100_000
ROWS_PER_USER = 30
INACTIVE_OF_TEN = 3
SAMPLE_SEED = 0.5
GOALS = {
    "learners_job_s": 10,
    "learners_rss_bytes": 300_000_000,
    "learners_times_one_by_one": 100,
    "learners_twice_as_many_ratio": 2,
}

#: One row each of 30: 16 topic days, 10 sessions, 4 exams. ``age`` is in days before as_of: of the
#: inactive from 8 to 79 days, of the others from half a day on.
_FILL = (
    """
    CREATE TEMP TABLE person AS
    SELECT n, 'user-' || n AS user_id,
           CASE WHEN n %% 10 < %(inactive)s THEN 8 + n %% 72 ELSE (n %% 13) / 2.0 + 0.25 END
               AS youngest
    FROM generate_series(1, %(users)s) AS n
    """,
    """
    INSERT INTO features_topic_daily (user_id, topic_id, date, attempts, correct, last_seen_at,
                                      computed_at)
    SELECT user_id, 'topic-' || k %% 4, at::date, 1 + (n + k) %% 9, (n + k) %% 5, at, at
    FROM (SELECT *, %(as_of)s::timestamptz - (youngest + k * 2) * interval '1 day' AS at
          FROM person CROSS JOIN generate_series(0, 15) AS k) AS days
    """,
    """
    INSERT INTO session (id, user_id, started_at, ended_at, status, created_at)
    SELECT user_id || '/' || k, user_id, at - interval '20 minutes', at, 'ended', at
    FROM (SELECT *, %(as_of)s::timestamptz - (youngest + k * 3) * interval '1 day' AS at
          FROM person CROSS JOIN generate_series(0, 9) AS k) AS days
    """,
    """
    INSERT INTO exam_results (session_id, user_id, exam_id, score_raw, score_scaled, result_json,
                              created_at, updated_at)
    SELECT user_id || '/exam/' || k, user_id, k, score, score,
           jsonb_build_object('questions', jsonb_build_array(jsonb_build_object(
               'question_id', k::text, 'is_correct', score > 50, 'time_spent_sec', 30))), at, at
    FROM (SELECT *, 20 + (n * 7919 + k * 104729) %% 80 AS score,
                 %(as_of)s::timestamptz - (youngest + k * 9) * interval '1 day' AS at
          FROM person CROSS JOIN generate_series(0, 3) AS k) AS exams
    """,
    """
    INSERT INTO interest_goal (user_id, topic_id, target_level, priority)
    SELECT user_id, 'topic-' || k, ((n + k) %% 5 - 2) / 4.0, k
    FROM person CROSS JOIN generate_series(1, 2) AS k WHERE n %% 2 = 0
    """,
    """
    INSERT INTO weekly_kpi (user_id, week_start, kpis)
    SELECT user_id, %(week)s, '{"I_t": 0.1, "E_t": 0.2, "R_t": 0.3, "A_t": 0.4}' FROM person
    WHERE n %% 3 = 0
    """,
    "DROP TABLE person",
)

_INDEXES = """
CREATE INDEX exam_results_of_user ON exam_results (user_id, updated_at);
CREATE INDEX session_of_user ON session (user_id, ended_at);
"""

# -- one user after another: the statements of a program that knows one user at a time --------

_LAST = """
SELECT greatest(
    (SELECT max(COALESCE(updated_at, created_at)) FROM exam_results WHERE user_id = %(user)s),
    (SELECT max(last_seen_at) FROM features_topic_daily WHERE user_id = %(user)s),
    (SELECT max(COALESCE(ended_at, started_at)) FROM session WHERE user_id = %(user)s){view})
"""
_VIEW = ", (SELECT max(completed_at) FROM attempt WHERE student_id = md5(%(user)s)::uuid)"
_REGULAR = """
SELECT count(*), COALESCE(EXTRACT(EPOCH FROM max(at) - min(at)) / 86400
                          / NULLIF(count(*) - 1, 0), 0)
FROM (SELECT session_id, max(COALESCE(updated_at, created_at)) AS at FROM exam_results
      WHERE user_id = %(user)s AND COALESCE(updated_at, created_at) > %(from)s
      GROUP BY session_id) AS sessions
"""
_ABILITY = (
    "SELECT avg(score_scaled), count(score_scaled) FROM exam_results WHERE user_id = %(user)s"
)
_GOAL = """
SELECT sum(target_level * priority) / NULLIF(sum(priority), 0) FROM interest_goal
WHERE user_id = %(user)s
"""
_PUT = """
INSERT INTO weekly_kpi (user_id, week_start, kpis)
VALUES (%(user)s, %(week)s, jsonb_build_object('P', %(p)s::float8, 'S', %(s)s::float8))
ON CONFLICT (user_id, week_start) DO UPDATE
SET kpis = weekly_kpi.kpis || excluded.kpis, updated_at = now()
"""


def fill(url: str, users: int) -> float:
    """Make the tables and fill them; seconds."""
    began = time.monotonic()
    given = {
        "users": users,
        "inactive": INACTIVE_OF_TEN,
        "as_of": AS_OF,
        "week": AS_OF.date() - timedelta(days=AS_OF.weekday()),
    }
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DDL)
        connection.execute("SET synchronous_commit = off")
        for statement in _FILL:
            connection.execute(statement, given)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return time.monotonic() - began


def run_job(url: str) -> dict[str, Any]:
    """The whole command: its seconds, its largest memory, and what it said at the end."""
    command = [sys.executable, "-m", "ebbtide", "detect-inactivity", "--as-of", f"{AS_OF:%Y-%m-%d}"]
    read, write = os.pipe()
    began = time.monotonic()
    pid = os.posix_spawn(
        sys.executable,
        command,
        {**os.environ, "DATABASE_URL": url, "EBBTIDE_DATA_DIR": "/nonexistent"},
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_DUP2, write, 2)],
    )
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as output:
        said = output.read()
    _, status, used = os.wait4(pid, 0)
    elapsed = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(said[-2000:])
    return {
        "seconds": round(elapsed, 2),
        "rss_bytes": used.ru_maxrss * 1024,
        "client_cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "said": said.strip().splitlines()[-1],
    }


def one_by_one(url: str, sample: int, view: str) -> dict[str, Any]:
    """Some of the inactive users, one after another, each in a transaction of its own."""
    last = _LAST.format(view=view)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT setseed(%s)", [SAMPLE_SEED])
        rows = connection.execute(
            "SELECT user_id FROM (SELECT DISTINCT user_id FROM weekly_kpi WHERE kpis ? 'S') AS u "
            "ORDER BY random() LIMIT %s",
            [sample],
        ).fetchall()
        took = []
        for (user,) in rows:
            began = time.perf_counter()
            _one(connection, user, last)
            took.append(time.perf_counter() - began)
    return {
        "users_measured": len(took),
        "ms_per_user": round(statistics.mean(took) * 1e3, 3),
        "ms_per_user_median": round(statistics.median(took) * 1e3, 3),
    }


def _one(connection: psycopg.Connection[Any], user: str, last_activity: str) -> None:
    given = {"user": user, "from": AS_OF - timedelta(days=56)}
    with connection.transaction():
        (last,) = connection.execute(last_activity, given).fetchone() or (None,)
        sessions, gap = connection.execute(_REGULAR, given).fetchone() or (0, 0)
        connection.execute(_ABILITY, given).fetchone()
        connection.execute(_GOAL, given).fetchone()
        silent = (AS_OF - last).days
        s = 0.6 * min(1, silent / 14) + 0.25 * min(1, float(gap) / 7)
        s += 0.15 * max(0, 1 - sessions / 10)
        week = AS_OF.date() - timedelta(days=AS_OF.weekday())
        connection.execute(_PUT, {"user": user, "week": week, "p": 0.5, "s": s})


def measure_school(folder: Path, users: int, *, sample: int) -> dict[str, Any]:
    """Fill a school, run the job three times, then go one by one through some users."""
    with throwaway_postgres(folder) as url:
        filled = fill(url, users)
        runs = [run_job(url) for _ in range(3)]
        with psycopg.connect(url, autocommit=True) as connection:
            query = "SELECT count(*) FROM weekly_kpi WHERE kpis ? 'S'"
            (inactive,) = connection.execute(query).fetchone() or (0,)
        found: dict[str, Any] = {
            "num_users": users,
            "num_rows": users * ROWS_PER_USER,
            "num_inactive": inactive,
            "fill_s": round(filled, 1),
            "job_s": max(run["seconds"] for run in runs),
            "job_s_of_runs": [run["seconds"] for run in runs],
            "client_cpu_s": runs[-1]["client_cpu_s"],
            "rss_bytes": max(run["rss_bytes"] for run in runs),
            "said": runs[-1]["said"],
        }
        if sample:
            plain = one_by_one(url, sample, _VIEW)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_INDEXES)
                connection.execute("ANALYZE")
            # The view knows nothing that exam_results does not, and no index helps it.
            indexed = one_by_one(url, sample * 20, "")
            for name, one in (("one_by_one", plain), ("one_by_one_indexed", indexed)):
                whole = one["ms_per_user"] * inactive / 1e3
                found[name] = one | {
                    "scaled_s": round(whole, 1),
                    "times_the_job": round(whole / found["job_s"], 1),
                }
            found["job_s_indexed"] = run_job(url)["seconds"]
    return found


def measure_learners(work: Path, part: Callable[..., None], *, quick: bool) -> None:
    """``part(name, measure)`` runs the part and keeps its figures."""
    users = USERS // 10 if quick else USERS

    def measure() -> dict[str, Any]:
        once = measure_school(work / "pg-school", users, sample=10 if quick else 20)
        twice = measure_school(work / "pg-school-twice", 2 * users, sample=0)
        return once | {
            "twice_as_many": twice,
            "twice_as_many_ratio": round(
                statistics.median(twice["job_s_of_runs"])
                / statistics.median(once["job_s_of_runs"]),
                2,
            ),
        }

    part("learners", measure)


def main() -> int:
    """This part alone, without keeping the figures; ``--quick`` for a tenth of the users."""
    work = Path(tempfile.mkdtemp(prefix="ebbtide-learners-"))
    work.chmod(0o755)

    def part(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        print(f"{name}: {json.dumps(measure(), indent=1)}", flush=True)

    try:
        measure_learners(work, part, quick="--quick" in sys.argv)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
