"""The back-test counts right, and its answer is the same every time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from ebbtide.backtest.limits import Case, cases_of, report, run
from ebbtide.backtest.naive import NAIVE, days_to_limit
from ebbtide.backtest.public_series import PublicSeries, read_series
from ebbtide.cli.backtest import backtest_commands
from ebbtide.domain.errors import NotFound
from ebbtide.limits.projection import Projection, Status


def case(
    truth: float | None,
    low: float | None,
    high: float | None,
    *,
    status: Status = Status.GROWING,
    seen: float = 20.0,
) -> Case:
    middle = None if low is None or status is Status.STABLE else low + 1
    projection = Projection(status, middle, low, high, 1.0, 100, 10.0, 0)
    return Case("m4 level", "m4/H1", truth, seen, projection, (None, 5.0, 6.0, 7.0))


def test_a_truth_is_before_inside_or_after() -> None:
    found = report([case(5, 4, 8), case(4, 4, 8), case(3, 4, 8), case(9, 4, 8), case(9, 4, None)])
    assert found["growing"]["inside"] == pytest.approx(3 / 5)
    assert found["growing"]["before"] == pytest.approx(1 / 5)
    assert found["growing"]["after"] == pytest.approx(1 / 5)
    assert found["growing"]["open_ended"] == pytest.approx(1 / 5)
    assert found["is_goal_met"] is False


def test_each_collection_is_told_apart() -> None:
    other = replace(case(9, 4, 8), group="nab filled", series="nab/x")
    found = report([case(5, 4, 8), case(6, 4, 8), other])
    shares = {one["collection"]: one["growing"]["inside"] for one in found["collections"]}
    assert shares == {"m4": 1, "nab": 0}
    assert {one["errors"][0]["num_answers"] for one in found["collections"]} == {1, 2}


def test_a_limit_that_was_never_reached_is_no_truth_but_can_be_overdue() -> None:
    found = report([case(None, 4, 8), case(None, 4, 30), case(None, 4, None), case(5, 4, 8)])
    assert found["growing"]["num_reached"] == 1
    assert found["growing"]["num_overdue"] == 1


def test_a_stable_resource_that_reaches_its_limit_counts_against_us() -> None:
    found = report([case(5, None, None, status=Status.STABLE)] + [case(5, 4, 8)] * 3)
    assert found["stable"]["before"] == 1
    assert found["inside_of_all_reached"] == pytest.approx(3 / 4)
    assert found["growing"]["inside"] == 1


def test_who_names_no_day_is_infinitely_wrong() -> None:
    found = report([case(6, 4, 8)] * 3)
    errors = {one["estimator"]: one for one in found["errors"]}
    assert errors["last value"]["median_error_days"] is None
    assert errors["last value"]["num_answers"] == 0
    assert errors["damped trend"]["median_error_days"] == pytest.approx(1)
    assert errors["ewma slope"]["near"] == 1


def test_every_naive_estimator_continues_a_line() -> None:
    days = np.arange(50) / 24
    for name, slope in NAIVE.items():
        assert days_to_limit(slope, days, 10 + 3 * days, 10 + 3 * days[-1] + 6) == pytest.approx(
            2
        ), name
        assert days_to_limit(slope, days, 10 - 3 * days, 20) is None, name


def test_limits_do_not_depend_on_what_follows() -> None:
    noise = np.random.default_rng(3).normal(0, 1, 400)
    values = 100 + np.arange(400) * 0.3 + noise
    other = values.copy()
    other[300:] += 500  # beyond the last moment, three quarters in
    one, two = (
        list(cases_of(PublicSeries("m4", "H1", np.arange(400) / 24, v))) for v in (values, other)
    )
    assert [c.projection for c in one] == [c.projection for c in two]
    assert [c.truth_days for c in one] != [c.truth_days for c in two]


def write_series(folder: Path) -> None:
    """A few small series in the two forms that are read."""
    rng = np.random.default_rng(5)
    (folder / "series" / "m4").mkdir(parents=True)
    names, times, values = [], [], []
    for n in range(6):
        names += [f"H{n}"] * 200
        times += range(2, 202)
        values += (50 + np.arange(200) * 0.2 * n + rng.normal(0, 2, 200)).tolist()
    table = pa.table({"series": names, "t": times, "value": values})
    parquet.write_table(table, folder / "series" / "m4" / "hourly_train.parquet")
    rest = pa.table({"series": ["H0"] * 3, "t": [2, 3, 4], "value": [1.0, 2.0, 3.0]})
    parquet.write_table(rest, folder / "series" / "m4" / "hourly_test.parquet")
    place = folder / "series" / "nab" / "data" / "kind"
    place.mkdir(parents=True)
    lines = ["timestamp,value"]
    lines += [f"2015-02-{1 + i // 24:02d} {i % 24:02d}:00:00,{i}" for i in range(300)]
    (place / "one.csv").write_text("\n".join([*lines, lines[-1]]))


def test_series_are_read_whole_and_in_order(tmp_path: Path) -> None:
    write_series(tmp_path)
    found = {f"{one.collection}/{one.name}": one for one in read_series(tmp_path)}
    assert set(found) == {*(f"m4/H{n}" for n in range(6)), "nab/kind/one"}
    assert found["m4/H0"].values[-3:].tolist() == [1, 2, 3]
    assert len(found["m4/H1"].values) == 200
    assert found["nab/kind/one"].values.tolist() == list(range(300))  # a moment counts once
    assert found["nab/kind/one"].days[24] == 1
    assert [one.name for one in read_series(tmp_path / "series")] == [
        one.name for one in read_series(tmp_path)
    ]


def test_a_folder_without_series_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"series/m4/hourly_train\.parquet"):
        read_series(tmp_path)


def test_the_command_prints_the_same_figures_every_time(tmp_path: Path) -> None:
    write_series(tmp_path)
    words = ["limits", "--data", str(tmp_path), "--half", "all"]
    plain = CliRunner().invoke(backtest_commands(), words)
    assert plain.exit_code == 0, plain.output
    assert "Inside the 80% interval" in plain.output
    assert "ewma slope" in plain.output
    one, two = (CliRunner().invoke(backtest_commands(), [*words, "--json"]) for _ in range(2))
    assert one.stdout == two.stdout
    body = json.loads(one.stdout)
    assert body["num_series"] == 7
    assert body["num_cases"] == 7 * 2 * 15


def test_the_two_halves_share_no_series(tmp_path: Path) -> None:
    write_series(tmp_path)
    series = read_series(tmp_path)
    names = {one.name for one in series if one.is_for_choosing}
    assert 0 < len(names) < len(series)


def test_progress_is_told_after_each_series() -> None:
    line = PublicSeries("m4", "H1", np.arange(60) / 24, np.arange(60.0) + 10)
    seen: list[int] = []
    run([line, line], seen.append)
    assert seen == [1, 2]
