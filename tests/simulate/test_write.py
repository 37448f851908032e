"""A simulation in a folder: three whole files, or none under its name."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ebbtide.domain.tenant import Contact
from ebbtide.domain.time import parse_instant
from ebbtide.simulate.simulation import Simulation, simulate
from ebbtide.simulate.write import write

#: The body of PUT /v1/tenants/{id}.
PUT_FIELDS = {"name", "plan", "price_usd", "started", "cancelled", "contacts"}
END = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(7, 4, 5, END)


def test_the_folder_holds_the_events_the_directory_and_the_truth(
    simulation: Simulation, tmp_path: Path
) -> None:
    written = write(simulation, tmp_path / "new" / "folder")
    events = [json.loads(line) for line in written.events.read_text("utf-8").splitlines()]
    assert events == list(simulation)
    assert written.num_events == len(events) > 1000
    truth = json.loads(written.truth.read_text("utf-8"))
    assert truth["num_events"] == len(events)
    assert truth["num_events_by_type"] == dict(Counter(e["event_type"] for e in events))
    assert {key: truth[key] for key in simulation.truth} == json.loads(json.dumps(simulation.truth))
    assert sorted(path.name for path in written.events.parent.iterdir()) == [
        "events.jsonl",
        "tenants.json",
        "truth.json",
    ]


def test_every_file_says_that_it_is_simulated(simulation: Simulation, tmp_path: Path) -> None:
    written = write(simulation, tmp_path)
    lines = written.events.read_text("utf-8").splitlines()
    assert all('"source":"simulated"' in line for line in lines)
    for path in (written.tenants, written.truth):
        assert json.loads(path.read_text("utf-8"))["simulated"] is True


def test_the_directory_fits_its_door(simulation: Simulation, tmp_path: Path) -> None:
    written = write(simulation, tmp_path)
    tenants = json.loads(written.tenants.read_text("utf-8"))["tenants"]
    assert len(tenants) == 4
    for tenant in tenants:
        assert tenant.keys() == PUT_FIELDS | {"tenant_id"}
        assert tenant["price_usd"] > 0 and parse_instant(tenant["started"]) <= END
        contacts = [Contact(**one) for one in tenant["contacts"]]
        assert contacts
        assert all((one.email or "").endswith(".example.com") for one in contacts)


def test_equal_arguments_give_equal_files(tmp_path: Path) -> None:
    for compress in (False, True):
        folders = [tmp_path / f"{name}-{compress}" for name in ("one", "other")]
        for folder in folders:
            write(simulate(9, 3, 3, END), folder, compress=compress)
        contents = [
            {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
            for folder in folders
        ]
        assert contents[0] == contents[1]


def test_compressed_events_are_the_same_events(simulation: Simulation, tmp_path: Path) -> None:
    plain, small = write(simulation, tmp_path), write(simulation, tmp_path, compress=True)
    assert gzip.decompress(small.events.read_bytes()) == plain.events.read_bytes()
    assert small.events.name == "events.jsonl.gz"


def test_progress_is_told_day_by_day(simulation: Simulation, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    written = write(simulation, tmp_path, progress=lambda *step: told.append(step))
    assert told == sorted(told)
    assert told[-1] == (written.num_events, 5, 5)
    assert len(told) >= 5


def test_a_broken_run_leaves_no_file_that_looks_whole(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    class Breaking:
        num_days = 5
        truth: dict[str, Any] = {}  # noqa: RUF012 - stands in for a frozen instance
        tenants: list[dict[str, Any]] = []  # noqa: RUF012

        def batches(self) -> Iterator[list[dict[str, Any]]]:
            yield [{"event_type": "LOGIN"}]
            raise Interrupted

    with pytest.raises(Interrupted):
        write(Breaking(), tmp_path)  # type: ignore[arg-type]
    assert not (tmp_path / "events.jsonl").exists()
    assert not (tmp_path / "truth.json").exists()
