"""Writes a simulation into a folder: events.jsonl, tenants.json and truth.json."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ebbtide.simulate.simulation import Simulation

Progress = Callable[[int, int, int], None]  #: events so far, days done, days in all


@dataclass(frozen=True, slots=True)
class WrittenFolder:
    """Where the three files of a simulation lie, and how many events there are."""

    events: Path
    tenants: Path
    truth: Path
    num_events: int


def write(
    simulation: Simulation,
    folder: Path,
    *,
    compress: bool = False,
    progress: Progress | None = None,
) -> WrittenFolder:
    """Write the events, the tenant directory and the ground truth of a simulation.

    Events are written as they are made, one JSON object a line. Every file appears under its name
    only when it is whole, the events last, so that a broken run is not mistaken for a short one.

    Args:
        simulation: the company to write down.
        folder: made if missing; files of an earlier run in it are replaced.
        compress: write ``events.jsonl.gz`` instead, equal bytes for equal arguments too.
        progress: called after each simulated UTC day.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    events_path = folder / ("events.jsonl.gz" if compress else "events.jsonl")
    part_path = events_path.with_name(events_path.name + ".part")
    counts: Counter[str] = Counter()
    num_events = 0
    with ExitStack() as files:
        target = cast(IO[bytes], files.enter_context(part_path.open("wb")))
        if compress:
            # No name and no time in the header: the bytes depend on the events alone.
            target = cast(
                IO[bytes],
                files.enter_context(
                    gzip.GzipFile("", "wb", fileobj=target, mtime=0, compresslevel=6)
                ),
            )
        for day, events in enumerate(simulation.batches(), start=1):
            for event in events:
                counts[event["event_type"]] += 1
            target.write("".join([encode(event) + "\n" for event in events]).encode())
            num_events += len(events)
            if progress is not None:
                progress(num_events, min(day, simulation.num_days), simulation.num_days)
    written = WrittenFolder(events_path, folder / "tenants.json", folder / "truth.json", num_events)
    _write_json(written.tenants, {"simulated": True, "tenants": simulation.tenants})
    truth = simulation.truth | {
        "num_events": num_events,
        "num_events_by_type": dict(sorted(counts.items())),
    }
    _write_json(written.truth, truth)
    os.replace(part_path, events_path)
    return written


def _write_json(path: Path, content: dict[str, Any]) -> None:
    part_path = path.with_name(path.name + ".part")
    part_path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    os.replace(part_path, path)
