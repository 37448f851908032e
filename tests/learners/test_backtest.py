"""The back-test asks the job itself, knows nothing of what came later, and counts right."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ebbtide.backtest.learners import Case, auc, report, run
from ebbtide.cli.backtest import backtest_commands
from ebbtide.cli.learner_figures import tell_learners
from ebbtide.learners.course import Course, find_course, load_course
from ebbtide.learners.settings import LearnerSettings
from ebbtide.learners.sources import load_sources
from ebbtide.learners.tables import tables_aside
from learner_tables import Learners
from small_course import write_course


def cases_of(learners: Learners, folder: Path, days: tuple[int, ...]) -> tuple[Course, list[Case]]:
    with tables_aside(learners.connection):
        course = load_course(learners.connection, folder)
        seen: list[int] = []
        cases = run(
            learners.connection, course, LearnerSettings(), load_sources(), seen.append, days
        )
        assert seen == list(range(1, len(days) + 1))
    return course, cases


def test_who_is_there_and_what_came_of_them(learners: Learners, tmp_path: Path) -> None:
    course, cases = cases_of(learners, write_course(tmp_path), (14, 28))
    found = {(one.day, one.user_id[-1]): one for one in cases}
    # 5 had left; 6 had not come by day 14; of day 28, 1 had left too.
    assert [user for day, user in found if day == 14] == list("12347")
    assert [user for day, user in found if day == 28] == list("23467")
    first = found[14, "1"]
    assert (first.silent_days, first.leaves, first.passes) == (12, True, False)
    # No exam in 56 days: 0.6 x 12/14 + 0.15.
    assert first.s == pytest.approx(0.6 * 12 / 14 + 0.15)
    assert found[14, "4"].s is None  # never active, so the job lists nobody
    assert not found[14, "7"].leaves  # on day 40
    assert found[28, "7"].leaves
    assert found[14, "2"].silent_days == 0
    ours = found[14, "2"].p, found[14, "3"].p
    assert ours[0] is not None and ours[1] is not None and ours[0] > ours[1]

    figures = report(course, cases)
    day = figures["days"][0]
    assert (day["num_left"], day["num_cases"], day["num_never_active"]) == (1, 5, 1)
    assert (day["withdrawal"]["num"], day["withdrawal"]["num_leaving"]) == (4, 1)
    assert day["withdrawal"]["s"]["auc"] == day["withdrawal"]["recency"]["auc"] == 1
    assert sum(one["num"] for one in figures["calibration_s"]) == 8
    assert figures["formulas"] == ["inactive/2", "churn_risk/2", "goal_probability/2"]


def test_what_came_later_is_not_known(learners: Learners, tmp_path: Path) -> None:
    _, whole = cases_of(learners, write_course(tmp_path / "whole"), (14,))
    _, known = cases_of(learners, write_course(tmp_path / "known", until=14), (14,))
    assert known == whole


def test_auc_counts_a_tie_as_a_half() -> None:
    def of(values: list[float], truths: list[bool]) -> float | None:
        return auc(np.array(values, dtype=float), np.array(truths))

    assert of([1, 2, 3, 4], [False, False, True, True]) == 1
    assert of([4, 3, 2, 1], [False, False, True, True]) == 0
    assert of([1, 1, 1], [True, False, False]) == 0.5
    assert of([1, 2, 2], [False, False, True]) == 0.75
    assert of([1, 2], [True, True]) is None
    rng = np.random.default_rng(5)
    values, truths = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in values[truths] for b in values[~truths]]
    assert auc(values, truths) == pytest.approx(np.mean(pairs))


def test_the_command_prints_and_keeps_the_same_figures(
    learners_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", learners_url)
    monkeypatch.setattr("ebbtide.backtest.learners.DRAWS", 20)
    write_course(tmp_path)
    out = tmp_path / "figures.json"
    words = ["learners", "--data", str(tmp_path), "--json", "--out", str(out)]
    result = CliRunner().invoke(backtest_commands(), words)
    assert result.exit_code == 0, (result.output, result.exception)
    found = json.loads(result.stdout)
    assert found == json.loads(out.read_text("utf-8"))
    assert [one["day"] for one in found["days"]] == [14, 28, 56, 84, 112]
    capsys.readouterr()
    tell_learners(found)
    printed = capsys.readouterr().out
    assert "AUC of recency" in printed
    assert "0.9 to 1.0" in printed


def test_the_page_tells_what_a_real_course_gives(learners: Learners) -> None:
    folder = os.environ.get("EBBTIDE_TEST_DATA")
    if not folder:
        pytest.skip("set EBBTIDE_TEST_DATA to the folder of public data sets to run this")
    with tables_aside(learners.connection):
        course = load_course(learners.connection, find_course(Path(folder)))
        cases = run(
            learners.connection, course, LearnerSettings(), load_sources(), lambda _num: None
        )
    found = report(course, cases)
    page = (Path(__file__).parents[2] / "docs/howto/learners-course.md").read_text("utf-8")
    for day in [*found["days"], found["all"]]:
        withdrawal, success = day["withdrawal"], day["success"]
        for one in (withdrawal["s"], withdrawal["recency"], success["p"], success["recency"]):
            if one["auc"] is not None:
                low, high = one["auc_95"]
                assert f"{one['auc']:.3f} ({low:.3f} to {high:.3f})" in page
    assert found["all"]["withdrawal"]["num_leaving"] == 15
