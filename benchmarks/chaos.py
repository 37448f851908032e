"""``make chaos``: kill -9 under load, fsync before the answer, a full disk, a race for slots.

Everything runs on loopback, is bounded, and stops by itself.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import disk_full, fsync_check, kills, slot_race
from benchmarks.databases import throwaway_postgres
from benchmarks.results import save
from benchmarks.server_process import ServerProcess

from ebbtide.app.settings import Settings
from ebbtide.app.stores import open_events


def stored(settings: Settings) -> tuple[list[tuple[str, str | None]], int]:
    """Every stored event's id and user, and the number of events by the roll-up."""
    events = open_events(settings)
    try:
        events.migrate()
        rows = events.query("SELECT event_uuid, event_id, user_id FROM events")
        rollup = events.query("SELECT SUM(num) FROM event_rollup")[0][0] or 0
        return [(sent or uuid, user) for uuid, sent, user in rows], int(rollup)
    finally:
        events.close()


def kill_run(folder: Path, num_kills: int, seed: int, events_url: str | None) -> dict[str, Any]:
    """One run of kills on one engine."""
    env = {"EBBTIDE_EVENTS_URL": events_url} if events_url else {}
    server = ServerProcess(folder, env=env, log=folder.with_suffix(".log"))

    def shown(number: int) -> None:
        if number % 10 == 0:
            print(f"  kill {number} of {num_kills}", flush=True)

    tally = kills.kill_under_load(server, num_kills=num_kills, seed=seed, on_kill=shown)
    rows, rollup_num = stored(Settings(data_dir=folder, events_url=events_url))
    return {"seed": seed} | kills.compare(tally, rows, rollup_num).summary()


def is_broken(run: dict[str, Any]) -> bool:
    """Whether a run of kills broke a promise."""
    return any(run[name] for name in ("lost", "stored_twice", "wrong_content", "rollup_differs"))


def main() -> int:
    """Run what was asked for; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="per engine")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", choices=["duckdb", "postgres", "fsync", "disk", "slots"])
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="ebbtide-chaos-"))
    report: dict[str, Any] = {}
    broken = []
    try:
        if given.only in (None, "duckdb"):
            print(f"kill -9 under load, DuckDB, seed {given.seed}")
            report["kills_duckdb"] = kill_run(work / "duckdb", given.kills, given.seed, None)
            if is_broken(report["kills_duckdb"]):
                broken.append("duckdb")
        if given.only in (None, "postgres"):
            print(f"kill -9 under load, PostgreSQL, seed {given.seed}")
            with throwaway_postgres(work / "pg") as url:
                run = kill_run(work / "postgres", given.kills, given.seed, url)
            report["kills_postgres"] = run
            if is_broken(run):
                broken.append("postgres")
        if given.only in (None, "fsync"):
            report["fsync_before_answer"] = fsync_run(work, broken)
        if given.only in (None, "disk"):
            report["disk_full"] = disk_run(work, broken)
        if given.only in (None, "slots"):
            for engine in ("sqlite", "postgresql"):
                print(f"8 processes race for 200 slots, {engine}, seed {given.seed}", flush=True)
                race = slot_race.race_on(engine, 8, 200, 60, given.seed)
                report[f"slots_{engine}"] = race
                if slot_race.is_broken(race):
                    broken.append(f"slots on {engine}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for name, figures in report.items():
        print(f"{name}: {figures}")
    print(f"saved to {save('chaos', report)}")
    print("broken: " + ", ".join(broken) if broken else "every promise held")
    return 1 if broken else 0


def fsync_run(work: Path, broken: list[str]) -> dict[str, Any]:
    """Count syncs between request and answer."""
    if not fsync_check.is_available():
        return {"skipped": "strace is not installed"}
    with ServerProcess(work / "fsync") as server:
        figures = fsync_check.check(server, work / "strace.txt")
    if figures["with_fsync_before_answer"] != figures["requests"]:
        broken.append("fsync")
    return dict(figures)


def disk_run(work: Path, broken: list[str]) -> dict[str, Any]:
    """Fill and free a disk of 64 MB."""
    try:
        with disk_full.small_disk(work / "disk", 64) as disk:
            folder = disk / "data"
            with ServerProcess(folder) as server:
                figures = disk_full.fill_and_free(server, disk)
            rows, _ = stored(Settings(data_dir=folder))
    except PermissionError as error:
        return {"skipped": f"cannot mount a small disk: {error}"}
    ids = [event_id for event_id, _ in rows]
    acknowledged = figures.pop("acknowledged")
    figures |= {
        "acknowledged_events": len(acknowledged),
        "lost": len(set(acknowledged) - set(ids)),
        "stored_twice": len(ids) - len(set(ids)),
    }
    wrong_status = set(figures["refusals_by_status"]) - {503}
    if figures["lost"] or figures["stored_twice"] or wrong_status:
        broken.append("disk")
    return dict(figures)


if __name__ == "__main__":
    sys.exit(main())
