"""A new metric is two files that are valid at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ebbtide.catalog.loader import load_catalog
from ebbtide.catalog.metric import read_metric

sys.path.append(str(Path(__file__).parents[2]))

from tools import new_metric


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders in place of the real ones."""
    (tmp_path / "metrics").mkdir()
    (tmp_path / "cases").mkdir()
    monkeypatch.setattr(new_metric, "REPOSITORY", tmp_path)
    monkeypatch.setattr(new_metric, "METRICS", tmp_path / "metrics")
    monkeypatch.setattr(new_metric, "CASES", tmp_path / "cases")
    return tmp_path


def test_both_files_are_written_and_valid(folders: Path) -> None:
    assert new_metric.main(["logins_30d"]) == 0
    text = (folders / "metrics" / "logins_30d.sql").read_text("utf-8")
    metric = read_metric(text, "logins_30d.sql", load_catalog().event_types)
    assert metric.name == "logins_30d"
    assert (folders / "cases" / "logins_30d" / "window_edges.toml").exists()


def test_nothing_is_written_over_and_a_bad_name_is_refused(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new_metric.main(["logins"]) == 0
    assert new_metric.main(["logins"]) == 1
    assert new_metric.main(["Logins"]) == 2
    assert new_metric.main([]) == 2
    assert "exists already" in capsys.readouterr().out
