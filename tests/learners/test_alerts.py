"""A run of the job brings what is new into the outbox of the state store beside it, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ebbtide.app.main import connect, tell_of_learners
from ebbtide.cli.main import build_cli
from ebbtide.domain.alert import AlertStatus, Channel, ChannelKind
from ebbtide.store.state.base import StateStore
from ebbtide.store.state.sqlite import SQLiteStateStore
from learner_tables import Learners

CLI = build_cli(connect, {}, tell_of_learners)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def detect(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(CLI, ["detect-inactivity", *words])
    assert result.exit_code == code, (result.output, result.exception)
    return str(result.stdout)


@pytest.fixture(autouse=True)
def folder(learners_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DATABASE_URL", learners_url)
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def state(folder: Path) -> Iterator[StateStore]:
    store = SQLiteStateStore(folder / "state.sqlite")
    store.migrate()
    store.outbox.add_channel(
        Channel(
            "ch_1", "hook", ChannelKind.WEBHOOK, "https://example.org", (), None,
            AlertStatus.WARNING, False, NOW, "a person",
        )
    )  # fmt: skip
    yield store
    store.close()


def test_new_learners_are_told_of_once(learners: Learners, state: StateStore) -> None:
    learners.exam("ada", NOW - 8 * DAY)
    learners.exam("bob", NOW - 70 * DAY)
    learners.exam("cid", NOW - 1 * DAY)
    assert "Alerts" not in detect("--dry-run")
    said = detect()
    assert "[INFO] Alerts: 2 newly inactive, 1 newly at high risk, messages=1\n" in said
    assert "Alerts" not in detect()
    ((_, delivery),) = state.outbox.list_newest()
    alerts = {
        one["annotations"]["summary"]: one["labels"] for one in json.loads(delivery.body)["alerts"]
    }
    assert {name: one["severity"] for name, one in alerts.items()} == {
        "Learner ada": "warning",
        "Learner bob": "critical",
    }
    learners.exam("cid", NOW - 1 * DAY)
    assert "Alerts: 1 newly inactive, 0 newly" in detect("--threshold", "0")


def test_a_run_for_the_past_tells_nothing(learners: Learners, state: StateStore) -> None:
    learners.exam("bob", NOW - 70 * DAY)
    assert "Alerts" not in detect("--as-of", f"{NOW - 5 * DAY:%Y-%m-%d}")
    assert "Alerts" in detect()


def test_without_a_state_store_there_is_nobody_to_tell(learners: Learners, folder: Path) -> None:
    learners.exam("bob", NOW - 70 * DAY)
    assert "Alerts" not in detect()
    assert list(folder.iterdir()) == []


def test_an_outbox_that_cannot_be_written_is_said(learners: Learners, folder: Path) -> None:
    (folder / "state.sqlite").write_bytes(b"this is no database, and never was one" * 100)
    learners.exam("bob", NOW - 70 * DAY)
    said = detect(code=2)
    assert "processed=1" in said
    assert "[ERROR] Alerts were not written, the next run tells them" in said
