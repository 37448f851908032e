"""``ebbtide detect-inactivity``: its lines, its JSON, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner, Result

from ebbtide.app.main import connect
from ebbtide.cli.main import build_cli
from learner_tables import Learners, ago

CLI = build_cli(connect, {})
DAY = "2026-03-12T08:30:00Z"


@pytest.fixture(autouse=True)
def _database(learners_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", learners_url)


def detect(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(CLI, ["detect-inactivity", *words])


def test_the_lines_are_those_that_logs_are_searched_for(learners: Learners) -> None:
    learners.exam("ada", ago(20))
    learners.exam("bob", ago(8))
    result = detect("--as-of", DAY)
    assert result.exit_code == 0
    found, *named, without_p, summary = result.stdout.splitlines()
    assert found == "[INFO] Found 2 inactive users (threshold=7 days); dry_run=False"
    assert named == [
        "[WARN] Could not calculate P/S for user=ada",
        "[WARN] Could not calculate P/S for user=bob",
    ]
    assert without_p.startswith("[WARN] Could not calculate P for 2 users (neither")
    assert re.fullmatch(
        r"\[INFO\] Summary: processed=2, failed=0, threshold=7 days, duration_ms=\d+", summary
    )
    assert set(learners.stored()) == {"ada", "bob"}


def test_a_dry_run_and_a_threshold(learners: Learners) -> None:
    learners.exam("ada", ago(20))
    learners.exam("bob", ago(8))
    result = detect("--threshold", "14", "--dry-run", "--as-of", DAY)
    assert result.stdout.startswith(
        "[INFO] Found 1 inactive users (threshold=14 days); dry_run=True\n"
    )
    assert "[INFO] Dry-run mode: rolled back all changes\n" in result.stdout
    assert learners.stored() == {}


def test_the_flag_wins_over_the_variable(
    learners: Learners, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners.exam("ada", ago(20))
    monkeypatch.setenv("INACTIVITY_THRESHOLD_DAYS", "30")
    nobody = "[INFO] No inactive users found (threshold=30 days)\n"
    assert detect("--as-of", DAY).stdout == nobody
    assert "Found 1 inactive" in detect("--as-of", DAY, "--threshold", "0").stdout


def test_a_date_is_its_midnight_in_utc(learners: Learners) -> None:
    learners.exam("ada", ago(8 + 8.5 / 24))  # 8 days before the midnight of that day
    assert "No inactive" in detect("--as-of", "2026-03-12", "--threshold", "8").stdout
    assert "Found 1" in detect("--as-of", "2026-03-12T00:00:01Z", "--threshold", "8").stdout


def test_some_that_failed_end_with_2(learners: Learners) -> None:
    learners.exam("ada", ago(20))
    learners.exam("bob\n[INFO] fine", ago(20))
    learners.goal("bob\n[INFO] fine", 1, -1)
    result = detect("--as-of", DAY)
    assert result.exit_code == 2
    assert "[ERROR] user=bob\\x0a[INFO] fine error=a goal has a negative priority" in result.stdout


def test_json_is_one_document_and_the_log_stands_beside_it(learners: Learners) -> None:
    learners.exam("ada", ago(20))
    result = detect("--as-of", DAY, "--json")
    body = json.loads(result.stdout)
    assert (body["processed"], body["failed"], body["week_start"]) == (1, 0, "2026-03-09")
    assert body["formulas"] == ["inactive/2", "churn_risk/2", "goal_probability/2"]
    assert "[INFO] Summary" in result.stderr


@pytest.mark.parametrize(
    ("words", "variables", "complaint"),
    [
        ((), {"DATABASE_URL": ""}, "DATABASE_URL is not set"),
        ((), {"DATABASE_URL": "mysql://db"}, "DATABASE_URL must begin with"),
        ((), {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "cannot connect to DATABASE_URL"),
        (
            (),
            {"DATABASE_URL": "postgresql://u:geheim@db.test:x/d"},
            "DATABASE_URL cannot be read as an address",
        ),
        (("--threshold", "-1"), {}, "--threshold: '-1' is no number of days"),
        (("--threshold", "week"), {}, "--threshold: 'week' is no number of days"),
        (("--as-of", "yesterday"), {}, "--as-of: 'yesterday' is no date"),
        ((), {"METRICS_CHURN_HORIZON_DAYS": "0"}, "METRICS_CHURN_HORIZON_DAYS: "),
        ((), {"METRICS_CHURN_HORIZON_DAYS": "3000000000"}, "METRICS_CHURN_HORIZON_DAYS: "),
        ((), {"LEARNER_SOURCES": "nowhere.toml"}, "nowhere.toml: No such file"),
    ],
)
def test_when_nothing_can_be_done_it_says_why_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    variables: dict[str, str],
    complaint: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = detect(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"[FATAL] {complaint}")
    assert "geheim" not in result.output
    assert result.stdout == ""


def test_without_tables_it_ends_with_1(bare: Learners) -> None:
    result = detect()
    assert result.exit_code == 1
    assert "weekly_kpi: no such table" in result.stderr


def test_the_module_is_the_command_and_help_has_examples() -> None:
    """A process of its own: without a server, a data folder or the driver it says what it is."""
    words = [sys.executable, "-m", "ebbtide", "detect-inactivity", "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for word in ("--threshold N", "--dry-run", "--as-of DATE", "Examples:"):
        assert re.search(r"\s+".join(map(re.escape, word.split())), shown)
