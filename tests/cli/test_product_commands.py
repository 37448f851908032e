"""``features``, ``funnel`` and ``cohorts``: what people see, and what programs get."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command

from ebbtide.app.house import House
from ebbtide.app.serving import serving_aside
from ebbtide.app.settings import Settings

AS_OF = ("--as-of", "2026-03-12")
STEPS = ("INCIDENT_CREATED", "INCIDENT_VIEWED", "REPLAY_EXECUTED")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server with one customer that got as far as a replay, and one that never looked."""
    folder = tmp_path_factory.mktemp("product") / "data"
    events = [("acme", step, f"2026-03-0{number}") for number, step in enumerate(STEPS, 1)]
    events += [("odd [red]", "INCIDENT_CREATED", "2026-03-10"), ("acme", "LOGIN", "2026-03-11")]
    lines = folder.parent / "events.jsonl"
    lines.write_text(
        "\n".join(
            json.dumps(
                {
                    "event_id": f"e-{number}",
                    "tenant_id": tenant,
                    "event_type": event_type,
                    "timestamp": f"{day}T09:00:00Z",
                    "source": "test",
                }
            )
            for number, (tenant, event_type, day) in enumerate(events)
        ),
        encoding="utf-8",
    )
    with House(Settings(data_dir=folder)) as house, serving_aside(house):
        yield folder


@pytest.fixture
def ebbtide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command beside that server; the first of them brings the events along."""
    monkeypatch.setenv("EBBTIDE_DATA_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "120")
    command = Command(folder, "beside a server")
    if not command.json("events")["events"]:
        command("import", str(folder.parent / "events.jsonl"))
    return command


def test_the_funnel(ebbtide: Command) -> None:
    shown = ebbtide("funnel", *AS_OF)
    assert "Incident viewed" in shown
    assert "Most are lost before: Export generated (0.0 % go on)." in shown
    assert "Better export CTA" in shown
    assert ebbtide("funnel", "--stopped", "incident_created", *AS_OF) == "odd [red]\n"
    assert ebbtide("funnel", "--stopped", "EXPORT_GENERATED", *AS_OF) == "Nobody stopped there.\n"
    way = ebbtide("funnel", "acme", *AS_OF)
    assert "2026-03-02T09:00:00Z" in way
    assert "e-1" in way
    ways = ebbtide.json("funnel", *AS_OF)
    assert [one["num_tenants"] for one in ways["ordered"]["steps"]] == [2, 1, 1, 0, 0]
    assert "No customer took any step" in ebbtide("funnel", "--as-of", "2025-01-01")
    ebbtide("funnel", "acme", "--stopped", "INCIDENT_VIEWED", code=2)


def test_features(ebbtide: Command) -> None:
    shown = ebbtide("features", *AS_OF)
    assert "2 customers were active in 30 days." in shown
    assert "Incidents viewed" in shown
    assert shown.count("not enough data") == 4
    assert "A correlation, not a cause" in shown
    assert ebbtide.json("features", *AS_OF)["items"][0]["pct_of_active_tenants"] == 50.0


def test_cohorts(ebbtide: Command) -> None:
    shown = ebbtide("cohorts", *AS_OF)
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line}
    # The first of March was a Sunday: the last day of its week.
    assert rows["2026-02-23"] == ["1", "100", "100", "100~"]
    assert rows["2026-03-09"] == ["1", "100~", "-", "-"]
    assert rows["together"] == ["—", "100", "100", "-"]
    nobody = ebbtide("cohorts", "--weeks", "2", "--activity", "exports", *AS_OF)
    assert "No new customer in 2 weeks; 0 began before that." in nobody
    assert len(ebbtide.json("cohorts", "--weeks", "3", *AS_OF)["cohorts"]) == 3


@pytest.mark.parametrize("name", ["features", "funnel", "cohorts"])
def test_help_shows_an_example(ebbtide: Command, name: str) -> None:
    assert f"ebbtide {name}" in ebbtide(name, "--help").split("xample", 1)[1]
