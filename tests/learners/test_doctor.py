"""The doctor says what the job would find: tables, columns, indexes, and what is skipped."""

from __future__ import annotations

import json

import psycopg
import pytest
from typer.testing import CliRunner

from ebbtide.app.main import connect
from ebbtide.cli.main import build_cli
from ebbtide.learners import doctor
from ebbtide.learners.doctor import Diagnosis, diagnose
from ebbtide.learners.sources import load_sources
from learner_tables import Learners, ago

CLI = build_cli(connect, {})


def look(learners: Learners) -> Diagnosis:
    """What the doctor says."""
    return diagnose(learners.connection, load_sources())


def test_a_whole_installation_is_well(learners: Learners) -> None:
    found = look(learners)
    assert found.blockers == () and found.skipped == ()
    by_part = {row.part: row for row in found.rows}
    assert {part: row.status for part, row in by_part.items()} == {
        "exam_results": "used",
        "features_topic_daily": "used",
        "attempt": "used",
        "session": "used",
        "sessions": "used",
        "scores": "used",
        "goals": "used",
        "ability": "skipped",
        "weekly_kpi": "used",
    }
    assert by_part["attempt"].kind == "view"
    assert by_part["weekly_kpi"].index is None  # kpis is in none, nor should it be
    assert by_part["ability"].problem == "no such table"


def test_what_is_missing_is_named(learners: Learners) -> None:
    learners.execute("DROP TABLE session")
    learners.execute("ALTER TABLE interest_goal DROP COLUMN priority")
    learners.execute("ALTER TABLE features_topic_daily ALTER last_seen_at TYPE text")
    found = look(learners)
    assert found.blockers == ()
    assert found.skipped == (
        "features_topic_daily (column last_seen_at is of type text, no moment)",
        "session (no such table)",
        "goals (no column priority)",
    )
    assert learners.run().skipped == found.skipped


def test_exams_without_sessions_and_scores_are_named_too(learners: Learners) -> None:
    """They still tell who was active, but S and P miss a part."""
    learners.execute("ALTER TABLE exam_results RENAME session_id TO sitting")
    learners.execute("ALTER TABLE exam_results RENAME score_scaled TO grade")
    learners.execute("ALTER TABLE exam_results RENAME score_raw TO points")
    found = look(learners)
    assert found.blockers == ()
    assert found.skipped == (
        "sessions of exam_results (no column session_id)",
        "scores of exam_results (no columns score_scaled, score_raw)",
    )
    assert learners.run().skipped == found.skipped


def test_an_index_that_holds_everything_is_found(learners: Learners) -> None:
    learners.execute("CREATE INDEX ON exam_results (user_id, updated_at) INCLUDE (created_at)")
    learners.execute("CREATE INDEX ON session (user_id, started_at)")
    learners.execute("CREATE INDEX ON features_topic_daily (user_id, (last_seen_at IS NULL))")
    learners.execute(
        "CREATE INDEX ON features_topic_daily (user_id, last_seen_at) WHERE date > 'epoch'"
    )
    index = {row.part: row.index for row in look(learners).rows}
    assert index["exam_results"] == ("user_id", "updated_at", "created_at")
    assert index["session"] is None
    assert index["features_topic_daily"] is None


def test_rows_are_counted_until_postgresql_has_an_estimate(
    learners: Learners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "COUNTED_MAX", 3)
    for name in ("ada", "bob", "cid", "dee"):
        learners.exam(name, ago(20))
    learners.goal("ada", 1.0)
    rows = {row.part: row for row in look(learners).rows}
    assert (rows["exam_results"].num_counted, rows["exam_results"].has_more) == (3, True)
    assert (rows["scores"].num_counted, rows["scores"].has_more) == (3, True)
    assert (rows["goals"].num_counted, rows["goals"].has_more) == (1, False)
    assert rows["weekly_kpi"].num_counted == 0
    assert rows["attempt"].num_counted is None
    learners.execute("ANALYZE exam_results")
    row = look(learners).rows[0]
    assert (row.num_rows, row.num_counted) == (4, None)


def test_a_large_table_without_such_an_index_gives_advice(learners: Learners) -> None:
    learners.execute(
        "UPDATE pg_class SET reltuples = 3e6 WHERE oid IN ('exam_results'::regclass,"
        " 'session'::regclass)"
    )
    learners.execute("CREATE INDEX ON session (user_id, ended_at, started_at)")
    (advice,) = look(learners).advice
    assert advice.startswith("exam_results is read as a whole; an index on (user_id, updated_at")


def test_what_may_not_be_read_stops_the_job_unless_it_is_covered(
    learners: Learners, learners_url: str
) -> None:
    learners.exam("ada", ago(20))
    learners.execute("DROP ROLE IF EXISTS clerk")
    learners.execute("CREATE ROLE clerk LOGIN")
    learners.execute("GRANT USAGE ON SCHEMA public TO clerk")
    learners.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
    learners.execute("GRANT INSERT, UPDATE ON weekly_kpi TO clerk")
    learners.execute("REVOKE SELECT ON attempt FROM clerk")
    try:
        with psycopg.connect(learners_url, autocommit=True) as connection:
            connection.execute("SET ROLE clerk")
            clerk = Learners(connection)
            assert look(clerk).blockers == ()
            assert clerk.run().processed == 1
            learners.execute("REVOKE SELECT ON session FROM clerk")
            assert look(clerk).blockers == ("session: we may not read it",)
            learners.execute("REVOKE INSERT ON weekly_kpi FROM clerk")
            assert "weekly_kpi: we may not write it" in look(clerk).blockers
    finally:
        learners.execute("DROP OWNED BY clerk; DROP ROLE clerk")


def test_the_command_tells_people_and_programs(
    learners: Learners, learners_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "DATABASE_URL", learners_url.replace("postgresql://", "postgresql+psycopg2://")
    )
    learners.execute("DROP TABLE session")
    result = CliRunner().invoke(CLI, ["learners", "doctor"])
    assert result.exit_code == 0, result.output
    assert "Skipped: session (no such table)." in result.output
    assert "The job can run here." in result.output
    lines = result.output.splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert [line.split()[3:5] for line in lines[1:4]] == [["used", "0"]] * 2 + [["(view)", "used"]]
    body = json.loads(CliRunner().invoke(CLI, ["learners", "doctor", "--json"]).stdout)
    assert body["can_run"] is True and body["skipped"] == ["session (no such table)"]
    learners.execute("DROP TABLE weekly_kpi")
    result = CliRunner().invoke(CLI, ["learners", "doctor"])
    assert result.exit_code == 1
    assert "The job cannot run: weekly_kpi: no such table." in result.output
